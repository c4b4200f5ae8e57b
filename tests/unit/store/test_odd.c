/*
 * tests/unit/store/test_odd.c - files that cannot be what they say: symbolic links, FIFOs, directories, sockets, devices, huge and unreadable ones,
 * in cur/ and new/ and in the place of our own files. Nothing is followed, nothing hangs, and what is refused is said in words.
 */
#include "store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "store/verify.h"

#define SECONDS 20                                                    /* whoever opens a FIFO waits for ever */
#define VICTIM "Subject: not yours\r\n\r\nsecret\r\n"

enum odd { LINK_TO_FILE, LINK_TO_NOTHING, FIFO, DIRECTORY, SOCKET, DEVICE, HUGE_ONE, UNREADABLE, ODDITIES };

static const char *const odd_text[ODDITIES] = {
	"a symbolic link", "a symbolic link", "a FIFO", "a directory", "a socket", "a device", "larger than a message may be", "not readable",
};

static char *path_of(struct env *v, const char *name)
{
	return arena_printf(v->a, "%s/office.test/u1/%s", v->dir, name);
}

static char *victim(struct env *v)
{
	return arena_printf(v->a, "%s/victim", v->dir);
}

static void make_socket(struct env *v, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *name = arena_printf(v->a, "%s/s", v->dir);        /* a path of a socket must be short */

	memcpy(to.sun_path, name, strlen(name) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
	close(fd);
	assert_int_equal(rename(name, path), 0);
}

/* False: not possible for this user. */
static bool make(struct env *v, enum odd what, const char *path)
{
	FILE *f;

	(void)remove(path);
	switch (what) {
	case LINK_TO_FILE:    return symlink(victim(v), path) == 0;
	case LINK_TO_NOTHING: return symlink("/nonexistent/place", path) == 0;
	case FIFO:            return mkfifo(path, 0600) == 0;
	case DIRECTORY:       return mkdir(path, 0700) == 0;
	case SOCKET:          make_socket(v, path); return true;
	case DEVICE:          return mknod(path, S_IFCHR | 0600, 1 << 8 | 5) == 0;      /* /dev/zero never ends */
	case HUGE_ONE:
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(ftruncate(fileno(f), (off_t)1 << 40), 0);
		assert_int_equal(fclose(f), 0);
		return true;
	case UNREADABLE:
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fputs(VICTIM, f) < 0, 0);
		assert_int_equal(fclose(f), 0);
		return chmod(path, 0) == 0 && access(path, R_OK) != 0;
	default:
		return false;
	}
}

static void begin(struct env *v)
{
	FILE *f = fopen(victim(v), "w");

	assert_non_null(f);
	assert_true(fputs(VICTIM, f) >= 0);
	assert_int_equal(fclose(f), 0);
	env_open(v);
	env_deliver_n(v, "INBOX", 3);
	box_close(&v->b);
}

