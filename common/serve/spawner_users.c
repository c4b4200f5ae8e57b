/*
 * serve/spawner_users.c - the users that the spawner knows of: those with a session process, those with connections that sleep at a front.
 */
#include "serve/spawner_in.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/boxdir.h"
#include "serve/session_msg.h"
#include "store/mbox.h"

/*
 * Users
 */

struct suser *suser_get(struct spawner *sp, struct slice name)
{
	struct suser *u = hmap_get(sp->users, name);
	struct buf dir;

	if (u != NULL)
		return u;
	buf_init(&dir, 4096);
	if (boxdir_of(sp->s, name, &dir) < 0) {
		buf_done(&dir);
		return NULL;
	}
	u = mem_new(sizeof(*u));
	u->sp = sp;
	u->notify_fd = -1;
	u->box_dir = mem_str(buf_str(&dir));
	buf_reset(&dir);
	buf_put(&dir, name);
	u->text = mem_str(buf_str(&dir));
	u->name = slice_mem(u->text, name.n);
	buf_done(&dir);
	list_init(&u->parked);
	(void)hmap_put(sp->users, u->name, u);
	return u;
}

void suser_drop_if_unused(struct suser *u)
{
	if (u->worker != NULL || u->n_parked > 0)
		return;
	(void)hmap_del(u->sp->users, u->name);
	free(u->box_dir);
	free(u->text);
	free(u);
}

/*
 * Parked connections
 */

void suser_wake_all(struct suser *u)
{
	LIST_EACH(n, &u->parked) {
		const struct parked *pk = LIST_OF(n, struct parked, node);
		const struct sfront *f = pk->front;

		session_msg_id(f->c, SMSG_WAKE, pk->key[1]);
	}
}

static void on_notify(void *ctx, unsigned events)
{
	struct suser *u = ctx;

	(void)events;
	notify_drain(u->notify_fd);
	suser_wake_all(u);
}

static void watch_mailboxes(struct suser *u)
{
	struct err e = ERR_INIT;

	if (u->notify_fd >= 0)
		return;
	if (notify_bind(u->box_dir, &u->notify_fd, &e) < 0) {
		u->notify_fd = -1;
		log_warn("parked connections of %.*s will not hear of new mail: %s", SLICE_FMT(u->name), e.text);
		return;
	}
	loop_fd_add(u->sp->l, &u->notify, u->notify_fd, LOOP_READ, on_notify, u);
}

static void unwatch_mailboxes(struct suser *u)
{
	if (u->notify_fd < 0)
		return;
	loop_fd_del(u->sp->l, &u->notify);
	notify_unbind(u->box_dir, &u->notify_fd);
	u->notify_fd = -1;
}

void suser_unpark(struct parked *pk)
{
	struct suser *u = pk->user;

	parked_free(u->sp->parked, pk);
	if (--u->n_parked == 0)
		unwatch_mailboxes(u);
}

bool suser_park(struct suser *u, struct sfront *f, uint64_t id)
{
	struct parked *pk = parked_new(u->sp->parked, f->number, id, u->name);

	if (pk == NULL)
		return false;
	pk->user = u;
	pk->front = f;
	list_append(&u->parked, &pk->node);
	u->n_parked++;
	watch_mailboxes(u);
	return true;
}

void suser_evict_oldest(struct suser *u)
{
	struct list_node *n = list_first(&u->parked);
	const struct sfront *f;
	struct parked *pk;

	if (n == NULL)
		return;
	pk = LIST_OF(n, struct parked, node);
	f = pk->front;
	log_info("connection limit: a parked connection of user=<%.*s> is closed for a new login", SLICE_FMT(u->name));
	session_msg_id(f->c, SMSG_EVICT, pk->key[1]);
	renew_end(u->sp->renew, f->number, pk->key[1], u->name);
	suser_unpark(pk);
}
