/* POP3 after login: any octets on a mailbox of three messages, whole and an octet at a time; both must say the same. */
#include <assert.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/settings.h"
#include "pop3d/pop3d.h"
#include "store/mbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzzpop3.XXXXXX";
static struct box *box;

static int64_t wall_s(void)
{
	return 1000000;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void tidy(void)
{
	box_close(&box);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void need(int rc)
{
	if (rc < 0)
		abort();
}

static void fill(void)
{
	static const char *const mails[] = { "Subject: a\r\n\r\n.\r\n.x\r\n", "Subject: b\r\n", "Subject: c\r\n\r\n1\r\n2\r\n3\r\n" };
	struct mbox *m = NULL;
	uint32_t uid;

	need(mbox_open(&m, box, SLICE("INBOX"), NULL));
	for (size_t i = 0; i < 3; i++) {
		struct mappend *a = NULL;

		need(mappend_begin(&a, m, strlen(mails[i]), NULL));
		need(mappend_write(a, slice_of(mails[i]), NULL));
		need(mappend_commit(&a, 0, NULL, 0, 0, &uid, NULL));
	}
	mbox_close(&m);
}

static void open_once(void)
{
	struct box_options opt = { .special_folders = "", .hostname = "h" };

	if (box != NULL)
		return;
	if (mkdtemp(dir) == NULL)
		abort();
	need(box_open(&box, dir, true, &opt, NULL));
	fill();
	atexit(tidy);
}

static void run(struct slice in, size_t step, struct buf *out)
{
	struct settings set = { .pop3_uidl_format = "%u.%v", .pop3_timeout = 600 };
	void *shared = NULL, *s;
	struct session_env env = { .s = &set, .box = box, .wall_s = wall_s, .shared = &shared };
	struct session_start st = { .user = SLICE("u@x"), .session_id = SLICE("s"), .state = SLICE("-") };
	enum session_want want = SESSION_INPUT;
	size_t at = 0, end = 0;

	s = pop3_session.open(&env, &st, out);
	assert(s != NULL);
	while (want != SESSION_CLOSE && (end < in.n || at < end)) {
		size_t used = 0;

		want = pop3_session.input(s, slice_from(slice_head(in, end), at), &used, out);
		at += used;
		assert(at <= end);
		while (want == SESSION_MORE)
			want = pop3_session.step(s, out);
		if (used == 0 && end == in.n)
			break;
		if (used == 0)
			end = end + step < in.n ? end + step : in.n;
	}
	pop3_session.close(s, "fuzz");
	pop3_session.shared_free(shared);
}

/* A deletion would change the mailbox for the inputs that follow. */
static bool would_delete(struct slice in)
{
	return slice_ifind(in, SLICE("DELE")) >= 0 && slice_ifind(in, SLICE("QUIT")) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(data, size);
	struct buf whole, octets;

	if (size > 16384 || would_delete(in))
		return 0;
	open_once();
	buf_init(&whole, BUF_UNBOUNDED);
	buf_init(&octets, BUF_UNBOUNDED);
	run(in, size + 1, &whole);
	run(in, 1, &octets);
	assert(slice_eq(buf_view(&whole), buf_view(&octets)));
	buf_done(&whole);
	buf_done(&octets);
	return 0;
}
