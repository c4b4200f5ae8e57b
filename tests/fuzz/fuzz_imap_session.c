/*
 * Any octets as an IMAP session after login, on a small real mailbox in a directory of its own, which is made anew for each input.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "imapd/imapd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t wall_s(void)
{
	return 1795341600;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int fill(struct box *box, struct err *e)
{
	static const struct slice messages[] = {
		SLICE_INIT("From: a@b\r\nSubject: one\r\nMessage-ID: <1@x>\r\n\r\nHello\r\n"),
		SLICE_INIT("From: b@b\r\nSubject: Re: one\r\nReferences: <1@x>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n1\r\n--x\r\n"
		           "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--x--\r\n"),
	};
	struct mbox *m = NULL;

	if (mbox_open(&m, box, SLICE("INBOX"), e) != 0)
		return -1;
	for (size_t i = 0; i < 2; i++) {
		struct mappend *ap;
		uint32_t uid;

		if (mappend_begin(&ap, m, messages[i].n, e) != 0 || mappend_write(ap, messages[i], e) != 0 || mappend_commit(&ap, 0, NULL, 0, 1000, &uid, e) != 0)
			return -1;
	}
	mbox_close(&m);
	return 0;
}

static void talk(const struct session_env *env, struct slice in)
{
	const struct session_start st = { .user = SLICE("u1@office.test"), .session_id = SLICE("fuzz"), .state = SLICE("La\n") };
	struct buf out, parked;
	void *s;

	buf_init(&out, 64u << 20);
	buf_init(&parked, 16384);
	s = imap_session.open(env, &st, &out);
	for (bool open = s != NULL; open;) {
		size_t used = 0;
		enum session_want want = imap_session.input(s, in, &used, &out);

		while (want == SESSION_MORE)
			want = imap_session.step(s, &out);
		if (used > in.n)
			abort();
		in = slice_from(in, used);
		open = want != SESSION_CLOSE && (used > 0 && in.n > 0);
		buf_reset(&out);
	}
	if (s != NULL) {
		imap_session.changed(s, &out);
		if (imap_session.park(s, &parked)) {
			const struct session_start again = { .user = st.user, .session_id = st.session_id, .state = buf_view(&parked), .parked = true };

			imap_session.close(s, "parked");
			s = imap_session.open(env, &again, &out);
			if (s == NULL)
				abort();
		}
		imap_session.close(s, "end of input");
	}
	buf_done(&out);
	buf_done(&parked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct box_options opt = { .special_folders = "Sent Trash", .hostname = "h" };
	char in_memory[] = "/dev/shm/fuzz_imap.XXXXXX", on_disk[] = "/tmp/fuzz_imap.XXXXXX";
	char *dir = access("/dev/shm", W_OK) == 0 ? in_memory : on_disk;      /* the store's flushes cost nothing there */
	struct settings *set = NULL;
	struct box *box = NULL;
	struct err e = ERR_INIT;
	void *shared = NULL;

	if (log_open("/dev/null", LOG_L_ERROR, &e) != 0 || conf_load(&set, NULL, NULL, NULL, &e) != 0 || mkdtemp(dir) == NULL)
		abort();
	if (box_open(&box, dir, true, &opt, &e) != 0 || fill(box, &e) != 0)
		abort();
	const struct session_env env = { .s = set, .box = box, .wall_s = wall_s, .shared = &shared };

	talk(&env, slice_mem(data, size));
	imap_session.shared_free(shared);
	box_close(&box);
	conf_free(&set);
	log_close();
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
