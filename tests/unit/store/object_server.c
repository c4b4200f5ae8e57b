/*
 * tests/unit/store/object_server.c - an object store in memory: one process, one request at a time, so that each is whole or nothing. It knows no directories:
 * a shelf is a number, an object has names (shelf, bay, text), and a lock goes when the connection that took it does.
 */
#include "object_wire.h"

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store.h"

#define MOST 64

struct object { struct buf data; int64_t mtime; uint64_t number; };
struct name { uint64_t shelf; uint32_t bay; char *text; struct object *o; };
struct shelf_name { uint64_t number, top; char *path, *name; };
struct lock { uint64_t of, who; int fd; };
struct ear { int fd; char *topic; };
struct row { uint64_t shelf; struct tally_row row; };
struct note { uint64_t shelf, which, value; };
struct stamp { uint64_t shelf; uint32_t bay; int64_t at; };

static struct object **objects;
static struct name *names;
static struct shelf_name *shelves;
static struct lock *locks;
static struct ear *ears;
static struct stamp *stamps;
static struct row *rows;
static struct note *notes;
static size_t n_rows, n_notes, n_objects, n_names, n_shelves, n_locks, n_ears, n_stamps;
static uint64_t last_number;
static int64_t last_stamp;

#define ADD(v, n) ((v) = mem_grow((v), ((n) + 1) * sizeof *(v)), &(v)[(n)++])
#define DROP(v, n, at) ((v)[at] = (v)[--(n)])

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct stamp *stamp_of(uint64_t shelf, uint32_t bay)
{
	for (size_t i = 0; i < n_stamps; i++)
		if (stamps[i].shelf == shelf && stamps[i].bay == bay)
			return &stamps[i];
	*ADD(stamps, n_stamps) = (struct stamp){ shelf, bay, 1 };
	return &stamps[n_stamps - 1];
}

static void changed(uint64_t shelf, uint32_t bay)
{
	int64_t now = now_ns();

	last_stamp = now > last_stamp ? now : last_stamp + 1;
	stamp_of(shelf, bay)->at = last_stamp;
}

static struct name *find(uint64_t shelf, uint32_t bay, const char *text)
{
	for (size_t i = 0; i < n_names; i++)
		if (names[i].shelf == shelf && names[i].bay == bay && strcmp(names[i].text, text) == 0)
			return &names[i];
	return NULL;
}

static struct object *object_of(uint64_t number)
{
	for (size_t i = 0; i < n_objects; i++)
		if (objects[i]->number == number)
			return objects[i];
	return NULL;
}

static void name_add(uint64_t shelf, uint32_t bay, const char *text, struct object *o)
{
	*ADD(names, n_names) = (struct name){ shelf, bay, mem_str(text), o };
	changed(shelf, bay);
}

static void name_drop(struct name *x)
{
	changed(x->shelf, x->bay);
	free(x->text);
	*x = names[--n_names];
}

/* ---- shelves ---- */

static struct shelf_name *shelf_find(const char *path, uint64_t top, const char *name)
{
	for (size_t i = 0; i < n_shelves; i++)
		if ((path == NULL ? shelves[i].top == top : strcmp(shelves[i].path, path) == 0) && strcmp(shelves[i].name, name) == 0)
			return &shelves[i];
	return NULL;
}

static enum err_kind do_shelf(const struct object_ask *q, const char *path, const char *name, struct object_answer *r)
{
	struct shelf_name *x = shelf_find(path, 0, name), *top = shelf_find(path, 0, "");

	if (x == NULL && (q->a == 0 || name[0] != '\0'))
		return ERR_NOTFOUND;
	if (x == NULL) {
		x = ADD(shelves, n_shelves);
		*x = (struct shelf_name){ ++last_number, last_number, mem_str(path), mem_str("") };
		top = x;
	}
	r->object = x->number;
	r->size = top == NULL ? 0 : top->number;
	return ERR_NONE;
}

static enum err_kind do_shelf_make(const struct object_ask *q, const char *name)
{
	const struct shelf_name *top = NULL;

	if (shelf_find(NULL, q->shelf, name) != NULL)
		return name[0] == '\0' ? ERR_NONE : ERR_EXISTS;
	for (size_t i = 0; i < n_shelves; i++)
		if (shelves[i].number == q->shelf)
			top = &shelves[i];
	if (top == NULL)
		return ERR_NOTFOUND;
	{
		char *path = mem_str(top->path);

		*ADD(shelves, n_shelves) = (struct shelf_name){ ++last_number, q->shelf, path, mem_str(name) };
	}
	return ERR_NONE;
}

static enum err_kind do_shelf_remove(const struct object_ask *q, const char *name)
{
	struct shelf_name *x = shelf_find(NULL, q->shelf, name);

	if (x == NULL)
		return ERR_NOTFOUND;
	for (size_t i = n_names; i-- > 0;)
		if (names[i].shelf == x->number)
			name_drop(&names[i]);
	*x = shelves[--n_shelves];
	return ERR_NONE;
}

