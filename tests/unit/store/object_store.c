/*
 * tests/unit/store/object_store.c - see object_store.h. Every call is one question to the server (two where a lock has to be waited for).
 */
#include "object_store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "object_wire.h"

static struct sockaddr_un address;
static pid_t server, connected_as;
static int server_fd = -1;

/* ---- asking ---- */

static int connect_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	abort();
}

static void put_all(int fd, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, (const char *)p + done, n - done, MSG_NOSIGNAL);

		if (sent <= 0)
			abort();
		done += (size_t)sent;
	}
}

static void get_all(int fd, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(fd, (char *)p + done, n - done);

		if (got <= 0)
			abort();
		done += (size_t)got;
	}
}

/* out may be NULL. Returns -1 with the kind of the server's answer. */
static int ask_at(int fd, struct object_ask q, struct slice text, struct slice data, struct object_answer *r, struct buf *out, struct err *e)
{
	char *p;

	q.text_len = (uint32_t)text.n;
	q.data_len = (uint32_t)data.n;
	put_all(fd, &q, sizeof q);
	put_all(fd, text.p, text.n);
	put_all(fd, data.p, data.n);
	get_all(fd, r, sizeof *r);
	p = mem_new((size_t)r->data_len + 1);
	get_all(fd, p, r->data_len);
	if (out != NULL && r->kind == ERR_NONE && buf_add(out, slice_mem(p, r->data_len)) != 0)
		r->kind = ERR_TEMP;
	free(p);
	return r->kind == ERR_NONE ? 0 : err_set(e, (enum err_kind)r->kind, 0, "object store: %.*s", SLICE_FMT(text));
}

/* A child has a connection of its own, so that what it holds goes with it. */
static int ask(struct object_ask q, struct slice text, struct slice data, struct object_answer *r, struct buf *out, struct err *e)
{
	if (connected_as != getpid()) {
		if (server_fd >= 0)
			close(server_fd);
		server_fd = connect_new();
		connected_as = getpid();
	}
	return ask_at(server_fd, q, text, data, r, out, e);
}

struct two { char text[8192]; size_t n; };

static struct slice two_of(struct two *t, const char *a, const char *b)
{
	size_t n = strlen(a) + 1;

	if (n + strlen(b) + 1 > sizeof t->text)
		abort();
	memcpy(t->text, a, n);
	memcpy(t->text + n, b, strlen(b) + 1);
	return slice_mem(t->text, n + strlen(b));
}

static uint64_t fresh(void)
{
	uint64_t r = 0;

	while (r == 0)
		text_random(&r, sizeof r);
	return r;
}

static void take_lock(uint64_t of, uint64_t who)
{
	const struct timespec nap = { .tv_nsec = 500000 };
	struct object_answer r;

	while (ask((struct object_ask){ .op = OBJ_LOCK, .a = of, .b = who, .c = 1 }, SLICE_NONE, SLICE_NONE, &r, NULL, NULL) != 0 || r.object == 0)
		nanosleep(&nap, NULL);
}

static void give_lock(uint64_t of, uint64_t who)
{
	struct object_answer r;

	(void)ask((struct object_ask){ .op = OBJ_LOCK, .a = of, .b = who }, SLICE_NONE, SLICE_NONE, &r, NULL, NULL);
}

/* ---- shelves ---- */

struct o_shelf { struct shelf base; char *path; uint64_t number, top, who; };

static struct o_shelf *shelf_of(struct shelf *h)
{
	return (struct o_shelf *)(void *)h;
}

static int shelf_get(const struct store_ops *ops, const char *path, const char *name, bool make, struct shelf **out, struct err *e)
{
	struct object_answer r;
	struct o_shelf *h;
	struct two t;

	if (ask((struct object_ask){ .op = OBJ_SHELF, .a = make }, two_of(&t, path, name), SLICE_NONE, &r, NULL, e) != 0)
		return -1;
	h = mem_new(sizeof *h);
	*h = (struct o_shelf){ { ops, true }, mem_str(path), r.object, r.size, fresh() };
	*out = &h->base;
	return 0;
}

