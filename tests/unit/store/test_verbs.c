/*
 * tests/unit/store/test_verbs.c - what mailbox code relies on in a backend, verb by verb (store/store.h), and UIDs above them. Every backend must pass all of it.
 */
#include "object_store.h"
#include "store_env.h"

#include <signal.h>
#include <sys/wait.h>

#define REFUSED(v, kind_, call) do { assert_int_equal((call), -1); assert_int_equal((v)->e.kind, (kind_)); } while (0)
#define WRITERS 8
#define ROWS 40

ENV_SETUP_OBJECT

static const struct store *store_of(const struct env *v)
{
	return v->opt.store != NULL ? v->opt.store : store_local();
}

static struct shelf *place(struct env *v, struct shelf **top)
{
	struct shelf *h;

	OK(v, store_shelf_open(store_of(v), arena_printf(v->a, "%s/place", v->dir), true, top, &v->e));
	OK(v, store_shelf_make(*top, "", &v->e));
	OK(v, store_shelf_child(*top, "", true, &h, &v->e));
	return h;
}

static void put_away(struct shelf *h, struct shelf *top)
{
	store_shelf_close(&h);
	store_shelf_close(&top);
}

static int count_name(void *ctx, const char *name)
{
	(void)name;
	++*(unsigned *)ctx;
	return 0;
}

static unsigned names_in(struct env *v, struct shelf *h, enum bay bay)
{
	unsigned n = 0;

	OK(v, store_blob_list(h, bay, count_name, &n, &v->e));
	return n;
}

static void put_message(struct env *v, struct shelf *h, const char *name, const char *text)
{
	struct draft *d;

	OK(v, store_draft_open(h, NULL, &d, &v->e));
	OK(v, store_draft_write(d, 0, slice_of(text), &v->e));
	OK(v, store_draft_place(d, name, &v->e));
	OK(v, store_draft_flush(d, &v->e));
	store_draft_drop(&d);
}

static bool holds(struct env *v, struct shelf *h, enum bay bay, const char *name, const char *text)
{
	struct blob b;
	bool same;

	OK(v, store_blob_read(h, bay, name, BLOB_MAP, &b, &v->e));
	same = slice_eqs(b.octets, text);
	store_blob_done(&b);
	return same;
}

/* A message is there whole under its name, or not at all; it keeps its octets whatever becomes of its other names. */
static void test_blobs(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top), *to;
	struct draft *d;
	struct buf ref;
	int64_t stamp = store_blob_stamp(h, BAY_CUR);

	OK(v, store_draft_open(h, NULL, &d, &v->e));
	OK(v, store_draft_write(d, 0, SLICE("half a mess"), &v->e));
	assert_int_equal(names_in(v, h, BAY_CUR), 0);
	store_draft_drop(&d);
	assert_int_equal(names_in(v, h, BAY_CUR) + names_in(v, h, BAY_TMP), 0);
	put_message(v, h, "one", "first");
	assert_true(store_blob_stamp(h, BAY_CUR) != stamp);
	OK(v, store_draft_open(h, NULL, &d, &v->e));
	OK(v, store_draft_write(d, 0, SLICE("other"), &v->e));
	REFUSED(v, ERR_EXISTS, store_draft_place(d, "one", &v->e));
	store_draft_drop(&d);
	assert_true(holds(v, h, BAY_CUR, "one", "first"));

	OK(v, store_shelf_make(top, ".Sent", &v->e));
	OK(v, store_shelf_child(top, ".Sent", true, &to, &v->e));
	OK(v, store_blob_link(h, "one", to, "copy", &v->e));
	REFUSED(v, ERR_EXISTS, store_blob_link(h, "one", to, "copy", &v->e));
	REFUSED(v, ERR_NOTFOUND, store_blob_link(h, "none", to, "copy2", &v->e));
	OK(v, store_blob_move(h, BAY_CUR, "one", to, "moved", &v->e));
	assert_int_equal(names_in(v, h, BAY_CUR), 0);
	OK(v, store_blob_delete(to, BAY_CUR, "copy", &v->e));
	REFUSED(v, ERR_NOTFOUND, store_blob_delete(to, BAY_CUR, "copy", &v->e));
	assert_true(holds(v, to, BAY_CUR, "moved", "first"));
	buf_init(&ref, BUF_UNBOUNDED);
	store_blob_ref(to, "moved", &ref);
	OK(v, store_blob_link_ref(buf_str(&ref), h, "again", &v->e));
	REFUSED(v, ERR_EXISTS, store_blob_link_ref("/nowhere", h, "more", &v->e));
	assert_true(holds(v, h, BAY_CUR, "again", "first"));
	buf_done(&ref);
	put_away(to, NULL);
	put_away(h, top);
}

