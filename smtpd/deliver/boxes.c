/*
 * deliver/boxes.c - see boxes.h.
 *
 * Who delivers keeps the INBOX open too: the next delivery then costs a look at the log, not reading it. Whether the directory is still the one that is
 * open is looked at once a second: one that was moved away or restored is heeded then.
 */
#include "deliver/boxes.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "serve/accounts.h"
#include "serve/boxdir.h"

enum { BOXES_OPEN = 200, LOOK_MS = 1000 };

struct open_box {
	struct list_node node;                                        /* least recently used first */
	char *user;
	struct box *box;
	struct mbox *inbox;
	int64_t looked_ms;
};

struct boxes {
	const struct settings *settings;
	struct users *users;                                          /* for quotas; NULL: could not be opened, defaults count */
	struct hmap *by_user;
	struct list_node order;
	bool with_inbox;
};

static void close_one(struct boxes *b, struct open_box *ob)
{
	hmap_del(b->by_user, slice_of(ob->user));
	list_remove(&ob->node);
	mbox_close(&ob->inbox);
	box_close(&ob->box);
	free(ob->user);
	free(ob);
}

struct boxes *boxes_new(const struct settings *s, bool with_inbox)
{
	struct boxes *b = mem_new(sizeof(*b));

	b->settings = s;
	b->with_inbox = with_inbox;
	b->by_user = hmap_new();
	list_init(&b->order);
	if (users_open(&b->users, s->accounts_db, NULL) < 0)
		b->users = NULL;
	return b;
}

void boxes_free(struct boxes **bp)
{
	struct boxes *b = *bp;
	struct list_node *n;

	if (b == NULL)
		return;
	while ((n = list_first(&b->order)) != NULL)
		close_one(b, LIST_OF(n, struct open_box, node));
	hmap_free(&b->by_user);
	users_close(&b->users);
	free(b);
	*bp = NULL;
}

void boxes_limits(struct boxes *b, struct slice user, uint64_t *octets_out, uint64_t *messages_out)
{
	accounts_limits_of(b->settings, b->users, user, octets_out, messages_out);
}

static bool is_current(struct open_box *ob, int64_t now_ms)
{
	if (now_ms - ob->looked_ms < LOOK_MS)
		return true;
	ob->looked_ms = now_ms;
	return box_is_there(ob->box);
}

static int open_one(struct boxes *b, struct slice user, bool make, struct open_box *ob, struct err *e)
{
	struct box_options opt = { .special_folders = b->settings->special_folders, .hostname = b->settings->myhostname };
	struct buf dir;
	int rc;

	buf_init(&dir, BUF_UNBOUNDED);
	boxes_limits(b, user, &opt.quota_storage, &opt.quota_messages);
	if (boxdir_of(b->settings, user, &dir) < 0)
		rc = err_set(e, ERR_DENIED, 0, "\"%.*s\" is no name for a mailbox", SLICE_FMT(slice_head(user, LIMIT_USER_NAME)));
	else
		rc = box_open(&ob->box, buf_str(&dir), make, &opt, e);
	buf_done(&dir);
	if (rc < 0)
		return -1;
	if (!b->with_inbox || mbox_open(&ob->inbox, ob->box, SLICE("INBOX"), e) == 0)
		return 0;
	box_close(&ob->box);
	return -1;
}

static void keep(struct boxes *b, struct slice user, struct open_box *ob)
{
	if (hmap_count(b->by_user) >= BOXES_OPEN)
		close_one(b, LIST_OF(list_first(&b->order), struct open_box, node));
	ob->user = mem_new(user.n + 1);
	memcpy(ob->user, user.p, user.n);
	hmap_put(b->by_user, user, ob);
}

int boxes_get(struct boxes *b, struct slice user, bool make, int64_t now_ms, struct box **box_out, struct err *e)
{
	struct open_box *ob = hmap_get(b->by_user, user);
	uint64_t octets, messages;

	if (ob != NULL && !is_current(ob, now_ms)) {
		close_one(b, ob);
		ob = NULL;
	}
	if (ob != NULL) {
		boxes_limits(b, user, &octets, &messages);
		box_set_limits(ob->box, octets, messages);
	} else {
		ob = mem_new(sizeof(*ob));
		ob->looked_ms = now_ms;
		if (open_one(b, user, make, ob, e) < 0) {
			free(ob);
			return -1;
		}
		keep(b, user, ob);
	}
	list_remove(&ob->node);
	list_append(&b->order, &ob->node);
	*box_out = ob->box;
	return 0;
}

void boxes_forget(struct boxes *b, struct slice user)
{
	struct open_box *ob = hmap_get(b->by_user, user);

	if (ob != NULL)
		close_one(b, ob);
}