static int shelf_open(const struct store *s, const char *path, bool make, struct shelf **out, struct err *e)
{
	return shelf_get(s->ops, path, "", make, out, e);
}

static int shelf_child(struct shelf *top, const char *name, bool make, struct shelf **out, struct err *e)
{
	(void)make;
	return shelf_get(top->ops, shelf_of(top)->path, name, false, out, e);
}

static void shelf_close(struct shelf *h)
{
	free(shelf_of(h)->path);
	free(h);
}

static bool shelf_look(struct shelf *top)
{
	struct object_answer r;
	struct two t;

	return ask((struct object_ask){ .op = OBJ_SHELF }, two_of(&t, shelf_of(top)->path, ""), SLICE_NONE, &r, NULL, NULL) == 0 && r.object == shelf_of(top)->number;
}

static uint64_t shelf_number(struct shelf *h)
{
	return shelf_of(h)->number;
}

static int shelf_ask(struct shelf *h, enum object_op op, struct slice text, struct buf *out, struct err *e)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = op, .shelf = shelf_of(h)->number }, text, SLICE_NONE, &r, out, e);
}

static int shelf_make(struct shelf *top, const char *name, struct err *e)
{
	return shelf_ask(top, OBJ_SHELF_MAKE, slice_of(name), NULL, e);
}

static bool shelf_has(struct shelf *top, const char *name)
{
	struct object_answer r;
	struct two t;

	return ask((struct object_ask){ .op = OBJ_SHELF }, two_of(&t, shelf_of(top)->path, name), SLICE_NONE, &r, NULL, NULL) == 0;
}

static void each_name(struct slice all, store_name_fn *fn, void *ctx)
{
	for (; all.n > 0 && fn(ctx, all.p) == 0; all = slice_from(all, strlen(all.p) + 1))
		continue;
}

static int shelf_list(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	rc = shelf_ask(top, OBJ_SHELF_LIST, SLICE_NONE, &b, e);
	if (rc == 0)
		each_name(buf_view(&b), fn, ctx);
	buf_done(&b);
	return rc;
}

static int shelf_rename(struct shelf *top, const char *from, const char *to, struct err *e)
{
	struct two t;

	return shelf_ask(top, OBJ_SHELF_RENAME, two_of(&t, from, to), NULL, e);
}

static int shelf_remove(struct shelf *top, const char *name, struct err *e)
{
	return shelf_ask(top, OBJ_SHELF_REMOVE, slice_of(name), NULL, e);
}

static int shelf_flush(struct shelf *h, enum flush what, struct err *e)
{
	(void)h, (void)what, (void)e;
	return 0;
}

static int flush_all(const struct store *s, const char *path, struct err *e)
{
	(void)s, (void)path, (void)e;
	return 0;
}

/* ---- drafts: here until they are put ---- */

struct o_draft { struct draft base; struct o_shelf *h; enum bay bay; struct buf data; int64_t mtime; };

static struct o_draft *draft_of(struct draft *d)
{
	return (struct o_draft *)(void *)d;
}

static int draft_open(struct shelf *h, const char *purpose, struct draft **out, struct err *e)
{
	struct o_draft *d = mem_new(sizeof *d);

	(void)e;
	d->base.ops = h->ops;
	d->h = shelf_of(h);
	d->bay = purpose == NULL ? BAY_CUR : BAY_OWN;
	buf_init(&d->data, BUF_UNBOUNDED);
	*out = &d->base;
	return 0;
}

static int draft_write(struct draft *d, uint64_t at, struct slice octets, struct err *e)
{
	struct buf *b = &draft_of(d)->data;

	(void)e;
	while (b->len < at + octets.n)
		buf_putc(b, '\0');
	if (octets.n > 0)
		memcpy(b->p + at, octets.p, octets.n);
	return 0;
}

static int draft_map(struct draft *d, struct blob *out, struct err *e)
{
	(void)e;
	*out = (struct blob){ .octets = buf_view(&draft_of(d)->data), .fd = -1 };
	return 0;
}

