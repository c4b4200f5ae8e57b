/* A POP3 session on a real mailbox: the snapshot, QUIT's all or none, the exclusive access and its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/settings.h"
#include "pop3d/pop3d.h"
#include "store/mbox.h"

static int64_t the_time;

static int64_t wall_s(void)
{
	return the_time;
}

struct world {
	char dir[32];
	struct settings settings;
	struct session_env env;
	void *shared;
	struct buf out;
};

static void world_open(struct world *w)
{
	struct box_options opt = { .special_folders = "", .hostname = "mail.office.test" };
	struct err e = ERR_INIT;

	memset(w, 0, sizeof(*w));
	the_time = 1000000;
	memcpy(w->dir, "/tmp/pop3.XXXXXX", 17);
	assert_non_null(mkdtemp(w->dir));
	w->settings.pop3_uidl_format = "%u";
	w->settings.pop3_timeout = 600;
	w->env = (struct session_env){ .s = &w->settings, .wall_s = wall_s, .shared = &w->shared };
	buf_init(&w->out, 1 << 20);
	assert_int_equal(box_open(&w->env.box, w->dir, true, &opt, &e), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void world_close(struct world *w)
{
	pop3_session.shared_free(w->shared);
	box_close(&w->env.box);
	buf_done(&w->out);
	nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void add(struct world *w, const char *octets)
{
	struct mappend *a = NULL;
	struct err e = ERR_INIT;
	struct mbox *m = NULL;
	uint32_t uid;

	assert_int_equal(mbox_open(&m, w->env.box, SLICE("INBOX"), &e), 0);
	assert_int_equal(mappend_begin(&a, m, strlen(octets), &e), 0);
	assert_int_equal(mappend_write(a, slice_of(octets), &e), 0);
	assert_int_equal(mappend_commit(&a, 0, NULL, 0, the_time, &uid, &e), 0);
	mbox_close(&m);
}

static void *login(struct world *w)
{
	struct session_start st = { .user = SLICE("u1@office.test"), .session_id = SLICE("s"), .state = SLICE("-") };

	buf_reset(&w->out);
	return pop3_session.open(&w->env, &st, &w->out);
}

static enum session_want say(struct world *w, void *s, const char *line)
{
	enum session_want want;
	size_t used;

	buf_reset(&w->out);
	want = pop3_session.input(s, slice_of(line), &used, &w->out);
	while (want == SESSION_MORE)
		want = pop3_session.step(s, &w->out);
	return want;
}

#define assert_reply(w, start) assert_memory_equal(buf_str(&(w)->out), start, strlen(start))

static void the_maildrop_is_fixed_at_login(void **state)
{
	struct world w;
	void *s;

	(void)state;
	world_open(&w);
	add(&w, "Subject: one\r\n\r\n1\r\n");
	s = login(&w);
	assert_non_null(s);
	add(&w, "Subject: two\r\n\r\n2\r\n");
	assert_int_equal(pop3_session.changed(s, &w.out), SESSION_INPUT);
	assert_int_equal(say(&w, s, "STAT\r\n"), SESSION_INPUT);
	assert_string_equal(buf_str(&w.out), "+OK 1 19\r\n");
	assert_int_equal(say(&w, s, "RETR 2\r\n"), SESSION_INPUT);
	assert_reply(&w, "-ERR No such message: there are 1");
	pop3_session.close(s, "test");
	s = login(&w);
	assert_int_equal(say(&w, s, "STAT\r\n"), SESSION_INPUT);
	assert_string_equal(buf_str(&w.out), "+OK 2 38\r\n");
	pop3_session.close(s, "test");
	world_close(&w);
}

static void quit_deletes_and_a_broken_line_does_not(void **state)
{
	struct world w;
	void *s;

	(void)state;
	world_open(&w);
	for (int i = 0; i < 3; i++)
		add(&w, "Subject: x\r\n\r\n");
	s = login(&w);
	assert_int_equal(say(&w, s, "DELE 1\r\n"), SESSION_INPUT);
	assert_int_equal(say(&w, s, "DELE 3\r\n"), SESSION_INPUT);
	pop3_session.close(s, "connection lost");
	s = login(&w);
	assert_reply(&w, "+OK 3 messages");
	assert_int_equal(say(&w, s, "DELE 1\r\n"), SESSION_INPUT);
	assert_int_equal(say(&w, s, "DELE 3\r\n"), SESSION_INPUT);
	assert_int_equal(say(&w, s, "QUIT\r\n"), SESSION_CLOSE);
	assert_string_equal(buf_str(&w.out), "+OK 2 deleted, good-bye\r\n");
	pop3_session.close(s, "logged out");
	s = login(&w);
	assert_reply(&w, "+OK 1 messages");
	assert_int_equal(say(&w, s, "UIDL\r\n"), SESSION_INPUT);
	assert_string_equal(buf_str(&w.out), "+OK 1 messages\r\n1 2\r\n.\r\n");
	pop3_session.close(s, "test");
	world_close(&w);
}

static void what_another_program_deleted_is_told(void **state)
{
	struct err e = ERR_INIT;
	uint32_t one = 1;
	struct mbox *m = NULL;
	struct view *v;
	struct world w;
	void *s;

	(void)state;
	world_open(&w);
	add(&w, "Subject: x\r\n\r\n");
	s = login(&w);
	assert_int_equal(mbox_open(&m, w.env.box, SLICE("INBOX"), &e), 0);
	v = view_open(m, false);
	assert_int_equal(view_remove(v, &one, 1, &e), 0);
	view_close(&v);
	mbox_close(&m);
	assert_int_equal(say(&w, s, "RETR 1\r\n"), SESSION_INPUT);
	assert_reply(&w, "-ERR Message 1 is gone");
	pop3_session.close(s, "test");
	world_close(&w);
}

static void in_use_while_active_then_taken_over(void **state)
{
	struct world w;
	void *first, *second;

	(void)state;
	world_open(&w);
	add(&w, "Subject: x\r\n\r\n");
	first = login(&w);
	assert_int_equal(say(&w, first, "DELE 1\r\n"), SESSION_INPUT);
	the_time += 59;
	assert_null(login(&w));
	assert_reply(&w, "-ERR [IN-USE] ");
	the_time += 2;
	second = login(&w);
	assert_non_null(second);
	assert_reply(&w, "+OK 1 messages");
	assert_int_equal(say(&w, first, "QUIT\r\n"), SESSION_CLOSE);
	assert_reply(&w, "-ERR [IN-USE] ");
	pop3_session.close(first, "test");
	assert_int_equal(say(&w, second, "STAT\r\n"), SESSION_INPUT);
	assert_string_equal(buf_str(&w.out), "+OK 1 14\r\n");
	pop3_session.close(second, "test");
	world_close(&w);
}

/* 5,000 lines of a listing come in several steps, and in one piece for the client. */
static void a_long_listing_comes_in_steps(void **state)
{
	struct world w;
	unsigned steps = 0, lines = 0;
	enum session_want want;
	size_t used;
	void *s;

	(void)state;
	world_open(&w);
	w.settings.pop3_uidl_format = "%060u";
	for (int i = 0; i < 1500; i++)
		add(&w, "Subject: x\r\n\r\n");
	s = login(&w);
	buf_reset(&w.out);
	want = pop3_session.input(s, SLICE("UIDL\r\n"), &used, &w.out);
	assert_int_equal(want, SESSION_MORE);
	want = pop3_session.input(s, SLICE("NOOP\r\n"), &used, &w.out);
	assert_int_equal(want, SESSION_MORE);
	assert_int_equal(used, 0);
	for (; want == SESSION_MORE; steps++)
		want = pop3_session.step(s, &w.out);
	for (size_t i = 0; i < w.out.len; i++)
		lines += w.out.p[i] == '\n';
	assert_int_equal(lines, 1502);
	assert_in_range(steps, 1, 3);
	pop3_session.close(s, "test");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_maildrop_is_fixed_at_login),
		cmocka_unit_test(quit_deletes_and_a_broken_line_does_not),
		cmocka_unit_test(what_another_program_deleted_is_told),
		cmocka_unit_test(in_use_while_active_then_taken_over),
		cmocka_unit_test(a_long_listing_comes_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
