/*
 * tests/unit/store/test_rebuild.c - index, log and cache may be deleted or damaged at any time: UIDs, UIDVALIDITY, flags and keywords stay.
 */
#include "store_env.h"

#include <dirent.h>
#include <fcntl.h>

#include "store/folder.h"

#define N 40

static const char *const files[] = { "posthouse.log", "posthouse.index", "posthouse.cache" };

static void path_of(struct env *v, const char *name, char out[512])
{
	snprintf(out, 512, "%s/office.test/u1/%s", v->dir, name);
}

/* N messages, some expunged, some flagged; folded when asked, so that there is an index. */
static void fill(struct env *v, int rounds)
{
	struct slice label = SLICE("$Label1"), more[30];
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_SEEN, .keywords = &label, .n_keywords = 1 };
	struct flag_change del = { .op = FLAGS_ADD, .flags = MSG_DELETED };
	struct mbox *m;
	struct view *x;
	uint32_t seqs[] = { 2, 5, 7 }, last[] = { 10 }, all[] = { 11 };

	env_open(v);
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < N; i++) {
			char id[32];

			snprintf(id, sizeof id, "R%dN%d", r, i);
			env_deliver(v, "INBOX", id, MESSAGE);
		}
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	OK(v, view_store_flags(x, seqs, 3, &ch, v->a, NULL, NULL, &v->e));
	for (size_t i = 0; i < 30; i++)
		more[i] = slice_of(arena_printf(v->a, "key%zu", i));
	ch = (struct flag_change){ .op = FLAGS_ADD, .keywords = more, .n_keywords = 30 };
	OK(v, view_store_flags(x, all, 1, &ch, v->a, NULL, NULL, &v->e));
	OK(v, view_store_flags(x, last, 1, &del, v->a, NULL, NULL, &v->e));
	OK(v, view_expunge(x, NULL, 0, &v->e));
	view_close(&x);
	mbox_close(&m);
	box_close(&v->b);
}

struct picture { uint32_t uidvalidity, uidnext, count; struct mrec r[20000]; };

static void take(struct env *v, struct picture *p)
{
	struct mbox *m;
	struct view *x;

	env_open(v);
	m = env_folder(v, "INBOX");
	x = view_open(m, true);
	memset(p, 0, sizeof *p);
	p->uidvalidity = mbox_uidvalidity(m);
	p->uidnext = mbox_uidnext(m);
	p->count = view_count(x);
	for (uint32_t i = 0; i < p->count; i++) {
		struct slice text;

		p->r[i] = *view_get(x, i + 1);
		p->r[i].modseq = 0;
		OK(v, view_cached(x, i + 1, MCACHE_ENVELOPE, v->a, &text, &v->e));
		assert_true(slice_find(text, SLICE("\"hello\"")) > 0);
		if (i % 100 == 0)
			arena_reset(v->a);
	}
	view_close(&x);
	mbox_close(&m);
	box_close(&v->b);
}

static void same(const struct picture *a, const struct picture *b)
{
	assert_int_equal(a->uidvalidity, b->uidvalidity);
	assert_int_equal(a->count, b->count);
	assert_true(b->uidnext >= a->uidnext);
	for (uint32_t i = 0; i < a->count; i++)
		if (memcmp(&a->r[i], &b->r[i], sizeof a->r[i]) != 0)
			fail_msg("message %u: uid %u/%u flags %x/%x keywords %llx/%llx size %llu/%llu", i, a->r[i].uid, b->r[i].uid, a->r[i].flags, b->r[i].flags,
			    (unsigned long long)a->r[i].keywords, (unsigned long long)b->r[i].keywords, (unsigned long long)a->r[i].size, (unsigned long long)b->r[i].size);
}

static void delete_each(struct env *v, int rounds)
{
	struct picture *before = calloc(1, sizeof *before), *after = calloc(1, sizeof *after);
	char path[512];

	fill(v, rounds);
	take(v, before);
	assert_int_equal(before->count, rounds * N - 1);
	assert_int_equal(before->r[1].flags, MSG_SEEN);
	assert_int_equal(before->r[9].keywords, 0x7ffffffe);
	for (int mask = 1; mask < 8; mask++) {
		for (int i = 0; i < 3; i++)
			if ((mask >> i & 1) != 0) {
				path_of(v, files[i], path);
				unlink(path);
			}
		take(v, after);
		same(before, after);
	}
	free(before);
	free(after);
}

static void test_delete_small(void **state)
{
	delete_each(*state, 1);
}

static void test_delete_folded(void **state)
{
	delete_each(*state, 20);                                      /* enough for a snapshot */
}