static void draft_date(struct draft *d, int64_t mtime)
{
	draft_of(d)->mtime = mtime;
}

static int put(struct o_draft *d, const char *name, uint64_t locker, struct object_answer *r, struct err *e)
{
	struct object_ask q = { .op = OBJ_PUT, .bay = d->bay, .shelf = d->h->number, .a = (uint64_t)d->mtime, .b = d->bay == BAY_OWN, .c = locker };

	return ask(q, slice_of(name), buf_view(&d->data), r, NULL, e);
}

static int draft_place(struct draft *d, const char *name, struct err *e)
{
	struct object_answer r;

	return put(draft_of(d), name, 0, &r, e);
}

static int draft_flush(struct draft *d, struct err *e)
{
	(void)d, (void)e;
	return 0;
}

static void draft_drop(struct draft *d)
{
	buf_done(&draft_of(d)->data);
	free(d);
}

/* ---- blobs ---- */

static void release(struct blob *b)
{
	free(b->hold);
}

static int blob_read(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e)
{
	struct object_answer r;
	struct buf b;

	(void)how;
	buf_init(&b, BUF_UNBOUNDED);
	buf_putc(&b, '\0');
	buf_reset(&b);
	if (ask((struct object_ask){ .op = OBJ_GET, .bay = bay, .shelf = shelf_of(h)->number }, slice_of(name), SLICE_NONE, &r, &b, e) != 0) {
		buf_done(&b);
		return -1;
	}
	*out = (struct blob){ .octets = buf_view(&b), .mtime = r.mtime, .fd = -1, .hold = b.p, .release = release };
	return 0;
}

static int blob_stat(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e)
{
	struct object_answer r;

	if (ask((struct object_ask){ .op = OBJ_STAT, .bay = bay, .shelf = shelf_of(h)->number }, slice_of(name), SLICE_NONE, &r, NULL, e) != 0)
		return -1;
	*out = (struct blob_info){ r.size, r.mtime };
	return 0;
}

static int blob_pour(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e)
{
	struct blob b;

	if (blob_read(h, bay, name, 0, &b, e) != 0)
		return -1;
	(void)fn(ctx, b.octets);
	*out = (struct blob_info){ b.octets.n, b.mtime };
	store_blob_done(&b);
	return 0;
}

static int link_to(uint64_t from, enum bay bay, const char *name, struct shelf *to, const char *as, bool move, struct err *e)
{
	struct object_answer r;
	struct two t;

	return ask((struct object_ask){ .op = OBJ_LINK, .bay = bay, .shelf = from, .a = shelf_of(to)->number, .b = move }, two_of(&t, name, as), SLICE_NONE, &r, NULL, e);
}

static int blob_link(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e)
{
	return link_to(shelf_of(from)->number, BAY_CUR, name, to, as, false, e);
}

static void blob_ref(struct shelf *h, const char *name, struct buf *out)
{
	buf_putf(out, "%llu/%s", (unsigned long long)shelf_of(h)->number, name);
}

static int blob_link_ref(const char *ref, struct shelf *to, const char *as, struct err *e)
{
	char *slash;
	uint64_t from = strtoull(ref, &slash, 10);

	if (*slash != '/' || link_to(from, BAY_CUR, slash + 1, to, as, false, e) != 0)
		return err_set(e, ERR_EXISTS, 0, "no link");
	return 0;
}

static int blob_move(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e)
{
	return link_to(shelf_of(from)->number, bay, name, to, as, true, e);
}

static int blob_delete(struct shelf *h, enum bay bay, const char *name, struct err *e)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_DELETE, .bay = bay, .shelf = shelf_of(h)->number }, slice_of(name), SLICE_NONE, &r, NULL, e);
}

static int blob_flush(struct shelf *h, const char *name, struct err *e)
{
	(void)h, (void)name, (void)e;
	return 0;
}