static enum err_kind do_shelf_rename(const struct object_ask *q, const char *from, const char *to)
{
	struct shelf_name *x = shelf_find(NULL, q->shelf, from);

	if (x == NULL || shelf_find(NULL, q->shelf, to) != NULL)
		return x == NULL ? ERR_NOTFOUND : ERR_EXISTS;
	x->name = mem_str(to);
	return ERR_NONE;
}

/* ---- objects ---- */

static enum err_kind do_put(const struct object_ask *q, const char *name, struct slice data, int fd, struct object_answer *r)
{
	struct name *x = find(q->shelf, q->bay, name);
	struct object *o;

	if (x != NULL && q->b == 0)
		return ERR_EXISTS;
	if (x != NULL)
		name_drop(x);
	o = mem_new(sizeof *o);
	buf_init(&o->data, BUF_UNBOUNDED);
	buf_put(&o->data, data);
	o->mtime = q->a != 0 ? (int64_t)q->a : now_ns() / 1000000000;
	o->number = ++last_number;
	*ADD(objects, n_objects) = o;
	name_add(q->shelf, q->bay, name, o);
	if (q->c != 0)
		*ADD(locks, n_locks) = (struct lock){ o->number, q->c, fd };
	r->object = o->number;
	return ERR_NONE;
}

static enum err_kind do_get(const struct object_ask *q, const char *name, struct object_answer *r, struct buf *out)
{
	const struct name *x = find(q->shelf, q->bay, name);

	if (x == NULL)
		return ERR_NOTFOUND;
	*r = (struct object_answer){ .object = x->o->number, .size = x->o->data.len, .mtime = x->o->mtime };
	if (q->op == OBJ_GET)
		buf_put(out, buf_view(&x->o->data));
	return ERR_NONE;
}

static enum err_kind do_link(const struct object_ask *q, const char *name, const char *as)
{
	struct name *x = find(q->shelf, q->bay, name), *there = find(q->a, BAY_CUR, as);
	struct object *o;

	if (x == NULL)
		return ERR_NOTFOUND;
	o = x->o;
	if (q->b == 0 && there != NULL)
		return ERR_EXISTS;
	if (there == x)
		return ERR_NONE;
	if (there != NULL)
		name_drop(there);
	if (q->b != 0)
		name_drop(find(q->shelf, q->bay, name));
	name_add(q->a, BAY_CUR, as, o);
	return ERR_NONE;
}

static void do_list(const struct object_ask *q, struct buf *out)
{
	for (size_t i = 0; i < n_names; i++)
		if (names[i].shelf == q->shelf && names[i].bay == q->bay)
			buf_put(out, slice_mem(names[i].text, strlen(names[i].text) + 1));
}

static void do_shelf_list(const struct object_ask *q, struct buf *out)
{
	for (size_t i = 0; i < n_shelves; i++)
		if (shelves[i].top == q->shelf && shelves[i].name[0] != '\0')
			buf_put(out, slice_mem(shelves[i].name, strlen(shelves[i].name) + 1));
}

/* ---- logs and locks ---- */

static enum err_kind do_log(const struct object_ask *q, struct slice data, struct object_answer *r, struct buf *out)
{
	struct object *o = object_of(q->a);

	if (o == NULL)
		return ERR_NOTFOUND;
	if (q->op == OBJ_READ && q->b < o->data.len)
		buf_put(out, slice_head(slice_from(buf_view(&o->data), (size_t)q->b), (size_t)q->c));
	if (q->op == OBJ_APPEND) {
		if (o->data.len != q->b)
			return ERR_EXISTS;
		buf_put(&o->data, data);
	}
	if (q->op == OBJ_CUT && q->b < o->data.len)
		buf_cut(&o->data, (size_t)q->b);
	r->size = o->data.len;
	return ERR_NONE;
}

static enum err_kind do_lock(const struct object_ask *q, int fd, struct object_answer *r)
{
	r->object = 1;
	for (size_t i = 0; i < n_locks; i++)
		if (locks[i].of == q->a) {
			if (locks[i].who != q->b)
				r->object = 0;
			else if (q->c == 0)
				DROP(locks, n_locks, i);
			return ERR_NONE;
		}
	if (q->c != 0)
		*ADD(locks, n_locks) = (struct lock){ q->a, q->b, fd };
	return ERR_NONE;
}

/* ---- tallies: one a shelf ---- */

static void do_tally_put(const struct object_ask *q, struct slice data)
{
	struct tally_row row;
	size_t at = 0;

	memcpy(&row, data.p, sizeof row);
	while (at < n_rows && (rows[at].shelf != q->shelf || rows[at].row.key != row.key))
		at++;
	if (q->a != 0) {
		if (at < n_rows)
			DROP(rows, n_rows, at);
		return;
	}
	if (at == n_rows)
		*ADD(rows, n_rows) = (struct row){ q->shelf, { .key = row.key, .sound = true } };
	if (!row.busy)
		memcpy(rows[at].row.v, row.v, sizeof row.v);
	rows[at].row.busy = row.busy;
}