static void test_shelves(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top), *child;
	unsigned n = 0;

	REFUSED(v, ERR_NOTFOUND, store_shelf_child(top, ".a", false, &child, &v->e));
	OK(v, store_shelf_make(top, ".a", &v->e));
	REFUSED(v, ERR_EXISTS, store_shelf_make(top, ".a", &v->e));
	OK(v, store_shelf_child(top, ".a", false, &child, &v->e));
	assert_true(store_shelf_number(child) != store_shelf_number(h));
	put_message(v, child, "m", "text");
	OK(v, store_shelf_rename(top, ".a", ".b", &v->e));
	assert_true(holds(v, child, BAY_CUR, "m", "text"));            /* open ones stay open */
	assert_true(store_shelf_has(top, ".b") && !store_shelf_has(top, ".a"));
	OK(v, store_shelf_list(top, count_name, &n, &v->e));
	assert_int_equal(n, 1);
	OK(v, store_shelf_remove(top, ".b", &v->e));
	assert_false(store_shelf_has(top, ".b"));
	assert_true(store_shelf_look(top));
	put_away(child, NULL);
	put_away(h, top);
}

static void test_kv(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top);
	struct buf b;

	buf_init(&b, 100);
	assert_false(store_kv_has(h, "x"));
	REFUSED(v, ERR_NOTFOUND, store_kv_get(h, "x", &b, &v->e));
	OK(v, store_kv_put(h, "x", SLICE("one"), true, &v->e));
	OK(v, store_kv_put(h, "x", SLICE("two"), false, &v->e));
	OK(v, store_kv_get(h, "x", &b, &v->e));
	assert_string_equal(buf_str(&b), "two");
	buf_done(&b);
	put_away(h, top);
}

/* ---- compare-and-append: 8 processes without a lock ---- */

static void append_rows(struct env *v, int who)
{
	struct shelf *top, *h = place(v, &top);
	struct store_log *l;

	OK(v, store_log_open(h, "rows", LOG_MAKE, &l, &v->e));
	for (int done = 0; done < ROWS;) {
		char row[8] = { 'r', (char)('0' + who), (char)('0' + done / 10), (char)('0' + done % 10), '.', '.', '.', '\n' };
		uint64_t size;

		if (!store_log_look(l, &size))
			_exit(2);
		if (store_log_append(l, size, slice_mem(row, sizeof row), &v->e) == 0)
			done++;
		else if (v->e.kind != ERR_EXISTS)
			_exit(1);
	}
	store_log_close(&l);
	put_away(h, top);
}

static void join(const pid_t *pid, int n)
{
	for (int i = 0; i < n; i++) {
		int status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
}

static void test_compare_and_append(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top);
	char all[WRITERS * ROWS * 8 + 8];
	int next[WRITERS] = { 0 };
	struct store_log *l;
	pid_t pid[WRITERS];
	size_t got;

	for (int i = 0; i < WRITERS; i++)
		if ((pid[i] = fork()) == 0) {
			append_rows(v, i);
			_exit(0);
		}
	join(pid, WRITERS);
	OK(v, store_log_open(h, "rows", 0, &l, &v->e));
	OK(v, store_log_read(l, 0, all, sizeof all, &got, &v->e));
	assert_int_equal(got, WRITERS * ROWS * 8);
	for (size_t at = 0; at < got; at += 8) {
		int who = all[at + 1] - '0';

		assert_true(all[at] == 'r' && all[at + 7] == '\n');
		assert_int_equal((all[at + 2] - '0') * 10 + all[at + 3] - '0', next[who]++);
	}
	REFUSED(v, ERR_EXISTS, store_log_append(l, got - 8, SLICE("old end"), &v->e));
	store_log_close(&l);
	put_away(h, top);
}

/* ---- locks go with their holder ---- */

static void hold_all(struct env *v, int told)
{
	struct shelf *top, *h = place(v, &top);
	struct store_log *l;
	struct tally *t;
	uint64_t size;
	bool replaced;

	OK(v, store_lease_take(top, &v->e));
	OK(v, store_log_open(h, "held", LOG_MAKE, &l, &v->e));
	OK(v, store_log_lock(l, &replaced, &size, &v->e));
	OK(v, store_tally_open(h, "sums", &t, &v->e));
	if (!store_tally_lock(t, TALLY_ROOM, true) || write(told, "x", 1) != 1)
		_exit(1);
	pause();
}