static int blob_list(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e)
{
	struct object_answer r;
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	rc = ask((struct object_ask){ .op = OBJ_LIST, .bay = bay, .shelf = shelf_of(h)->number }, SLICE_NONE, SLICE_NONE, &r, &b, e);
	if (rc == 0)
		each_name(buf_view(&b), fn, ctx);
	buf_done(&b);
	return rc;
}

static int blob_odd(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e)
{
	(void)h, (void)bay, (void)fn, (void)ctx, (void)e;
	return 0;
}

static int64_t blob_stamp(struct shelf *h, enum bay bay)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_STAMP, .bay = bay, .shelf = shelf_of(h)->number }, SLICE_NONE, SLICE_NONE, &r, NULL, NULL) == 0 ? r.mtime : 0;
}

/* ---- logs ---- */

struct o_log { struct store_log base; struct o_shelf *h; char *name; uint64_t object, who; bool locked; };

static struct o_log *log_of(struct store_log *l)
{
	return (struct o_log *)(void *)l;
}

static struct store_log *log_new(struct shelf *h, const char *name, uint64_t object)
{
	struct o_log *l = mem_new(sizeof *l);

	*l = (struct o_log){ { h->ops }, shelf_of(h), mem_str(name), object, fresh(), false };
	return &l->base;
}

static int log_open(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e)
{
	struct object_answer r;
	struct object_ask q = { .op = OBJ_STAT, .bay = BAY_OWN, .shelf = shelf_of(h)->number };
	struct err why;

	for (int turn = 0; turn < 3; turn++) {
		q.op = OBJ_STAT;
		if (ask(q, slice_of(name), SLICE_NONE, &r, NULL, &why) == 0) {
			*out = log_new(h, name, r.object);
			return 0;
		}
		q.op = OBJ_PUT;
		if ((how & LOG_MAKE) == 0)
			break;
		(void)ask(q, slice_of(name), SLICE_NONE, &r, NULL, &why);
	}
	return err_set(e, why.kind, 0, "%s", why.text);
}

static void log_unlock(struct store_log *l)
{
	if (log_of(l)->locked)
		give_lock(log_of(l)->object, log_of(l)->who);
	log_of(l)->locked = false;
}

static void log_close(struct store_log *l)
{
	log_unlock(l);
	free(log_of(l)->name);
	free(l);
}

static bool log_look(struct store_log *l, uint64_t *size_out)
{
	struct object_answer r;
	struct o_log *x = log_of(l);

	if (ask((struct object_ask){ .op = OBJ_STAT, .bay = BAY_OWN, .shelf = x->h->number }, slice_of(x->name), SLICE_NONE, &r, NULL, NULL) != 0 || r.object != x->object)
		return false;
	*size_out = r.size;
	return true;
}

static int log_lock(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e)
{
	struct o_log *x = log_of(l);

	(void)e;
	take_lock(x->object, x->who);
	x->locked = true;
	*replaced_out = !log_look(l, size_out);
	if (*replaced_out)
		log_unlock(l);
	return 0;
}

static int log_read(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e)
{
	struct object_answer r;
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	rc = ask((struct object_ask){ .op = OBJ_READ, .a = log_of(l)->object, .b = at, .c = n }, SLICE_NONE, SLICE_NONE, &r, &b, e);
	if (rc == 0 && b.len > 0)
		memcpy(p, b.p, b.len);
	if (rc == 0)
		*got_out = b.len;
	buf_done(&b);
	return rc;
}

static int log_append(struct store_log *l, uint64_t expected, struct slice octets, struct err *e)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_APPEND, .a = log_of(l)->object, .b = expected }, SLICE_NONE, octets, &r, NULL, e);
}

static int log_cut(struct store_log *l, uint64_t at, struct err *e)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_CUT, .a = log_of(l)->object, .b = at }, SLICE_NONE, SLICE_NONE, &r, NULL, e);
}

static int log_flush(struct store_log *l, struct err *e)
{
	(void)l, (void)e;
	return 0;
}

