/* The messages among front, spawner and session process: what goes in comes out, what is cut or too long is refused; and the way to a user's mail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/settings.h"
#include "io/loop.h"
#include "serve/boxdir.h"
#include "serve/session_msg.h"

struct seen {
	struct loop *l;
	struct session_card card;
	char user[64], state[64], left[64], ticket[64];
	uint64_t id;
	int fd, cards, broken;
};

static void on_msg(void *ctx, struct msg *m)
{
	struct seen *s = ctx;
	struct session_card card;

	if (m->type == SMSG_EXIT) {
		if (session_msg_read_id(m, &s->id) < 0)
			s->broken++;
		loop_stop(s->l);
		return;
	}
	if (session_msg_read_card(m, &card) < 0) {
		s->broken++;
		return;
	}
	s->fd = msg_take_fd(m);
	s->card = card;
	s->cards++;
	memcpy(s->user, card.user.p, card.user.n);
	memcpy(s->state, card.state.p, card.state.n);
	memcpy(s->left, card.left.p, card.left.n);
	memcpy(s->ticket, card.ticket.p, card.ticket.n);
}

static void on_close(void *ctx)
{
	struct seen *s = ctx;

	loop_stop(s->l);
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };

static void a_card_travels(void **state)
{
	struct session_card card = { .id = 1ull << 63, .front = 7, .idle_left_s = 1800, .parked_others = 3, .linger_ms = 2000, .tls = true, .parked = true,
		.peer = { { 192, 0, 2, 1 }, 4, 40000 }, .user = SLICE("anna@office.example"), .session_id = SLICE("s1"), .method = SLICE("PLAIN"),
		.state = SLICE("8Sent"), .left = SLICE("STAT\r\n"),
		.ticket = SLICE("0123456789abcdef") };
	struct seen seen = { .l = loop_new(), .fd = -1 };
	struct err e = ERR_INIT;
	struct chan *a, *b;
	int fds[2], pipe_fds[2];
	char c;

	(void)state;
	assert_int_equal(chan_pair(fds, &e), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	a = chan_new(seen.l, fds[0], &ops, &seen);
	b = chan_new(seen.l, fds[1], &ops, &seen);
	session_msg_card(a, SMSG_START, &card, pipe_fds[1]);
	session_msg_id(a, SMSG_EXIT, 42);
	loop_run(seen.l);
	assert_int_equal(seen.cards, 1);
	assert_int_equal(seen.broken, 0);
	assert_int_equal(seen.id, 42);
	assert_true(seen.card.id == card.id && seen.card.front == 7 && seen.card.idle_left_s == 1800);
	assert_true(seen.card.parked_others == 3 && seen.card.linger_ms == 2000 && seen.card.tls && seen.card.parked);
	assert_true(net_addr_eq(&seen.card.peer, &card.peer));
	assert_int_equal(seen.card.peer.port, 40000);
	assert_string_equal(seen.user, "anna@office.example");
	assert_string_equal(seen.state, "8Sent");
	assert_string_equal(seen.left, "STAT\r\n");
	assert_string_equal(seen.ticket, "0123456789abcdef");
	assert_int_equal(write(seen.fd, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	close(seen.fd);
	close(pipe_fds[0]);
	chan_free(&a);
	chan_free(&b);
	loop_free(&seen.l);
}

static void a_broken_card_is_refused(void **state)
{
	struct session_card out = { .id = 5 };
	struct msg m;
	uint64_t id = 9;

	(void)state;
	msg_init(&m, SMSG_START);
	m.rest = SLICE("short");
	assert_int_equal(session_msg_read_card(&m, &out), -1);
	assert_int_equal(out.id, 5);
	m.broken = false;
	m.rest = SLICE("123456789");                                  /* one octet too many */
	assert_int_equal(session_msg_read_id(&m, &id), -1);
	assert_int_equal(id, 9);
	msg_free(&m);
}

static void box_dirs(void **state)
{
	static const struct { struct slice user; const char *want; } cases[] = {
		{ SLICE_INIT("anna@office.example"), "/m/office.example/anna" },
		{ SLICE_INIT("a.b@x"),               "/m/x/a.b" },
		{ SLICE_INIT("anna"),                NULL },
		{ SLICE_INIT("@x"),                  NULL },
		{ SLICE_INIT("a@"),                  NULL },
		{ SLICE_INIT("..@x"),                NULL },
		{ SLICE_INIT("a@.."),                NULL },
		{ SLICE_INIT("a/b@x"),               NULL },
		{ SLICE_INIT("a@../../etc"),         NULL },
		{ SLICE_INIT("a\0b@x"),              NULL },
		{ SLICE_INIT(""),                    NULL },
	};
	struct settings s = { .mail_directory = "/m" };
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = boxdir_of(&s, cases[i].user, &b);

		assert_int_equal(rc, cases[i].want != NULL ? 0 : -1);
		assert_string_equal(buf_str(&b), cases[i].want != NULL ? cases[i].want : "");
		buf_reset(&b);
	}
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_travels),
		cmocka_unit_test(a_broken_card_is_refused),
		cmocka_unit_test(box_dirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
