/*
 * tests/unit/store/test_share.c - one user's mailbox among processes: writers and sessions at once, and writers that are killed.
 */
#include "object_store.h"
#include "store_env.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>


#define WRITERS 4
#define EACH 150

static void write_some(struct env *v, int who, int n, volatile int *acked)
{
	for (int i = 0; i < n; i++) {
		char text[400];

		snprintf(text, sizeof text, "Subject: hello W%dI%d\r\n\r\nx\r\n", who, i);
		env_deliver(v, "INBOX", arena_printf(v->a, "W%dI%d", who, i), text);
		acked[who] = i + 1;
	}
}

static void read_some(struct env *v, int who, volatile int *stop)
{
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_SEEN };
	struct mbox *m = env_folder(v, "INBOX"), *d = env_folder(v, "Archive");
	struct view *x = view_open(m, false);

	while (!*stop) {
		uint32_t last = 0, n;

		OK(v, view_sync(x, true, NULL, NULL, &v->e));
		n = view_count(x);
		for (uint32_t i = 1; i <= n; i++) {
			uint32_t uid = view_get(x, i)->uid;

			if (uid <= last)
				_exit(3);
			last = uid;
		}
		if (n > 0) {
			struct uid_range r;
			uint32_t seq = n;

			OK(v, view_store_flags(x, &seq, 1, &ch, v->a, NULL, NULL, &v->e));
			seq = 1;
			if (who == 0 && n > 5 && view_move(x, &seq, 1, d, &r, &v->e) != 0 && v->e.kind != ERR_NOTFOUND)
				_exit(4);
		}
		arena_reset(v->a);
	}
	view_close(&x);
	mbox_close(&m);
	mbox_close(&d);
}

static pid_t spawn(struct env *v, int role, int who, volatile int *shared)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	env_open(v);
	if (role == 0)
		write_some(v, who, EACH, shared);
	else
		read_some(v, who, shared + 32);
	box_close(&v->b);
	_exit(0);
}

/* Every message that was delivered is in INBOX or Archive, once; UIDs are unique. */
static void check(struct env *v, const volatile int *acked, bool exact)
{
	static const char *const folders[] = { "INBOX", "Archive" };
	unsigned char found[WRITERS][EACH] = { { 0 } };
	uint64_t octets, messages, sum = 0;
	int total = 0;

	env_open(v);
	for (int f = 0; f < 2; f++) {
		struct mbox *m = env_folder(v, folders[f]);
		struct view *x = view_open(m, true);

		for (uint32_t i = 1; i <= view_count(x); i++) {
			struct mbody b;
			int w, n;

			OK(v, view_read(x, i, &b, &v->e));
			assert_int_equal(sscanf(b.octets.p, "Subject: hello W%dI%d", &w, &n), 2);
			assert_int_equal(found[w][n]++, 0);
			sum += b.octets.n;
			mbody_done(&b);
			total++;
		}
		view_close(&x);
		mbox_close(&m);
	}
	for (int w = 0; w < WRITERS; w++)
		for (int i = 0; i < acked[w]; i++)
			assert_int_equal(found[w][i], 1);
	if (exact)
		assert_int_equal(total, WRITERS * EACH);
	OK(v, box_quota(v->b, &octets, &messages, &v->e));
	assert_int_equal(messages, total);
	assert_int_equal(octets, sum);
	box_close(&v->b);
}

static volatile int *shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void test_all_at_once(void **state)
{
	struct env *v = *state;
	volatile int *shared = shared_page();
	pid_t writer[WRITERS], reader[3];
	int status;

	env_open(v);
	box_close(&v->b);
	for (int i = 0; i < WRITERS; i++)
		writer[i] = spawn(v, 0, i, shared);
	for (int i = 0; i < 3; i++)
		reader[i] = spawn(v, 1, i, shared);
	for (int i = 0; i < WRITERS; i++) {
		waitpid(writer[i], &status, 0);
		assert_int_equal(status, 0);
	}
	shared[32] = 1;
	for (int i = 0; i < 3; i++) {
		waitpid(reader[i], &status, 0);
		assert_int_equal(status, 0);
	}
	check(v, shared, true);
}

ENV_SETUP_OBJECT

static void env_again(void **state)
{
	bool objects = ((struct env *)*state)->opt.store != NULL;

	(objects ? env_teardown_object : env_teardown)(state);
	(objects ? env_setup_object : env_setup)(state);
}

/* SIGKILL at random moments, again and again: what was acknowledged is there once, what was not is there once or not at all. */
static void test_killed(void **state)
{
	struct env *v = *state;
	unsigned seed = 7;

	for (int round = 0; round < 8; round++) {
		volatile int *shared = shared_page();
		pid_t writer[WRITERS], reader;
		int status;

		env_open(v);
		box_close(&v->b);
		for (int i = 0; i < WRITERS; i++)
			writer[i] = spawn(v, 0, i, shared);
		reader = spawn(v, 1, 0, shared);
		usleep((useconds_t)(5000 + rand_r(&seed) % 40000));
		for (int i = 0; i < WRITERS; i++)
			kill(writer[i], SIGKILL);
		kill(reader, SIGKILL);
		for (int i = 0; i < WRITERS; i++)
			waitpid(writer[i], &status, 0);
		waitpid(reader, &status, 0);
		check(v, shared, false);
		munmap((void *)(uintptr_t)shared, 4096);
		env_again(state);
		v = *state;
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
#define O(f) { #f " (objects)", f, env_setup_object, env_teardown_object, NULL }
	const struct CMUnitTest tests[] = { T(test_all_at_once), T(test_killed), O(test_all_at_once), O(test_killed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
