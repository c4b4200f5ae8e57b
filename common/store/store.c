/*
 * store/store.c - the verbs by name: each goes to its handle's backend. Closing stores NULL and accepts it.
 */
#include "store/store.h"

#include <stddef.h>

int store_shelf_open(const struct store *s, const char *path, bool make, struct shelf **out, struct err *e)
{
	return s->ops->shelf_open(s, path, make, out, e);
}

int store_shelf_child(struct shelf *top, const char *name, bool make, struct shelf **out, struct err *e)
{
	return top->ops->shelf_child(top, name, make, out, e);
}

void store_shelf_close(struct shelf **h)
{
	if (*h != NULL)
		(*h)->ops->shelf_close(*h);
	*h = NULL;
}

bool store_shelf_look(struct shelf *top)
{
	return top->ops->shelf_look(top);
}

uint64_t store_shelf_number(struct shelf *h)
{
	return h->ops->shelf_number(h);
}

int store_shelf_make(struct shelf *top, const char *name, struct err *e)
{
	return top->ops->shelf_make(top, name, e);
}

bool store_shelf_has(struct shelf *top, const char *name)
{
	return top->ops->shelf_has(top, name);
}

int store_shelf_list(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e)
{
	return top->ops->shelf_list(top, fn, ctx, e);
}

int store_shelf_rename(struct shelf *top, const char *from, const char *to, struct err *e)
{
	return top->ops->shelf_rename(top, from, to, e);
}

int store_shelf_remove(struct shelf *top, const char *name, struct err *e)
{
	return top->ops->shelf_remove(top, name, e);
}

int store_shelf_flush(struct shelf *h, enum flush what, struct err *e)
{
	return h->ops->shelf_flush(h, what, e);
}

int store_flush_all(const struct store *s, const char *path, struct err *e)
{
	return s->ops->flush_all(s, path, e);
}

int store_draft_open(struct shelf *h, const char *purpose, struct draft **out, struct err *e)
{
	return h->ops->draft_open(h, purpose, out, e);
}

int store_draft_write(struct draft *d, uint64_t at, struct slice octets, struct err *e)
{
	return d->ops->draft_write(d, at, octets, e);
}

int store_draft_map(struct draft *d, struct blob *out, struct err *e)
{
	return d->ops->draft_map(d, out, e);
}

void store_draft_date(struct draft *d, int64_t mtime)
{
	d->ops->draft_date(d, mtime);
}

int store_draft_place(struct draft *d, const char *name, struct err *e)
{
	return d->ops->draft_place(d, name, e);
}

int store_draft_flush(struct draft *d, struct err *e)
{
	return d->ops->draft_flush(d, e);
}

void store_draft_drop(struct draft **d)
{
	if (*d != NULL)
		(*d)->ops->draft_drop(*d);
	*d = NULL;
}

int store_blob_read(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e)
{
	return h->ops->blob_read(h, bay, name, how, out, e);
}

void store_blob_done(struct blob *b)
{
	if (b->release != NULL)
		b->release(b);
	*b = (struct blob){ .fd = -1 };
}

int store_blob_stat(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e)
{
	return h->ops->blob_stat(h, bay, name, out, e);
}

int store_blob_pour(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e)
{
	return h->ops->blob_pour(h, bay, name, fn, ctx, out, e);
}

int store_blob_odd(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e)
{
	return h->ops->blob_odd(h, bay, fn, ctx, e);
}

int store_blob_link(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e)
{
	return from->ops->blob_link(from, name, to, as, e);
}

void store_blob_ref(struct shelf *h, const char *name, struct buf *out)
{
	h->ops->blob_ref(h, name, out);
}

int store_blob_link_ref(const char *ref, struct shelf *to, const char *as, struct err *e)
{
	return to->ops->blob_link_ref(ref, to, as, e);
}

int store_blob_move(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e)
{
	return from->ops->blob_move(from, bay, name, to, as, e);
}