static int log_swap(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e)
{
	struct store_log *l = log_new(h, name, 0);
	struct object_answer r;

	if (put(draft_of(d), name, log_of(l)->who, &r, e) != 0) {
		log_close(l);
		return -1;
	}
	log_of(l)->object = r.object;
	log_of(l)->locked = true;
	*out = l;
	return 0;
}

/* ---- kv ---- */

static int kv_get(struct shelf *h, const char *name, struct buf *out, struct err *e)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_GET, .bay = BAY_OWN, .shelf = shelf_of(h)->number }, slice_of(name), SLICE_NONE, &r, out, e);
}

static int kv_put(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e)
{
	struct object_answer r;

	(void)flushed;
	return ask((struct object_ask){ .op = OBJ_PUT, .bay = BAY_OWN, .shelf = shelf_of(h)->number, .b = 1 }, slice_of(name), text, &r, NULL, e);
}

static bool kv_has(struct shelf *h, const char *name)
{
	struct blob_info ignored;

	return blob_stat(h, BAY_OWN, name, &ignored, NULL) == 0;
}

/* ---- tally ---- */

struct o_tally { struct tally base; uint64_t shelf, who; };

static struct o_tally *tally_of(struct tally *t)
{
	return (struct o_tally *)(void *)t;
}

static int tally_open(struct shelf *h, const char *name, struct tally **out, struct err *e)
{
	struct o_tally *t = mem_new(sizeof *t);

	(void)name, (void)e;
	*t = (struct o_tally){ { h->ops }, shelf_of(h)->number, fresh() };
	*out = &t->base;
	return 0;
}

#define TALLY_LOCK_OF(t, which) ((tally_of(t)->shelf << 8 | (which)) | 1ull << 63)

static void tally_close(struct tally *t)
{
	for (unsigned which = 0; which < TALLY_LOCKS; which++)
		give_lock(TALLY_LOCK_OF(t, which), tally_of(t)->who);
	free(t);
}

static bool tally_look(struct tally *t)
{
	(void)t;
	return true;
}

static bool tally_lock(struct tally *t, enum tally_lock which, bool on)
{
	(on ? take_lock : give_lock)(TALLY_LOCK_OF(t, which), tally_of(t)->who);
	return true;
}

static size_t tally_rows(struct tally *t, struct arena *a, struct tally_row **out)
{
	struct object_answer r;
	struct buf b;
	size_t n;

	buf_init(&b, BUF_UNBOUNDED);
	if (ask((struct object_ask){ .op = OBJ_TALLY_EACH, .shelf = tally_of(t)->shelf }, SLICE_NONE, SLICE_NONE, &r, &b, NULL) != 0)
		abort();
	n = b.len / sizeof **out;
	*out = arena_array(a, n + 1, sizeof **out);
	if (n > 0)
		memcpy(*out, b.p, b.len);
	buf_done(&b);
	return n;
}

static int tally_get(struct tally *t, uint64_t key, struct tally_row *out)
{
	struct arena *a = arena_new(0);
	struct tally_row *v;
	size_t n = tally_rows(t, a, &v), i = 0;

	while (i < n && v[i].key != key)
		i++;
	if (i < n)
		*out = v[i];
	arena_free(&a);
	return i < n ? 0 : -1;
}

static int tally_put(struct tally *t, const struct tally_row *row)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_TALLY_PUT, .shelf = tally_of(t)->shelf }, SLICE_NONE, slice_mem(row, sizeof *row), &r, NULL, NULL);
}

static void tally_delete(struct tally *t, uint64_t key)
{
	struct tally_row row = { .key = key };
	struct object_answer r;

	(void)ask((struct object_ask){ .op = OBJ_TALLY_PUT, .shelf = tally_of(t)->shelf, .a = 1 }, SLICE_NONE, slice_mem(&row, sizeof row), &r, NULL, NULL);
}

static uint64_t tally_note(struct tally *t, unsigned which)
{
	struct object_answer r;

	return ask((struct object_ask){ .op = OBJ_TALLY_NOTE, .shelf = tally_of(t)->shelf, .a = which }, SLICE_NONE, SLICE_NONE, &r, NULL, NULL) == 0 ? r.size : 0;
}

