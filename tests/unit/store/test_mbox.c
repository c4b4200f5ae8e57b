/*
 * tests/unit/store/test_mbox.c - a user's mailboxes as pop3d, imapd and deliver use them.
 */
#include <fcntl.h>

#include "object_store.h"
#include "store_env.h"

#include <dirent.h>
#include <sys/socket.h>

#include "store/folder.h"

static void test_first_open(void **state)
{
	struct env *v = *state;
	struct folder *list;
	size_t n;

	env_open(v);
	OK(v, box_list(v->b, v->a, &list, &n, &v->e));
	assert_int_equal(n, 6);
	assert_true(slice_eqs(list[0].name, "INBOX"));
	assert_true(slice_eqs(list[1].name, "Archive"));
	assert_int_equal(list[1].attrs, FOLDER_SUBSCRIBED | FOLDER_ARCHIVE);
	assert_true(slice_eqs(list[4].name, "Sent"));
	assert_int_equal(list[4].attrs, FOLDER_SUBSCRIBED | FOLDER_SENT);
}

static void test_deliver_and_read(void **state)
{
	struct env *v = *state;
	struct mbox *m;
	struct view *w;
	struct mbody body;
	struct slice text;

	env_open(v);
	assert_non_null(env_deliver(v, "INBOX", "Q1", MESSAGE));
	m = env_folder(v, "inbox");
	w = view_open(m, false);
	assert_int_equal(view_count(w), 1);
	assert_int_equal(view_recent(w), 1);
	assert_int_equal(view_get(w, 1)->uid, 1);
	assert_int_equal(view_get(w, 1)->size, strlen(MESSAGE));
	assert_int_equal(view_get(w, 1)->internaldate, 1700000000);
	OK(v, view_read(w, 1, &body, &v->e));
	assert_true(slice_eqs(body.octets, MESSAGE));
	mbody_done(&body);
	OK(v, view_cached(w, 1, MCACHE_ENVELOPE, v->a, &text, &v->e));
	assert_true(slice_find(text, SLICE("\"hello\"")) > 0);
	OK(v, view_cached(w, 1, MCACHE_HEADERS, v->a, &text, &v->e));
	assert_true(slice_starts(text, SLICE("From: a@office.test\r\n")));
	view_close(&w);
	w = view_open(m, false);
	assert_int_equal(view_recent(w), 0);
	view_close(&w);
	mbox_close(&m);
}

static void test_delivered_once(void **state)
{
	struct env *v = *state;
	struct delivery d = { .queue_id = "Q1", .octets = { MESSAGE, sizeof MESSAGE - 1 }, .internaldate = time(NULL), .maybe_again = true };
	struct folder_status s;
	const char *path;

	env_open(v);
	OK(v, box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e));
	OK(v, box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e));
	OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
	assert_int_equal(s.messages, 1);
	v->e = (struct err)ERR_INIT;
	d.queue_id = "Q2";
	OK(v, box_deliver(v->b, SLICE(""), &d, v->a, &path, &v->e));
	assert_true(v->opt.store != NULL || strstr(path, "/u1/cur/") != NULL);
	d.queue_id = "../../etc";
	assert_int_equal(box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_DENIED);
}

static void test_link_from(void **state)
{
	struct env *v = *state;
	struct delivery d = { .queue_id = "Q2", .octets = { MESSAGE, sizeof MESSAGE - 1 }, .internaldate = 1700000000 };
	const char *path;
	struct stat st;

	env_open(v);
	d.link_from = env_deliver(v, "INBOX", "Q1", MESSAGE);
	OK(v, box_deliver(v->b, SLICE("Sent"), &d, v->a, &path, &v->e));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 2);
	d.link_from = "/nowhere/at/all";                              /* then it is written */
	d.queue_id = "Q3";
	OK(v, box_deliver(v->b, SLICE("Sent"), &d, v->a, &path, &v->e));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 1);
}

struct told { uint32_t expunged[64], n_expunged, flags[64], n_flags, count; };

