/*
 * store/quota.c - what a user's mail adds up to, exactly, without looking at more than one folder; the limits, and since when the user is over them.
 *
 * posthouse.quota is a tally that every process has open that has the box open: one row a folder, keyed by its shelf's number (UIDVALIDITY of
 * folders that came from another server may be the same), with that folder's totals and the position in its log at which they were true. Totals, not differences, are written, and only under the folder's lock. A row says that it is
 * busy from before the log grows until it is right again: whoever meets one that stays busy, or opens a folder whose log is longer than its row knows, counts
 * that folder again, so a kill -9 anywhere leaves nothing wrong. After a restart of the machine, or where a row does not check, all are counted again.
 * Where there is a limit, the tally's lock is held from the check until the change is in the log, so that two folders can't both take the last room.
 *
 * Locks, in this order: TALLY_COUNTING (a count of all folders), a folder, TALLY_ROOM (rows are made and dropped; room is taken).
 */
#include "store/folder.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define QUOTA_NAME "posthouse.quota"
#define MAGIC 0x335f51485fu

enum { BUSY_LOOKS = 40, BUSY_LOOK_US = 50 };
enum { OCTETS, MESSAGES, LOG_ID, LOG_END };                           /* of a row */

/* COUNTED is MAGIC where all folders have been counted since the machine started at BOOT, in the place of that
   number HOME (another one is a copy, whose folders have other keys). FULL_SINCE: when something was refused, and nothing was removed
   since; 0: has room. */
enum { COUNTED, BOOT, NONE, LIMITS_KNOWN, LIMIT_OCTETS, LIMIT_MESSAGES, FULL_SINCE, HOME };

struct quota { struct tally *t; bool locked; };

void quota_close(struct box *b)
{
	if (b->quota == NULL)
		return;
	store_tally_close(&b->quota->t);
	free(b->quota);
	b->quota = NULL;
}

static void put_limits(struct box *b, struct tally *t)
{
	if (!b->knows_limits || (store_tally_note(t, LIMITS_KNOWN) != 0 && store_tally_note(t, LIMIT_OCTETS) == b->quota_storage &&
	    store_tally_note(t, LIMIT_MESSAGES) == b->quota_messages))
		return;
	store_tally_set_note(t, LIMIT_OCTETS, b->quota_storage);
	store_tally_set_note(t, LIMIT_MESSAGES, b->quota_messages);
	store_tally_set_note(t, LIMITS_KNOWN, 1);
	store_tally_set_note(t, FULL_SINCE, 0);
}

/* As we have it. NULL: can't be had. */
static struct quota *quota_known(struct box *b, struct err *e)
{
	struct tally *t;

	if (b->quota != NULL)
		return b->quota;
	if (store_tally_open(b->top, QUOTA_NAME, &t, e) != 0)
		return NULL;
	b->quota = mem_new(sizeof *b->quota);
	b->quota->t = t;
	put_limits(b, t);
	return b->quota;
}

/* As it is now: others may have made it longer; somebody may have removed it. */
static struct quota *quota_open(struct box *b, struct err *e)
{
	if (b->quota != NULL && !store_tally_look(b->quota->t))
		quota_close(b);
	return quota_known(b, e);
}

static bool is_current(struct box *b, const struct quota *q)
{
	return store_tally_note(q->t, COUNTED) == MAGIC && box_is_same_boot(b, (int64_t)store_tally_note(q->t, BOOT)) &&
	       store_tally_note(q->t, HOME) == store_shelf_number(b->top);
}

uint64_t quota_key(struct mbox *m)
{
	if (m->quota_key == 0)
		m->quota_key = store_shelf_number(m->shelf);
	return m->quota_key;
}

/* ---- a folder's totals: its lock is held ---- */

void quota_touch(struct mbox *m)
{
	struct tally_row row = { .key = quota_key(m), .busy = true };
	struct err ignored;
	struct quota *q = quota_open(m->box, &ignored);

	if (q != NULL && store_tally_put(q->t, &row) != 0) {}         /* no room: no sum will be right, nor say so; but no folder is the 2048th */
}