static void flip(const char *path, off_t at, int bit)
{
	unsigned char c;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (unsigned char)(c ^ 1 << bit);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void damage(struct env *v, int rounds, const char *name)
{
	struct picture *before = calloc(1, sizeof *before), *after = calloc(1, sizeof *after);
	char path[512];
	unsigned seed = 42;

	fill(v, rounds);
	take(v, before);
	path_of(v, name, path);
	for (int turn = 0; turn < 60; turn++) {
		off_t n = size_of(path);

		assert_true(n > 0);
		if (turn % 4 == 3)
			assert_int_equal(truncate(path, rand_r(&seed) % n), 0);
		else
			flip(path, rand_r(&seed) % n, rand_r(&seed) % 8);
		take(v, after);
		same(before, after);
		/* A new message finds its place, with a UID that was never used. */
		*before = *after;
		env_open(v);
		env_deliver(v, "INBOX", arena_printf(v->a, "T%d", turn), MESSAGE);
		box_close(&v->b);
		take(v, after);
		assert_int_equal(after->count, before->count + 1);
		assert_true(after->r[after->count - 1].uid >= before->uidnext);
		*before = *after;
	}
	free(before);
	free(after);
}

static void test_damaged_log(void **state)
{
	damage(*state, 1, "posthouse.log");
}

static void test_damaged_index(void **state)
{
	damage(*state, 20, "posthouse.index");
}

static void test_damaged_log_behind_index(void **state)
{
	damage(*state, 20, "posthouse.log");
}

static void test_damaged_cache(void **state)
{
	damage(*state, 1, "posthouse.cache");
}

/* Another program delivers, sets a flag, removes; and a copy of one of our files appears. */
static void test_foreign(void **state)
{
	struct env *v = *state;
	struct picture *p = calloc(1, sizeof *p);
	char path[512], other[1024];
	const struct dirent *d;
	FILE *f;
	DIR *dir;
	int n = 0;

	fill(v, 1);
	path_of(v, "new/1600000000.M1P2.host", path);
	f = fopen(path, "w");
	fputs("Subject: hello\n\nline\n", f);
	fclose(f);
	take(v, p);
	assert_int_equal(p->count, N);
	assert_int_equal(p->r[N - 1].size, strlen("Subject: hello\r\n\r\nline\r\n"));
	assert_true(p->r[N - 1].uid > N);
	path_of(v, "cur", path);
	dir = opendir(path);
	while ((d = readdir(dir)) != NULL) {
		char from[1024];

		if (strstr(d->d_name, "N3.") == NULL && strstr(d->d_name, "N4.") == NULL && strstr(d->d_name, "N6.") == NULL)
			continue;
		snprintf(from, sizeof from, "%s/%s", path, d->d_name);
		snprintf(other, sizeof other, "%s/%sF", path, d->d_name);
		if (strstr(d->d_name, "N3.") != NULL)
			n += rename(from, other) == 0;
		else if (strstr(d->d_name, "N4.") != NULL)
			n += unlink(from) == 0;
		else
			n += link(from, other) == 0;
	}
	closedir(dir);
	assert_int_equal(n, 3);
	take(v, p);
	assert_int_equal(p->count, N);                                /* one less, and the copy */
	assert_int_equal(p->r[3].uid, 4);
	assert_int_equal(p->r[3].flags, MSG_FLAGGED);
	assert_int_equal(p->r[4].uid, 6);
	for (uint32_t i = 1; i < p->count; i++)
		assert_true(p->r[i].uid > p->r[i - 1].uid);
	free(p);
}

/* A session that has the folder open goes on while the files vanish under it. */
static void test_deleted_under_a_view(void **state)
{
	struct env *v = *state;
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_FLAGGED };
	struct mbox *m;
	struct view *x;
	char path[512];
	uint32_t one = 1;

	fill(v, 20);
	env_open(v);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	for (int turn = 0; turn < 4; turn++) {
		uint32_t count = view_count(x);

		for (int i = 0; i < 3; i++) {
			path_of(v, files[i], path);
			if (turn == 3)
				assert_int_equal(truncate(path, i == 1 ? size_of(path) : 70), 0);
			else if (turn != 1 || i == 0)
				unlink(path);
		}
		OK(v, view_sync(x, true, NULL, NULL, &v->e));
		assert_int_equal(view_count(x), count);
		env_deliver(v, "INBOX", arena_printf(v->a, "U%d", turn), MESSAGE);
		OK(v, view_store_flags(x, &one, 1, &ch, v->a, NULL, NULL, &v->e));
		OK(v, view_sync(x, true, NULL, NULL, &v->e));
		assert_int_equal(view_count(x), count + 1);
		assert_int_equal(view_get(x, 1)->flags, MSG_FLAGGED);
	}
	view_close(&x);
	mbox_close(&m);
}

/* What is in the cache and is no entry of a message goes at the next fold; the others are found again. */
static void test_cache_is_tidied(void **state)
{
	struct env *v = *state;
	const char *path = arena_printf(v->a, "%s/office.test/u1/posthouse.cache", v->dir);
	struct slice text;
	struct stat st;
	struct mbox *m;
	struct view *x;

	env_open(v);
	env_deliver_n(v, "INBOX", 3);
	assert_int_equal(truncate(path, 4 << 20), 0);
	m = env_folder(v, "INBOX");
	env_deliver(v, "INBOX", "Qlast", MESSAGE);
	x = view_open(m, false);
	OK(v, view_store_flags(x, (uint32_t[]){ 2 }, 1, &(struct flag_change){ .op = FLAGS_ADD, .flags = MSG_DELETED }, v->a, NULL, NULL, &v->e));
	OK(v, view_expunge(x, NULL, 0, &v->e));
	OK(v, view_sync(x, true, NULL, NULL, &v->e));
	OK(v, mbox_begin(m, &v->e));
	OK(v, mbox_fold(m, &v->e));
	mbox_end(m);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 8 && st.st_size < 4096);
	for (uint32_t seq = 1; seq <= 3; seq++) {
		assert_true(mbox_slot_cache(m, view_slot(x, seq)) != 0);
		OK(v, view_cached(x, seq, MCACHE_ENVELOPE, v->a, &text, &v->e));
		assert_true(slice_find(text, SLICE("\"hello\"")) > 0);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 4096);                               /* nothing had to be computed again */
	view_close(&x);
	mbox_close(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = {
		T(test_cache_is_tidied), T(test_delete_small), T(test_delete_folded), T(test_damaged_log), T(test_damaged_index), T(test_damaged_log_behind_index),
		T(test_damaged_cache), T(test_foreign), T(test_deleted_under_a_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