static void on_expunged(void *ctx, uint32_t seq, uint32_t uid)
{
	struct told *t = ctx;

	(void)uid;
	t->expunged[t->n_expunged++] = seq;
}

static void on_flags(void *ctx, uint32_t seq)
{
	struct told *t = ctx;

	t->flags[t->n_flags++] = seq;
}

static void on_grown(void *ctx, uint32_t count, uint32_t recent)
{
	struct told *t = ctx;

	(void)recent;
	t->count = count;
}

static const struct view_events events = { on_expunged, on_flags, on_grown };

static void test_flags_and_views(void **state)
{
	struct env *v = *state;
	struct slice label = SLICE("$Label1");
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_SEEN | MSG_FORWARDED, .keywords = &label, .n_keywords = 1 };
	uint32_t seqs[] = { 2, 3 };
	struct told t = { .count = 0 };
	struct buf b;
	struct mbox *m;
	struct view *x, *y;

	env_open(v);
	env_deliver_n(v, "INBOX", 5);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	y = view_open(m, false);
	OK(v, view_store_flags(x, seqs, 2, &ch, v->a, NULL, NULL, &v->e));
	assert_int_equal(view_get(x, 2)->flags, MSG_SEEN | MSG_FORWARDED);
	buf_init(&b, BUF_UNBOUNDED);
	mrec_put_flags(m, view_get(x, 3), true, &b);
	assert_string_equal(buf_str(&b), "\\Seen $Forwarded $Label1 \\Recent");
	buf_done(&b);
	OK(v, view_sync(x, true, &events, &t, &v->e));
	assert_int_equal(t.n_flags, 0);                               /* its own */
	OK(v, view_sync(y, true, &events, &t, &v->e));
	assert_int_equal(t.n_flags, 2);
	assert_int_equal(t.flags[0], 2);
	env_deliver(v, "INBOX", "Q9", MESSAGE);
	assert_int_equal(view_count(y), 5);
	OK(v, view_sync(y, false, &events, &t, &v->e));
	assert_int_equal(t.count, 6);
	view_close(&x);
	view_close(&y);
	mbox_close(&m);
}

static void test_unchangedsince(void **state)
{
	struct env *v = *state;
	struct flag_change ch = { .op = FLAGS_SET, .flags = MSG_FLAGGED };
	uint32_t seqs[] = { 1, 2 }, one = 2, *refused;
	size_t n;
	struct mbox *m;
	struct view *x;

	env_open(v);
	env_deliver_n(v, "INBOX", 2);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	ch.unchangedsince = mbox_highestmodseq(m);
	OK(v, view_store_flags(x, &one, 1, &ch, v->a, &refused, &n, &v->e));
	assert_int_equal(n, 0);
	ch.flags = MSG_SEEN;
	OK(v, view_store_flags(x, seqs, 2, &ch, v->a, &refused, &n, &v->e));
	assert_int_equal(n, 1);
	assert_int_equal(refused[0], 2);
	assert_int_equal(view_get(x, 1)->flags, MSG_SEEN);
	assert_int_equal(view_get(x, 2)->flags, MSG_FLAGGED);
	view_close(&x);
	mbox_close(&m);
}

static void test_expunge(void **state)
{
	struct env *v = *state;
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_DELETED };
	uint32_t seqs[] = { 1, 3, 5 };
	struct told t = { .count = 0 }, u = { .count = 0 };
	struct folder_status s;
	struct mbody body;
	struct mbox *m;
	struct view *x, *y;

	env_open(v);
	env_deliver_n(v, "INBOX", 6);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	y = view_open(m, false);
	OK(v, view_store_flags(x, seqs, 3, &ch, v->a, NULL, NULL, &v->e));
	OK(v, view_expunge(x, NULL, 0, &v->e));
	assert_int_equal(view_count(x), 6);
	OK(v, view_sync(x, true, &events, &t, &v->e));
	assert_int_equal(t.n_expunged, 3);
	assert_int_equal(t.expunged[0], 5);
	assert_int_equal(t.expunged[2], 1);
	assert_int_equal(view_count(x), 3);
	assert_int_equal(view_get(x, 1)->uid, 2);
	assert_int_equal(view_seq_of(x, 6), 3);
	assert_int_equal(view_seq_of(x, 5), 0);
	assert_int_equal(view_seq_from(x, 3), 2);
	OK(v, view_sync(y, false, &events, &u, &v->e));
	assert_int_equal(u.n_expunged, 0);
	assert_int_equal(view_count(y), 6);
	assert_int_equal(view_read(y, 1, &body, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_NOTFOUND);
	OK(v, view_sync(y, true, &events, &u, &v->e));
	assert_int_equal(u.n_expunged, 3);
	view_close(&x);
	view_close(&y);
	mbox_close(&m);
	OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
	assert_int_equal(s.messages, 3);
	assert_int_equal(s.deleted, 0);
	assert_int_equal(s.uidnext, 7);
	assert_int_equal(s.octets, 3 * strlen(MESSAGE));
}