void quota_set(struct mbox *m)
{
	struct tally_row row = { .key = quota_key(m), .v = { [OCTETS] = m->octets, [MESSAGES] = mbox_count(m), [LOG_ID] = m->log.id, [LOG_END] = m->log.end } }, had;
	struct err ignored;
	struct quota *q = quota_known(m->box, &ignored);

	if (q == NULL)
		return;
	if (store_tally_get(q->t, row.key, &had) != 0)
		had = (struct tally_row){ 0 };
	if (had.v[LOG_ID] == 0 && row.v[MESSAGES] > 0)                /* put back by hand, perhaps in the place of one that we count still */
		store_tally_set_note(q->t, COUNTED, 0);
	if (row.v[OCTETS] < had.v[OCTETS] || row.v[MESSAGES] < had.v[MESSAGES])
		store_tally_set_note(q->t, FULL_SINCE, 0);
	if (store_tally_put(q->t, &row) != 0) {}
}

/* Not locked. Right as it is, but for what a killed process left. */
bool quota_is_behind(struct mbox *m)
{
	struct err ignored;
	struct quota *q = quota_open(m->box, &ignored);
	struct tally_row x;

	if (q == NULL)
		return false;
	return store_tally_get(q->t, quota_key(m), &x) != 0 || x.busy || !x.sound || x.v[LOG_ID] != m->log.id || x.v[LOG_END] < m->log.end;
}

void quota_drop(struct box *b, uint64_t key)
{
	struct err ignored;
	struct quota *q = quota_open(b, &ignored);

	if (q == NULL || key == 0)
		return;
	store_tally_delete(q->t, key);
	store_tally_set_note(q->t, FULL_SINCE, 0);
}

enum sum { SUM_FINE, SUM_UNSURE, SUM_DAMAGED };

/* Looked at for a while: it may be in the middle of a change. False: it has gone. */
static bool comes_to_rest(const struct quota *q, struct tally_row *row)
{
	for (int look = 0; look < BUSY_LOOKS && (row->busy || !row->sound); look++) {
		(void)usleep(BUSY_LOOK_US);
		if (store_tally_get(q->t, row->key, row) != 0)
			return false;
	}
	return true;
}

/* Unsure: one row stays busy; damaged: one does not check. */
static enum sum sum(const struct quota *q, uint64_t *octets_out, uint64_t *messages_out)
{
	struct arena *a = arena_new(0);
	uint64_t octets = 0, messages = 0;
	enum sum result = SUM_FINE;
	struct tally_row *v;
	size_t n = store_tally_rows(q->t, a, &v);

	for (size_t i = 0; i < n; i++) {
		if (!comes_to_rest(q, &v[i]))
			continue;
		result = !v[i].sound ? SUM_DAMAGED : v[i].busy && result == SUM_FINE ? SUM_UNSURE : result;
		octets += v[i].v[OCTETS];
		messages += v[i].v[MESSAGES];
	}
	arena_free(&a);
	*octets_out = octets;
	*messages_out = messages;
	return result;
}

/* ---- all of them ---- */

struct counting { uint64_t *before; size_t n_before; uint64_t *seen; size_t n_seen; unsigned wrong; };

static bool has(const uint64_t *v, size_t n, uint64_t x)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == x)
			return true;
	return false;
}

/* Locked, so that nobody is in the middle of a change. */
static bool is_wrong(struct mbox *m)
{
	struct err ignored;
	struct quota *q = quota_open(m->box, &ignored);
	struct tally_row x;

	return q != NULL && store_tally_get(q->t, quota_key(m), &x) == 0 && (x.v[OCTETS] != m->octets || x.v[MESSAGES] != mbox_count(m));
}

static int count_folder(struct box *b, struct slice name, struct counting *c, struct err *e)
{
	struct mbox *m;
	int rc = mbox_open(&m, b, name, e);

	if (rc != 0)
		return e->kind == ERR_NOTFOUND ? 0 : -1;              /* deleted meanwhile */
	rc = mbox_begin(m, e);
	if (rc == 0) {
		c->wrong += is_wrong(m);
		quota_set(m);
		c->seen[c->n_seen++] = quota_key(m);
		mbox_end(m);
	}
	mbox_close(&m);
	return rc;
}

