/*
 * server/room_client.h - a front's side of deliver/room_msg.h: a question to the room process with a deadline.
 */
#ifndef SERVER_ROOM_CLIENT_H
#define SERVER_ROOM_CLIENT_H

#include "deliver/room_msg.h"

struct room_client;
struct room_query;
typedef void room_answer_fn(void *ctx, enum room_verdict v);

struct room_client *room_client_new(struct loop *l);
void room_client_free(struct room_client **c);
void room_client_link(struct room_client *c, int fd);                 /* takes over fd; new questions go there */

/* fn is called later, once: ROOM_FOUND where no answer comes in time or nobody can be asked. q->token is ours. */
struct room_query *room_client_ask(struct room_client *c, struct room_ask *q, int64_t timeout_ms, room_answer_fn *fn, void *ctx);
void room_client_cancel(struct room_query **q);                       /* *q NULL: nothing; else it becomes NULL, fn is not called */

#endif