static void do_tally_each(const struct object_ask *q, struct buf *out)
{
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].shelf == q->shelf)
			buf_put(out, slice_mem(&rows[i].row, sizeof rows[i].row));
}

static void do_tally_note(const struct object_ask *q, struct object_answer *r)
{
	size_t at = 0;

	while (at < n_notes && (notes[at].shelf != q->shelf || notes[at].which != q->a))
		at++;
	if (at == n_notes)
		*ADD(notes, n_notes) = (struct note){ q->shelf, q->a, 0 };
	if (q->c != 0)
		notes[at].value = q->b;
	r->size = notes[at].value;
}

static void do_notify(const char *topic)
{
	for (size_t i = 0; i < n_ears; i++)
		if (strcmp(ears[i].topic, topic) == 0 && send(ears[i].fd, "c", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			continue;
}

/* ---- the loop ---- */

static enum err_kind answer(const struct object_ask *q, const char *text, struct slice data, int fd, struct object_answer *r, struct buf *out)
{
	const char *second = text + strlen(text) + 1;
	struct name *x;

	switch ((enum object_op)q->op) {
	case OBJ_SHELF:        return do_shelf(q, text, second, r);
	case OBJ_SHELF_MAKE:   return do_shelf_make(q, text);
	case OBJ_SHELF_LIST:   do_shelf_list(q, out); return ERR_NONE;
	case OBJ_SHELF_RENAME: return do_shelf_rename(q, text, second);
	case OBJ_SHELF_REMOVE: return do_shelf_remove(q, text);
	case OBJ_PUT:          return do_put(q, text, data, fd, r);
	case OBJ_GET:
	case OBJ_STAT:         return do_get(q, text, r, out);
	case OBJ_LINK:         return do_link(q, text, second);
	case OBJ_DELETE:
		if ((x = find(q->shelf, q->bay, text)) == NULL)
			return ERR_NOTFOUND;
		name_drop(x);
		return ERR_NONE;
	case OBJ_LIST:         do_list(q, out); return ERR_NONE;
	case OBJ_STAMP:        r->mtime = stamp_of(q->shelf, q->bay)->at; return ERR_NONE;
	case OBJ_READ:
	case OBJ_APPEND:
	case OBJ_CUT:          return do_log(q, data, r, out);
	case OBJ_LOCK:         return do_lock(q, fd, r);
	case OBJ_TALLY_PUT:    do_tally_put(q, data); return ERR_NONE;
	case OBJ_TALLY_EACH:   do_tally_each(q, out); return ERR_NONE;
	case OBJ_TALLY_NOTE:   do_tally_note(q, r); return ERR_NONE;
	case OBJ_LISTEN:       *ADD(ears, n_ears) = (struct ear){ fd, mem_str(text) }; return ERR_NONE;
	case OBJ_NOTIFY:       do_notify(text); return ERR_NONE;
	default:               return ERR_SYNTAX;
	}
}

static bool read_all(int fd, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(fd, (char *)p + done, n - done);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, (const char *)p + done, n - done, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		done += (size_t)sent;
	}
	return true;
}

static bool serve_one(int fd)
{
	struct object_ask q;
	struct object_answer r = { 0 };
	struct buf out;
	char *text, *data;
	bool ok;

	if (!read_all(fd, &q, sizeof q))
		return false;
	text = mem_new((size_t)q.text_len + 2);
	data = mem_new((size_t)q.data_len + 1);
	buf_init(&out, BUF_UNBOUNDED);
	ok = read_all(fd, text, q.text_len) && read_all(fd, data, q.data_len);
	if (ok) {
		enum err_kind kind = answer(&q, text, slice_mem(data, q.data_len), fd, &r, &out);

		r.kind = (uint32_t)kind;
		r.data_len = (uint32_t)out.len;
		ok = write_all(fd, &r, sizeof r) && write_all(fd, out.p, out.len);
	}
	buf_done(&out);
	free(text);
	free(data);
	return ok;
}

/* What a dead client held is free again. */
static void forget(int fd)
{
	for (size_t i = n_locks; i-- > 0;)
		if (locks[i].fd == fd)
			DROP(locks, n_locks, i);
	for (size_t i = n_ears; i-- > 0;)
		if (ears[i].fd == fd)
			DROP(ears, n_ears, i);
	close(fd);
}

void object_serve(int listener)
{
	struct pollfd p[MOST] = { { .fd = listener, .events = POLLIN } };
	nfds_t n = 1;

	while (poll(p, n, -1) > 0) {
		for (nfds_t i = n; i-- > 1;)
			if (p[i].revents != 0 && !serve_one(p[i].fd)) {
				forget(p[i].fd);
				p[i] = p[--n];
			}
		if (p[0].revents != 0 && n < MOST) {
			int fd = accept(listener, NULL, NULL);

			if (fd >= 0)
				p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
	}
}