static void tally_set_note(struct tally *t, unsigned which, uint64_t value)
{
	struct object_answer r;

	(void)ask((struct object_ask){ .op = OBJ_TALLY_NOTE, .shelf = tally_of(t)->shelf, .a = which, .b = value, .c = 1 }, SLICE_NONE, SLICE_NONE, &r, NULL, NULL);
}

/* ---- lease, notify ---- */

static int lease_take(struct shelf *h, struct err *e)
{
	(void)e;
	take_lock(shelf_of(h)->number, shelf_of(h)->who);
	return 0;
}

static void lease_drop(struct shelf *h)
{
	give_lock(shelf_of(h)->number, shelf_of(h)->who);
}

static void notify(struct shelf *h, const char *topic)
{
	char whole[4200];
	struct object_answer r;

	snprintf(whole, sizeof whole, "%s/%s", shelf_of(h)->path, topic);
	(void)ask((struct object_ask){ .op = OBJ_NOTIFY }, slice_of(whole), SLICE_NONE, &r, NULL, NULL);
}

static int listen_to(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e)
{
	char whole[4200];
	struct object_answer r;
	int fd = connect_new();

	(void)s;
	snprintf(whole, sizeof whole, "%s/%s", path, topic);
	if (ask_at(fd, (struct object_ask){ .op = OBJ_LISTEN }, slice_of(whole), SLICE_NONE, &r, NULL, e) != 0) {
		close(fd);
		return -1;
	}
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	*fd_out = fd;
	return 0;
}

static void unlisten(const struct store *s, const char *path, const char *topic, int *fd)
{
	(void)s, (void)path, (void)topic;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static const struct store_ops object_ops = {
	.name = "object", .shelf_open = shelf_open, .shelf_child = shelf_child, .shelf_close = shelf_close, .shelf_look = shelf_look, .shelf_number = shelf_number,
	.shelf_make = shelf_make, .shelf_has = shelf_has, .shelf_list = shelf_list, .shelf_rename = shelf_rename, .shelf_remove = shelf_remove,
	.shelf_flush = shelf_flush, .flush_all = flush_all, .draft_open = draft_open, .draft_write = draft_write, .draft_map = draft_map, .draft_date = draft_date,
	.draft_place = draft_place, .draft_flush = draft_flush, .draft_drop = draft_drop, .blob_read = blob_read, .blob_pour = blob_pour, .blob_stat = blob_stat,
	.blob_link = blob_link, .blob_ref = blob_ref, .blob_link_ref = blob_link_ref, .blob_move = blob_move, .blob_delete = blob_delete, .blob_flush = blob_flush,
	.blob_list = blob_list, .blob_odd = blob_odd, .blob_stamp = blob_stamp, .log_open = log_open, .log_close = log_close, .log_lock = log_lock,
	.log_unlock = log_unlock, .log_look = log_look, .log_read = log_read, .log_append = log_append, .log_cut = log_cut, .log_flush = log_flush, .log_swap = log_swap,
	.kv_get = kv_get, .kv_put = kv_put, .kv_has = kv_has, .tally_open = tally_open, .tally_close = tally_close, .tally_look = tally_look, .tally_lock = tally_lock,
	.tally_get = tally_get, .tally_put = tally_put, .tally_delete = tally_delete, .tally_rows = tally_rows, .tally_note = tally_note, .tally_set_note = tally_set_note,
	.lease_take = lease_take, .lease_drop = lease_drop, .notify = notify, .listen = listen_to, .unlisten = unlisten,
};

const struct store *object_store_start(const char *socket_path)
{
	static const struct store object = { &object_ops };
	pid_t parent = getpid();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0)
		abort();
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			object_serve(fd);
		_exit(0);
	}
	close(fd);
	connected_as = 0;
	return &object;
}

void object_store_stop(void)
{
	if (server_fd >= 0)
		close(server_fd);
	server_fd = -1;
	connected_as = 0;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}