/* After a restart of the machine numbering goes on behind what was reserved, once. */
static void test_restart(void **state)
{
	struct env *v = *state;
	struct folder_status s;
	struct mbox *m;
	uint32_t after;

	env_open(v);
	env_deliver_n(v, "INBOX", 2);
	m = env_folder(v, "INBOX");
	OK(v, mbox_begin(m, &v->e));
	m->boot -= 1000;                                              /* as a log from before has it */
	mbox_end(m);
	env_deliver(v, "INBOX", "Q8", MESSAGE);
	after = mbox_uidnext(m);
	assert_true(after > 4096);
	env_deliver(v, "INBOX", "Q9", MESSAGE);
	assert_int_equal(mbox_uidnext(m), after + 1);
	mbox_close(&m);
	OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
	assert_int_equal(s.messages, 4);
}

/* A log as it was before the machine's last start, `size` octets of it on disk; on btrfs the directory has its old time. */
static void cut_power(struct env *v, off_t size, const struct stat *cur)
{
	const struct timespec when[2] = { cur->st_atim, cur->st_mtim };
	char path[256];

	box_close(&v->b);
	snprintf(path, sizeof path, "%s/office.test/u1/" LOG_NAME, v->dir);
	assert_int_equal(truncate(path, size), 0);
	snprintf(path, sizeof path, "%s/office.test/u1/cur", v->dir);
	assert_int_equal(utimensat(AT_FDCWD, path, when, 0), 0);
	env_open(v);
	v->b->top->stamps_last = false;
}

static void test_log_lost_its_end(void **state)
{
	struct env *v = *state;
	uint32_t uids[4], n = 0;
	struct stat log, cur;
	struct mbox *m;
	struct view *x;
	struct txn t;

	env_open(v);
	env_deliver_n(v, "INBOX", 2);
	m = env_folder(v, "INBOX");
	OK(v, mbox_begin(m, &v->e));
	txn_init(m, &t);
	txn_next(&t, m->uidnext, m->boot - 1000);
	OK(v, mbox_commit(m, &t, NULL, &v->e));
	txn_done(&t);
	mbox_end(m);
	assert_int_equal(stat(arena_printf(v->a, "%s/office.test/u1/" LOG_NAME, v->dir), &log), 0);
	assert_int_equal(stat(arena_printf(v->a, "%s/office.test/u1/cur", v->dir), &cur), 0);
	env_deliver(v, "INBOX", "Q8", MESSAGE);
	env_deliver(v, "INBOX", "Q9", MESSAGE);
	for (x = view_open(m, true); n < 4; n++)
		uids[n] = view_get(x, n + 1)->uid;
	view_close(&x);
	mbox_close(&m);

	cut_power(v, log.st_size, &cur);
	m = env_folder(v, "INBOX");
	x = view_open(m, true);
	assert_int_equal(view_count(x), 4);
	for (n = 0; n < 4; n++)
		assert_int_equal(view_get(x, n + 1)->uid, uids[n]);
	assert_true(mbox_uidnext(m) > uids[3]);
	view_close(&x);
	mbox_close(&m);
}