static void test_killed_holder(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top);
	struct store_log *l, *next;
	struct draft *d;
	struct tally *t;
	uint64_t size;
	bool replaced;
	int told[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	if ((pid = fork()) == 0) {
		hold_all(v, told[1]);
		_exit(1);
	}
	assert_int_equal(read(told[0], &c, 1), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	alarm(20);
	OK(v, store_lease_take(top, &v->e));
	store_lease_drop(top);
	OK(v, store_tally_open(h, "sums", &t, &v->e));
	assert_true(store_tally_lock(t, TALLY_ROOM, true));
	store_tally_close(&t);
	OK(v, store_log_open(h, "held", 0, &l, &v->e));
	OK(v, store_log_lock(l, &replaced, &size, &v->e));
	assert_false(replaced);

	/* Who waits for the old log hears that a new one has its place; the new one is its maker's first. */
	OK(v, store_draft_open(h, "held", &d, &v->e));
	OK(v, store_draft_write(d, 0, SLICE("new log"), &v->e));
	OK(v, store_log_swap(h, "held", d, &next, &v->e));
	store_draft_drop(&d);
	assert_false(store_log_look(l, &size));
	store_log_unlock(l);
	OK(v, store_log_lock(l, &replaced, &size, &v->e));
	assert_true(replaced);
	OK(v, store_log_append(next, 7, SLICE("!"), &v->e));
	store_log_close(&l);
	store_log_close(&next);
	alarm(0);
	close(told[0]);
	close(told[1]);
	put_away(h, top);
}

static void test_tally(void **state)
{
	struct env *v = *state;
	struct shelf *top, *h = place(v, &top);
	struct tally_row row = { .key = 1ull << 40, .busy = true }, *rows;
	struct tally *a, *b;

	OK(v, store_tally_open(h, "sums", &a, &v->e));
	OK(v, store_tally_open(h, "sums", &b, &v->e));
	assert_int_equal(store_tally_note(a, 3), 0);
	store_tally_set_note(a, 3, 77);
	assert_int_equal(store_tally_note(b, 3), 77);
	OK(v, store_tally_put(a, &row));
	row = (struct tally_row){ .key = 1ull << 40, .v = { 1, 2, 3, 4 } };
	OK(v, store_tally_put(a, &row));
	row.busy = true;
	row.v[0] = 9;
	OK(v, store_tally_put(a, &row));
	OK(v, store_tally_get(b, 1ull << 40, &row));
	assert_true(row.busy && row.sound && row.v[0] == 1 && row.v[3] == 4);
	for (uint64_t key = 1; key <= 200; key++)
		OK(v, store_tally_put(b, &(struct tally_row){ .key = key, .v = { key } }));
	assert_true(store_tally_look(a));
	assert_int_equal(store_tally_rows(a, v->a, &rows), 201);
	store_tally_delete(a, 5);
	assert_int_equal(store_tally_get(b, 5, &row), -1);
	store_tally_close(&a);
	store_tally_close(&b);
	put_away(h, top);
}

/* ---- above the verbs: 8 processes deliver into one folder, and each UID is the one before plus one ---- */

static void test_consecutive_uids(void **state)
{
	struct env *v = *state;
	pid_t pid[WRITERS];
	struct mbox *m;
	struct view *x;

	env_open(v);
	box_close(&v->b);
	for (int i = 0; i < WRITERS; i++)
		if ((pid[i] = fork()) == 0) {
			env_open(v);
			for (int k = 0; k < 10; k++)
				env_deliver(v, "INBOX", arena_printf(v->a, "W%dK%d", i, k), MESSAGE);
			box_close(&v->b);
			_exit(0);
		}
	join(pid, WRITERS);
	env_open(v);
	m = env_folder(v, "INBOX");
	x = view_open(m, true);
	assert_int_equal(view_count(x), WRITERS * 10);
	for (uint32_t seq = 1; seq <= WRITERS * 10; seq++)
		assert_int_equal(view_get(x, seq)->uid, seq);
	view_close(&x);
	mbox_close(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
#define O(f) { #f " (objects)", f, env_setup_object, env_teardown_object, NULL }
	const struct CMUnitTest tests[] = {
		T(test_blobs), T(test_shelves), T(test_kv), T(test_compare_and_append), T(test_killed_holder), T(test_tally), T(test_consecutive_uids),
		O(test_blobs), O(test_shelves), O(test_kv), O(test_compare_and_append), O(test_killed_holder), O(test_tally), O(test_consecutive_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
