/*
 * store/notify.c - wake-ups of a user's mailboxes: one topic, to which every change of a folder goes.
 */
#include "store/folder.h"

#include <sys/socket.h>

int notify_bind(const char *box_dir, int *fd_out, struct err *e)
{
	return store_listen(store_local(), box_dir, NOTIFY_TOPIC, fd_out, e);
}

void notify_drain(int fd)
{
	char waste[64];

	while (recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
		continue;
}

void notify_unbind(const char *box_dir, int *fd)
{
	store_unlisten(store_local(), box_dir, NOTIFY_TOPIC, fd);
}

void notify_send(struct box *b)
{
	store_notify(b->top, NOTIFY_TOPIC);
}
