/*
 * store/quota.c - what a user's mail adds up to.
 */
#include "store/folder.h"

int quota_check(struct mbox *m, uint64_t octets, uint64_t messages, struct err *e)
{
	uint64_t have_octets, have_messages;
	struct box *b = m->box;

	if (b->quota_storage == 0 && b->quota_messages == 0)
		return 0;
	if (box_quota(b, &have_octets, &have_messages, e) != 0)
		return -1;
	if (b->quota_storage != 0 && (octets > b->quota_storage || have_octets > b->quota_storage - octets))
		return err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu octets are used", (unsigned long long)have_octets, (unsigned long long)b->quota_storage);
	if (b->quota_messages != 0 && (messages > b->quota_messages || have_messages > b->quota_messages - messages))
		return err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu messages are there", (unsigned long long)have_messages, (unsigned long long)b->quota_messages);
	return 0;
}

int box_quota(struct box *b, uint64_t *octets_out, uint64_t *messages_out, struct err *e)
{
	uint64_t octets = 0, messages = 0;
	struct arena *a = arena_new(0);
	struct folder *list;
	size_t n;
	int rc = box_list(b, a, &list, &n, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct folder_status s;

		if ((list[i].attrs & FOLDER_NOSELECT) != 0)
			continue;
		rc = box_status(b, list[i].name, &s, e);
		octets += rc == 0 ? s.octets : 0;
		messages += rc == 0 ? s.messages : 0;
	}
	arena_free(&a);
	if (rc == 0) {
		*octets_out = octets;
		*messages_out = messages;
	}
	return rc;
}

void quota_set(struct mbox *m)
{
	(void)m;
}

void quota_drop(struct box *b, uint32_t uidvalidity)
{
	(void)b;
	(void)uidvalidity;
}

void quota_close(struct box *b)
{
	(void)b;
}