/* What a writer leaves in tmp/ that is killed while it folds goes when the next one has the lock; what others put there is theirs. */
static void test_tmp_is_swept(void **state)
{
	struct env *v = *state;
	char stray[192], theirs[192];

	env_open(v);
	env_deliver(v, "INBOX", "Q1", MESSAGE);
	box_close(&v->b);
	snprintf(stray, sizeof stray, "%s/office.test/u1/tmp/posthouse.index.0123456789abcdef", v->dir);
	snprintf(theirs, sizeof theirs, "%s/office.test/u1/tmp/1.procmail", v->dir);
	assert_int_equal(close(creat(stray, 0600)), 0);
	assert_int_equal(close(creat(theirs, 0600)), 0);
	env_open(v);
	env_deliver(v, "INBOX", "Q2", MESSAGE);
	assert_int_equal(access(stray, F_OK), -1);
	assert_int_equal(access(theirs, F_OK), 0);
}

static void test_vanished(void **state)
{
	struct env *v = *state;
	uint32_t seqs[] = { 2, 3, 6 };
	struct uid_range *r;
	struct mbox *m;
	struct view *x;
	uint64_t before;
	size_t n;

	env_open(v);
	env_deliver_n(v, "INBOX", 6);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	before = mbox_highestmodseq(m);
	OK(v, view_remove(x, seqs, 3, &v->e));
	view_close(&x);
	mbox_vanished(m, before, v->a, &r, &n);
	assert_int_equal(n, 2);
	assert_int_equal(r[0].first, 2);
	assert_int_equal(r[0].last, 3);
	assert_int_equal(r[1].last, 6);
	mbox_vanished(m, mbox_highestmodseq(m), v->a, &r, &n);
	assert_int_equal(n, 0);
	mbox_close(&m);
	box_close(&v->b);
	unlink(arena_printf(v->a, "%s/office.test/u1/posthouse.log", v->dir));
	env_open(v);
	m = env_folder(v, "INBOX");
	mbox_vanished(m, before, v->a, &r, &n);                       /* forgotten: all that is not there */
	assert_int_equal(n, 2);
	assert_int_equal(r[0].first, 2);
	assert_int_equal(r[1].first, 6);
	mbox_close(&m);
}

static void test_notify(void **state)
{
	struct env *v = *state;
	char dir[512], deep[512];
	int fd = -1, deaf = -1;

	env_open(v);
	snprintf(dir, sizeof dir, "%s/office.test/u1", v->dir);
	OK(v, notify_bind(dir, &fd, &v->e));
	OK(v, notify_bind(dir, &deaf, &v->e));
	close(deaf);                                                  /* as a killed process leaves it */
	env_deliver(v, "INBOX", "Q1", MESSAGE);
	assert_int_equal(recv(fd, deep, sizeof deep, MSG_DONTWAIT), 1);
	env_deliver(v, "INBOX", "Q2", MESSAGE);
	assert_int_equal(recv(fd, deep, sizeof deep, MSG_DONTWAIT), 1);
	notify_drain(fd);
	notify_unbind(dir, &fd);
	assert_int_equal(fd, -1);
	box_close(&v->b);

	snprintf(deep, sizeof deep, "%s/a-very-long-domain-name-for-a-small-office.example.test/and-a-local-part-of-many-letters-too", v->dir);
	OK(v, box_open(&v->b, deep, true, &v->opt, &v->e));
	OK(v, notify_bind(deep, &fd, &v->e));
	env_deliver(v, "INBOX", "Q3", MESSAGE);
	assert_true(recv(fd, dir, sizeof dir, MSG_DONTWAIT) > 0);
	notify_unbind(deep, &fd);
}