static void victim_is_untouched(struct env *v)
{
	char text[64] = "";
	FILE *f = fopen(victim(v), "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	assert_int_equal(n, strlen(VICTIM));
	assert_string_equal(text, VICTIM);
}

static void on_line(void *ctx, const char *text)
{
	buf_putf(ctx, "%s\n", text);
}

static void says(struct env *v, const char *part)
{
	struct buf out;
	struct verify_report to = { on_line, &out };
	unsigned faults = 0;

	buf_init(&out, BUF_UNBOUNDED);
	OK(v, box_verify(v->b, true, &to, &faults, &v->e));
	if (faults == 0 || strstr(buf_str(&out), part) == NULL)
		fail_msg("verify does not say \"%s\" but: %s", part, buf_str(&out));
	buf_done(&out);
}

static void reads_all(struct env *v, uint32_t count)
{
	struct mbox *m = env_folder(v, "INBOX");
	struct view *x = view_open(m, false);

	assert_int_equal(view_count(x), count);
	for (uint32_t i = 1; i <= count; i++) {
		struct slice text;

		OK(v, view_cached(x, i, MCACHE_ENVELOPE, v->a, &text, &v->e));
		assert_true(slice_find(text, SLICE("\"hello\"")) > 0);
	}
	view_close(&x);
	mbox_close(&m);
}

/* ---- among the messages ---- */

static void in_folder(struct env *v, const char *name, enum odd what)
{
	const char *path = path_of(v, name);

	if (!make(v, what, path))
		return;
	alarm(SECONDS);
	env_open(v);
	reads_all(v, 3);
	says(v, odd_text[what]);
	reads_all(v, 3);
	box_close(&v->b);
	alarm(0);
	assert_int_equal(remove(path), 0);
	victim_is_untouched(v);
}

static void test_among_messages(void **state)
{
	static const char *const names[] = {
		"new/1700000001.5.elsewhere", "cur/1700000001.5.elsewhere:2,S", "cur/1700000001.5.elsewhere,S=30,U=1.1:2,", ".Sent/cur/1700000001.5.elsewhere",
	};

	begin(*state);
	for (enum odd what = 0; what < ODDITIES; what++)
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			in_folder(*state, names[i], what);
}

/* In the place of a message that the index knows: the message is gone, its neighbours are there. */
static void test_instead_of_a_message(void **state)
{
	struct env *v = *state;
	uint32_t count = 3;

	begin(v);
	for (enum odd what = 0; what < ODDITIES; what++) {
		const char *path;

		env_open(v);
		path = env_deliver(v, "INBOX", arena_printf(v->a, "ODD%d", (int)what), MESSAGE);
		box_close(&v->b);
		usleep(20000);                                        /* a directory's time may have steps of some milliseconds */
		if (!make(v, what, path)) {
			(void)remove(path);
			continue;
		}
		alarm(SECONDS);
		env_open(v);
		if (what != HUGE_ONE && what != UNREADABLE) {
			reads_all(v, count);
		} else {                                              /* a plain file under the right name: only reading it tells */
			struct mbox *m = env_folder(v, "INBOX");
			struct view *x = view_open(m, false);
			struct mbody b;

			assert_int_equal(view_count(x), count + 1);
			assert_int_equal(view_read(x, count + 1, &b, &v->e), -1);
			assert_int_equal(v->e.kind, ERR_DENIED);
			view_close(&x);
			mbox_close(&m);
		}
		says(v, odd_text[what]);
		box_close(&v->b);
		alarm(0);
		(void)remove(path);
		victim_is_untouched(v);
	}
}

/* ---- in the place of our own files ---- */

/* It works as if the file were not there, or it is refused with the file's name and a reason. */
static void in_place(struct env *v, const char *name, enum odd what)
{
	struct delivery d = { .queue_id = arena_printf(v->a, "%sx%d", name + 10, (int)what), .octets = SLICE_INIT(MESSAGE), .internaldate = 1700000000 };
	const char *path = path_of(v, name), *unused, *kept = arena_printf(v->a, "%s.kept", path);
	bool had = rename(path, kept) == 0;
	int rc;

	if (make(v, what, path)) {
		alarm(SECONDS);
		rc = box_open(&v->b, path_of(v, ""), true, &v->opt, &v->e);
		if (rc == 0)
			rc = box_deliver(v->b, SLICE("INBOX"), &d, v->a, &unused, &v->e);
		if (rc == 0) {
			struct folder_status s;

			OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
			assert_true(s.messages >= 4);
		} else if (strstr(v->e.text, name) == NULL || strlen(v->e.text) < strlen(name) + 10) {
			fail_msg("%s is %s: \"%s\" does not say so", name, odd_text[what], v->e.text);
		}
		box_close(&v->b);
		alarm(0);
		victim_is_untouched(v);
	}
	(void)remove(path);
	if (had)
		assert_int_equal(rename(kept, path), 0);
}

static void test_in_place_of_our_files(void **state)
{
	static const char *const names[] = {
		"posthouse.log", "posthouse.index", "posthouse.cache", "posthouse.folder", "posthouse.quota", "posthouse.box", "posthouse.subscriptions",
	};
	struct env *v = *state;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		for (enum odd what = 0; what < ODDITIES; what++) {
			begin(v);
			in_place(v, names[i], what);
			nftw(path_of(v, ""), env_rm, 16, FTW_DEPTH | FTW_PHYS);
		}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = { T(test_among_messages), T(test_instead_of_a_message), T(test_in_place_of_our_files) };
	int bad = cmocka_run_group_tests(tests, NULL, NULL);

	/* To root everything is readable, others can't make devices: as both. */
	if (bad == 0 && geteuid() == 0 && setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0)
		bad = cmocka_run_group_tests(tests, NULL, NULL);
	return bad;
}
