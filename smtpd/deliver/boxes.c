/*
 * deliver/boxes.c - see boxes.h.
 */
#include "deliver/boxes.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "serve/accounts.h"
#include "serve/boxdir.h"

enum { BOXES_OPEN = 200 };

struct open_box {
	struct list_node node;                                        /* least recently used first */
	char *user;
	struct box *box;
};

struct boxes {
	const struct settings *settings;
	struct users *users;                                          /* for quotas; NULL: could not be opened, defaults count */
	struct hmap *by_user;
	struct list_node order;
};

static void close_one(struct boxes *b, struct open_box *ob)
{
	hmap_del(b->by_user, slice_of(ob->user));
	list_remove(&ob->node);
	box_close(&ob->box);
	free(ob->user);
	free(ob);
}

struct boxes *boxes_new(const struct settings *s)
{
	struct boxes *b = mem_new(sizeof(*b));

	b->settings = s;
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

int boxes_get(struct boxes *b, struct slice user, bool make, struct box **box_out, struct err *e)
{
	struct open_box *ob = hmap_get(b->by_user, user);
	struct box_options opt = { .special_folders = b->settings->special_folders, .hostname = b->settings->myhostname };
	struct box *box;
	struct buf dir;
	int rc;

	boxes_limits(b, user, &opt.quota_storage, &opt.quota_messages);
	if (ob != NULL) {
		box_set_limits(ob->box, opt.quota_storage, opt.quota_messages);
		list_remove(&ob->node);
		list_append(&b->order, &ob->node);
		*box_out = ob->box;
		return 0;
	}
	buf_init(&dir, BUF_UNBOUNDED);
	if (boxdir_of(b->settings, user, &dir) < 0)
		rc = err_set(e, ERR_DENIED, 0, "\"%.*s\" is no name for a mailbox", SLICE_FMT(slice_head(user, LIMIT_USER_NAME)));
	else
		rc = box_open(&box, buf_str(&dir), make, &opt, e);
	buf_done(&dir);
	if (rc < 0)
		return -1;
	if (hmap_count(b->by_user) >= BOXES_OPEN)
		close_one(b, LIST_OF(list_first(&b->order), struct open_box, node));
	ob = mem_new(sizeof(*ob));
	ob->user = mem_new(user.n + 1);
	for (size_t i = 0; i < user.n; i++)
		ob->user[i] = user.p[i];
	ob->box = box;
	list_append(&b->order, &ob->node);
	hmap_put(b->by_user, user, ob);
	*box_out = box;
	return 0;
}

void boxes_forget(struct boxes *b, struct slice user)
{
	struct open_box *ob = hmap_get(b->by_user, user);

	if (ob != NULL)
		close_one(b, ob);
}