static void test_copy_and_move(void **state)
{
	struct env *v = *state;
	struct slice label = SLICE("$Work");
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_FLAGGED, .keywords = &label, .n_keywords = 1 };
	uint32_t seqs[] = { 1, 3 };
	struct uid_range uids;
	struct told t = { .count = 0 };
	struct mbox *m, *d;
	struct view *x, *y;

	env_open(v);
	env_deliver_n(v, "INBOX", 4);
	env_deliver_n(v, "Archive", 1);
	m = env_folder(v, "INBOX");
	d = env_folder(v, "Archive");
	x = view_open(m, false);
	OK(v, view_store_flags(x, seqs, 2, &ch, v->a, NULL, NULL, &v->e));
	OK(v, view_copy(x, seqs, 2, d, &uids, &v->e));
	assert_int_equal(uids.first, 2);
	assert_int_equal(uids.last, 3);
	OK(v, view_move(x, seqs, 2, d, &uids, &v->e));
	assert_int_equal(uids.first, 4);
	OK(v, view_sync(x, true, &events, &t, &v->e));
	assert_int_equal(view_count(x), 2);
	y = view_open(d, false);
	assert_int_equal(view_count(y), 5);
	assert_int_equal(view_get(y, 4)->flags, MSG_FLAGGED);
	assert_int_equal(view_get(y, 5)->keywords, 1);
	assert_int_equal(view_get(y, 5)->internaldate, 1700000000);
	seqs[0] = 1, seqs[1] = 2;
	OK(v, view_move(y, seqs, 2, d, &uids, &v->e));                /* to itself: new UIDs */
	assert_int_equal(uids.first, 6);
	OK(v, view_sync(y, true, &events, &t, &v->e));
	assert_int_equal(view_count(y), 5);
	view_close(&y);
	view_close(&x);
	mbox_close(&m);
	mbox_close(&d);
}

static void test_append(void **state)
{
	struct env *v = *state;
	struct slice label = SLICE("$Junk");
	struct mappend *a;
	struct mbox *m;
	struct view *x;
	struct slice text;
	uint32_t uid;

	env_open(v);
	m = env_folder(v, "Sent");
	OK(v, mappend_begin(&a, m, 10, &v->e));
	OK(v, mappend_write(a, SLICE("Subject: x\r\n"), &v->e));
	OK(v, mappend_write(a, SLICE("\r\nhi\r\n"), &v->e));
	OK(v, mappend_commit(&a, MSG_SEEN, &label, 1, 1234567890, &uid, &v->e));
	assert_int_equal(uid, 1);
	OK(v, mappend_begin(&a, m, 10, &v->e));
	OK(v, mappend_write(a, SLICE("never"), &v->e));
	mappend_drop(&a);
	x = view_open(m, true);
	assert_int_equal(view_count(x), 1);
	assert_int_equal(view_get(x, 1)->internaldate, 1234567890);
	assert_int_equal(view_get(x, 1)->flags, MSG_SEEN);
	assert_int_equal(view_get(x, 1)->keywords, 1);
	OK(v, view_cached(x, 1, MCACHE_HEADERS, v->a, &text, &v->e));
	assert_true(slice_eqs(text, "Subject: x\r\n"));
	view_close(&x);
	mbox_close(&m);
}