int store_blob_delete(struct shelf *h, enum bay bay, const char *name, struct err *e)
{
	return h->ops->blob_delete(h, bay, name, e);
}

int store_blob_flush(struct shelf *h, const char *name, struct err *e)
{
	return h->ops->blob_flush(h, name, e);
}

int store_blob_list(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e)
{
	return h->ops->blob_list(h, bay, fn, ctx, e);
}

int64_t store_blob_stamp(struct shelf *h, enum bay bay)
{
	return h->ops->blob_stamp(h, bay);
}

int store_log_open(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e)
{
	return h->ops->log_open(h, name, how, out, e);
}

void store_log_close(struct store_log **l)
{
	if (*l != NULL)
		(*l)->ops->log_close(*l);
	*l = NULL;
}

int store_log_lock(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e)
{
	return l->ops->log_lock(l, replaced_out, size_out, e);
}

void store_log_unlock(struct store_log *l)
{
	l->ops->log_unlock(l);
}

bool store_log_look(struct store_log *l, uint64_t *size_out)
{
	return l->ops->log_look(l, size_out);
}

int store_log_read(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e)
{
	return l->ops->log_read(l, at, p, n, got_out, e);
}

int store_log_append(struct store_log *l, uint64_t expected, struct slice octets, struct err *e)
{
	return l->ops->log_append(l, expected, octets, e);
}

int store_log_cut(struct store_log *l, uint64_t at, struct err *e)
{
	return l->ops->log_cut(l, at, e);
}

int store_log_flush(struct store_log *l, struct err *e)
{
	return l->ops->log_flush(l, e);
}

int store_log_swap(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e)
{
	return h->ops->log_swap(h, name, d, out, e);
}

int store_kv_get(struct shelf *h, const char *name, struct buf *out, struct err *e)
{
	return h->ops->kv_get(h, name, out, e);
}

int store_kv_put(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e)
{
	return h->ops->kv_put(h, name, text, flushed, e);
}

bool store_kv_has(struct shelf *h, const char *name)
{
	return h->ops->kv_has(h, name);
}

int store_tally_open(struct shelf *h, const char *name, struct tally **out, struct err *e)
{
	return h->ops->tally_open(h, name, out, e);
}

void store_tally_close(struct tally **t)
{
	if (*t != NULL)
		(*t)->ops->tally_close(*t);
	*t = NULL;
}

bool store_tally_look(struct tally *t)
{
	return t->ops->tally_look(t);
}

bool store_tally_lock(struct tally *t, enum tally_lock which, bool on)
{
	return t->ops->tally_lock(t, which, on);
}

int store_tally_get(struct tally *t, uint64_t key, struct tally_row *out)
{
	return t->ops->tally_get(t, key, out);
}

int store_tally_put(struct tally *t, const struct tally_row *row)
{
	return t->ops->tally_put(t, row);
}

void store_tally_delete(struct tally *t, uint64_t key)
{
	t->ops->tally_delete(t, key);
}

size_t store_tally_rows(struct tally *t, struct arena *a, struct tally_row **out)
{
	return t->ops->tally_rows(t, a, out);
}

uint64_t store_tally_note(struct tally *t, unsigned which)
{
	return t->ops->tally_note(t, which);
}

void store_tally_set_note(struct tally *t, unsigned which, uint64_t value)
{
	t->ops->tally_set_note(t, which, value);
}

int store_lease_take(struct shelf *top, struct err *e)
{
	return top->ops->lease_take(top, e);
}

void store_lease_drop(struct shelf *top)
{
	top->ops->lease_drop(top);
}

void store_notify(struct shelf *top, const char *topic)
{
	top->ops->notify(top, topic);
}

int store_listen(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e)
{
	return s->ops->listen(s, path, topic, fd_out, e);
}

void store_unlisten(const struct store *s, const char *path, const char *topic, int *fd)
{
	s->ops->unlisten(s, path, topic, fd);
}