static int count_all(struct box *b, struct arena *a, struct counting *c, struct err *e)
{
	struct folder *list;
	size_t n;

	if (box_list(b, a, &list, &n, e) != 0)
		return -1;
	c->seen = arena_array(a, n + 1, sizeof *c->seen);
	for (size_t i = 0; i < n; i++)
		if ((list[i].attrs & FOLDER_NOSELECT) == 0 && count_folder(b, list[i].name, c, e) != 0)
			return -1;
	return 0;
}

/* What belongs to no folder goes. */
static void forget(struct quota *q, struct arena *a, struct counting *c)
{
	struct tally_row *v;
	size_t n = store_tally_rows(q->t, a, &v);

	for (size_t i = 0; i < n; i++)
		if (has(c->before, c->n_before, v[i].key) && !has(c->seen, c->n_seen, v[i].key)) {
			c->wrong += v[i].v[MESSAGES] > 0;
			store_tally_delete(q->t, v[i].key);
		}
}

/* Everything anew where nothing can be trusted; else the folders one by one in place. */
static void prepare_count(struct quota *q, bool damaged, struct arena *a, struct counting *c)
{
	struct tally_row *v;
	size_t n;

	if (damaged)
		store_tally_set_note(q->t, COUNTED, 0);
	n = store_tally_rows(q->t, a, &v);
	c->before = arena_array(a, n + 1, sizeof *c->before);
	for (size_t i = 0; i < n; i++)
		if (damaged)
			store_tally_delete(q->t, v[i].key);
		else
			c->before[c->n_before++] = v[i].key;
}

static int recount_locked(struct box *b, struct quota *q, bool damaged, unsigned *wrong_out, struct err *e)
{
	struct arena *a = arena_new(0);
	struct counting c = { 0 };
	int rc;

	prepare_count(q, damaged, a, &c);
	rc = count_all(b, a, &c, e);
	if (rc == 0 && (q = quota_open(b, e)) == NULL)
		rc = -1;
	if (rc == 0) {
		forget(q, a, &c);
		store_tally_set_note(q->t, BOOT, (uint64_t)b->boot);
		store_tally_set_note(q->t, HOME, store_shelf_number(b->top));
		store_tally_set_note(q->t, COUNTED, MAGIC);
		*wrong_out = c.wrong + damaged;
	}
	arena_free(&a);
	return rc;
}

/* Right already: another process has counted while we waited for our turn. */
static bool is_right(struct box *b, struct quota *q, enum sum *how)
{
	uint64_t octets, messages;

	*how = is_current(b, q) ? sum(q, &octets, &messages) : SUM_DAMAGED;
	return *how == SUM_FINE;
}

/* The lock is a handle's own: it stays whatever becomes of the box's. */
static int recount(struct box *b, bool always, unsigned *wrong_out, struct err *e)
{
	struct tally *turn;
	struct quota *q;
	enum sum how;
	int rc;

	if (store_tally_open(b->top, QUOTA_NAME, &turn, e) != 0)
		return -1;
	if (!store_tally_lock(turn, TALLY_COUNTING, true))
		rc = err_set(e, ERR_TEMP, 0, QUOTA_NAME " can't be locked");
	else if ((q = quota_open(b, e)) == NULL)
		rc = -1;
	else
		rc = is_right(b, q, &how) && !always ? 0 : recount_locked(b, q, how == SUM_DAMAGED, wrong_out, e);
	store_tally_close(&turn);
	return rc;
}

/* Before any folder is locked: counting opens all of them. */
int quota_prepare(struct box *b, struct err *e)
{
	struct quota *q = quota_open(b, e);
	unsigned wrong;
	enum sum how;

	if (q == NULL)
		return -1;
	return is_right(b, q, &how) ? 0 : recount(b, false, &wrong, e);
}