static void test_tree(void **state)
{
	struct env *v = *state;
	struct folder *list;
	struct folder_status s;
	static const char *const bad[] = { "", "/a", "a//b", "a/../b", "..", "a\nb", "\xff", "a/./b" };
	size_t n;

	env_open(v);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(box_create(v->b, slice_of(bad[i]), 0, &v->e), -1);
	OK(v, box_create(v->b, SLICE("Work/2026/Q1.x"), 0, &v->e));
	OK(v, box_create(v->b, SLICE("Gr\xc3\xbc\xc3\x9f" "e"), 0, &v->e));
	assert_int_equal(box_create(v->b, SLICE("Work/2026/Q1.x"), 0, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_EXISTS);
	OK(v, box_subscribe(v->b, SLICE("Work/2026/Q1.x"), true, &v->e));
	env_deliver_n(v, "Work/2026/Q1.x", 2);
	OK(v, box_list(v->b, v->a, &list, &n, &v->e));
	assert_int_equal(n, 10);
	assert_true(slice_eqs(list[2].name, "Drafts"));
	assert_true(slice_eqs(list[7].name, "Work"));
	assert_int_equal(list[7].attrs, FOLDER_NOSELECT | FOLDER_HAS_CHILDREN);
	assert_true(slice_eqs(list[9].name, "Work/2026/Q1.x"));
	assert_int_equal(list[9].attrs, FOLDER_SUBSCRIBED);
	OK(v, box_rename(v->b, SLICE("Work"), SLICE("Old/Work"), &v->e));
	OK(v, box_status(v->b, SLICE("Old/Work/2026/Q1.x"), &s, &v->e));
	assert_int_equal(s.messages, 2);
	assert_int_equal(box_status(v->b, SLICE("Work/2026/Q1.x"), &s, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_NOTFOUND);
	OK(v, box_rename(v->b, SLICE("Sent"), SLICE("Gesendet"), &v->e));
	OK(v, box_delete(v->b, SLICE("Gr\xc3\xbc\xc3\x9f" "e"), &v->e));
	assert_int_equal(box_delete(v->b, SLICE("inbox"), &v->e), -1);
	env_deliver_n(v, "INBOX", 3);
	OK(v, box_rename(v->b, SLICE("INBOX"), SLICE("Kept"), &v->e));
	OK(v, box_status(v->b, SLICE("Kept"), &s, &v->e));
	assert_int_equal(s.messages, 3);
	OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
	assert_int_equal(s.messages, 0);
	OK(v, box_list(v->b, v->a, &list, &n, &v->e));
	for (size_t i = 0; i < n; i++)
		if (slice_eqs(list[i].name, "Gesendet"))
			assert_int_equal(list[i].attrs, FOLDER_SENT | FOLDER_SUBSCRIBED);
}

static void test_uidvalidity_is_new(void **state)
{
	struct env *v = *state;
	struct folder_status s, t;

	env_open(v);
	OK(v, box_create(v->b, SLICE("x"), 0, &v->e));
	OK(v, box_status(v->b, SLICE("x"), &s, &v->e));
	OK(v, box_delete(v->b, SLICE("x"), &v->e));
	OK(v, box_create(v->b, SLICE("x"), 0, &v->e));
	OK(v, box_status(v->b, SLICE("x"), &t, &v->e));
	assert_true(t.uidvalidity > s.uidvalidity);
}

static void test_quota(void **state)
{
	struct env *v = *state;
	struct delivery d = { .queue_id = "Q1", .octets = { MESSAGE, sizeof MESSAGE - 1 }, .internaldate = 1700000000 };
	const char *path;
	uint64_t octets, messages;
	struct mappend *a;
	struct mbox *m;

	v->opt.quota_storage = 2 * d.octets.n;
	env_open(v);
	OK(v, box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e));
	OK(v, box_deliver(v->b, SLICE("Sent"), &d, v->a, &path, &v->e));
	OK(v, box_quota(v->b, &octets, &messages, &v->e));
	assert_int_equal(octets, 2 * d.octets.n);
	assert_int_equal(messages, 2);
	d.queue_id = "Q2";
	assert_int_equal(box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_LIMIT);
	m = env_folder(v, "Junk");
	assert_int_equal(mappend_begin(&a, m, 1, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_LIMIT);
	mbox_close(&m);
}

ENV_SETUP_OBJECT

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
#define O(f) { #f " (objects)", f, env_setup_object, env_teardown_object, NULL }
	const struct CMUnitTest tests[] = {
		T(test_first_open), T(test_deliver_and_read), T(test_delivered_once), T(test_link_from), T(test_flags_and_views), T(test_unchangedsince),
		T(test_expunge), T(test_vanished), T(test_restart), T(test_log_lost_its_end), T(test_tmp_is_swept), T(test_notify),
		T(test_copy_and_move), T(test_append), T(test_tree), T(test_uidvalidity_is_new), T(test_quota),
		O(test_first_open), O(test_deliver_and_read), O(test_delivered_once), O(test_flags_and_views), O(test_unchangedsince), O(test_expunge),
		O(test_restart), O(test_copy_and_move), O(test_append), O(test_tree), O(test_uidvalidity_is_new), O(test_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
