/*
 * dracd/grants.c - see the header. There may be half a million entries, each with a user of its own: nothing is kept twice, and what is equal in most
 * vouchers is kept once.
 */
#include "dracd/grants.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct slice addr_key(const struct net_addr *a)
{
	return slice_mem(a->octets, a->len);
}

static struct slice key_of_entry(struct hset_node *n)
{
	return addr_key(&HSET_OF(n, struct entry, node)->addr);
}

static struct slice key_of_user(struct hset_node *n)
{
	const struct roamer *u = HSET_OF(n, struct roamer, node);

	return slice_mem(u->name, u->name_n);
}

static struct slice word_text(const struct word *w)
{
	return slice_mem(w->text, w->text_n);
}

static struct slice key_of_word(struct hset_node *n)
{
	return word_text(HSET_OF(n, struct word, node));
}

void grants_init(struct grants *t)
{
	*t = (struct grants){ .next_id = 1 };
	hset_init(&t->by_addr, key_of_entry);
	hset_init(&t->users, key_of_user);
	hset_init(&t->words, key_of_word);
	list_init(&t->by_id);
}

void grants_done(struct grants *t)
{
	while (t->ends.n != 0)
		grants_drop(t, ENTRY_OF_END(t->ends.heap[t->ends.n - 1]));
	hset_done(&t->by_addr);
	hset_done(&t->users);
	hset_done(&t->words);
	ends_done(&t->ends);
}

/*
 * Words and users
 */

static struct word *word_get(struct grants *t, struct slice text)
{
	struct hset_node *n = hset_get(&t->words, text);
	struct word *w = n ? HSET_OF(n, struct word, node) : NULL;

	if (w == NULL) {
		w = mem_new(sizeof(*w) + text.n);
		w->text_n = (uint16_t)text.n;
		if (text.n != 0)
			memcpy(w->text, text.p, text.n);
		hset_add(&t->words, &w->node);
	}
	w->users++;
	return w;
}

static void word_drop(struct grants *t, struct word *w)
{
	if (w == NULL || --w->users != 0)
		return;
	hset_del(&t->words, &w->node);
	free(w);
}

struct roamer *grants_roamer(const struct grants *t, struct slice name)
{
	struct hset_node *n = hset_get(&t->users, name);

	return n ? HSET_OF(n, struct roamer, node) : NULL;
}

static struct roamer *roamer_get(struct grants *t, struct slice name)
{
	struct roamer *u = grants_roamer(t, name);

	if (u != NULL)
		return u;
	u = mem_new(sizeof(*u) + name.n);
	u->name_n = (uint16_t)name.n;
	if (name.n != 0)
		memcpy(u->name, name.p, name.n);
	list_init(&u->vouchers);
	hset_add(&t->users, &u->node);
	return u;
}

/*
 * Vouchers
 */

struct slice grants_voucher_user(const struct voucher *v)
{
	return slice_mem(v->user->name, v->user->name_n);
}

void grants_voucher_free(struct grants *t, struct voucher *v)
{
	struct roamer *u = v->user;
	struct voucher **at = &v->entry->vouchers;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	v->entry->n--;
	list_remove(&v->of_user);
	if (--u->n == 0) {
		hset_del(&t->users, &u->node);
		free(u);
	}
	word_drop(t, v->service);
	word_drop(t, v->host);
	free(v->session);
	free(v);
}

struct voucher *grants_voucher_find(const struct entry *e, const struct drac_who *who)
{
	ENTRY_VOUCHERS(e, v)
		if (slice_eq(grants_voucher_user(v), who->user) && (who->user.n != 0 || slice_eq(word_text(v->host), who->host)))
			return v;
	return NULL;
}

void grants_voucher_say(struct grants *t, struct voucher *v, const struct drac_who *who)
{
	struct voucher was = *v;

	v->service = word_get(t, who->service);
	v->host = word_get(t, who->host);
	v->session = NULL;
	if (who->session.n != 0) {
		v->session = mem_new(who->session.n + 1);
		memcpy(v->session, who->session.p, who->session.n);
	}
	v->flags = who->flags;
	word_drop(t, was.service);                                        /* last, as *who may have been read from here */
	word_drop(t, was.host);
	free(was.session);
}

struct voucher *grants_voucher_new(struct grants *t, struct entry *e, const struct drac_who *who)
{
	struct voucher *v = mem_new(sizeof(*v)), **last = &e->vouchers;

	while (*last != NULL)
		last = &(*last)->next;
	*last = v;
	v->entry = e;
	v->user = roamer_get(t, who->user);
	v->user->n++;
	list_append(&v->user->vouchers, &v->of_user);
	e->n++;
	grants_voucher_say(t, v, who);
	return v;
}

void grants_voucher_fill(const struct voucher *v, struct drac_voucher *out)
{
	out->who = (struct drac_who){ .user = grants_voucher_user(v), .service = word_text(v->service), .host = word_text(v->host), .session = slice_of(v->session),
		.flags = v->flags };
	out->at = (uint64_t)v->login_at;
	out->expires = (uint64_t)v->expires_wall;
}

/*
 * Entries
 */

struct entry *grants_find(const struct grants *t, const struct net_addr *addr)
{
	struct hset_node *n = hset_get(&t->by_addr, addr_key(addr));

	return n ? HSET_OF(n, struct entry, node) : NULL;
}

struct entry *grants_add(struct grants *t, const struct net_addr *addr, int64_t first)
{
	struct entry *e = mem_new(sizeof(*e));

	e->addr = *addr;
	e->addr.port = 0;
	e->first = first;
	e->id = t->next_id++;
	e->due_wall = INT64_MAX;
	e->end.due_mono = INT64_MAX;
	list_append(&t->by_id, &e->by_id);
	hset_add(&t->by_addr, &e->node);
	ends_add(&t->ends, &e->end);
	return e;
}

void grants_drop(struct grants *t, struct entry *e)
{
	ENTRY_VOUCHERS(e, v)
		grants_voucher_free(t, v);
	hset_del(&t->by_addr, &e->node);
	ends_del(&t->ends, &e->end);
	list_remove(&e->by_id);
	free(e);
}

void grants_due(struct grants *t, struct entry *e, const struct voucher *v)
{
	e->due_wall = v->expires_wall < e->due_wall ? v->expires_wall : e->due_wall;
	if (v->expires_mono < e->end.due_mono)
		ends_moved(&t->ends, &e->end, v->expires_mono);
}