int box_quota(struct box *b, uint64_t *octets_out, uint64_t *messages_out, struct err *e)
{
	if (quota_prepare(b, e) != 0)
		return -1;
	return sum(b->quota, octets_out, messages_out) != SUM_DAMAGED ? 0 : err_set(e, ERR_TEMP, 0, QUOTA_NAME " is damaged");
}

int box_recount(struct box *b, unsigned *wrong_out, struct err *e)
{
	return recount(b, true, wrong_out, e);
}

/* ---- limits and room ---- */

void box_set_limits(struct box *b, uint64_t octets, uint64_t messages)
{
	struct err ignored;
	struct quota *q;

	b->knows_limits = true;
	b->quota_storage = octets;
	b->quota_messages = messages;
	q = quota_open(b, &ignored);
	if (q != NULL)
		put_limits(b, q->t);
}

void box_limits(struct box *b, uint64_t *octets_out, uint64_t *messages_out)
{
	struct err ignored;
	const struct quota *q = quota_known(b, &ignored);
	bool known = q != NULL && store_tally_note(q->t, LIMITS_KNOWN) != 0;

	*octets_out = known ? store_tally_note(q->t, LIMIT_OCTETS) : b->quota_storage;
	*messages_out = known ? store_tally_note(q->t, LIMIT_MESSAGES) : b->quota_messages;
}

static bool fits(uint64_t have, uint64_t more, uint64_t limit)
{
	return limit == 0 || (more <= limit && have <= limit - more);
}

/* Octets 0: some message. */
static int find_room(struct box *b, uint64_t octets, uint64_t messages, struct err *e)
{
	uint64_t have_octets, have_messages, limit_octets, limit_messages;

	box_limits(b, &limit_octets, &limit_messages);
	if (b->quota == NULL || (limit_octets == 0 && limit_messages == 0))
		return 0;
	if (!is_current(b, b->quota) || sum(b->quota, &have_octets, &have_messages) == SUM_DAMAGED)
		return err_set(e, ERR_TEMP, 0, QUOTA_NAME " is being counted; try again");
	if (!fits(have_octets, octets > 0 ? octets : 1, limit_octets))
		(void)err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu octets are used", (unsigned long long)have_octets, (unsigned long long)limit_octets);
	else if (!fits(have_messages, messages, limit_messages))
		(void)err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu messages are there", (unsigned long long)have_messages, (unsigned long long)limit_messages);
	else
		return 0;
	if (store_tally_note(b->quota->t, FULL_SINCE) == 0)
		store_tally_set_note(b->quota->t, FULL_SINCE, (uint64_t)clock_wall_s());
	return -1;
}

int box_room(struct box *b, uint64_t octets, struct box_room *out, struct err *e)
{
	uint64_t limit_octets, limit_messages;
	struct err why = ERR_INIT;

	if (quota_prepare(b, e) != 0)
		return -1;
	box_limits(b, &limit_octets, &limit_messages);
	*out = (struct box_room){ .fits = find_room(b, octets, 1, &why) == 0, .never = limit_octets != 0 && octets > limit_octets };
	if (!out->fits && why.kind != ERR_LIMIT)
		return err_set(e, why.kind, why.sys, "%s", why.text);
	out->full_since = out->fits ? 0 : (int64_t)store_tally_note(b->quota->t, FULL_SINCE);
	return 0;
}

static void lock_room(struct quota *q, bool on)
{
	q->locked = store_tally_lock(q->t, TALLY_ROOM, on) && on;
}

int quota_check(struct mbox *m, uint64_t octets, uint64_t messages, struct err *e)
{
	struct box *b = m->box;
	uint64_t limit_octets, limit_messages;

	box_limits(b, &limit_octets, &limit_messages);
	if (limit_octets == 0 && limit_messages == 0)
		return 0;
	if (m->log.locked && b->quota != NULL && !b->quota->locked)
		lock_room(b->quota, true);
	return find_room(b, octets, messages, e);
}

void quota_release(struct box *b)
{
	if (b->quota != NULL && b->quota->locked)
		lock_room(b->quota, false);
}
