/*
 * dracd/doors.h - the sockets of dracd: UDP and TCP for versions 1 and 2, the local socket and TLS for version 3.
 *
 * A record that comes half delays nobody else; a stream has a deadline for each record and an idle limit, and when all places are taken the one that
 * was idle longest gives way. Answers that must be durable leave together after a flush, which a thread waits for:
 * questions are answered meanwhile, and grants gather for the next flush.
 */
#ifndef DRACD_DOORS_H
#define DRACD_DOORS_H

#include "dracd/core.h"
#include "io/loop.h"
#include "io/tls.h"

#define DOORS_STREAMS_MAX 512u
#define DOORS_IDLE_MS 60000                                               /* of TCP and TLS; the local socket may be quiet for ever */
#define DOORS_RECORD_MS 10000                                             /* from a record's first octet to its last */

struct doors;

struct doors *doors_new(struct loop *l, struct core *c, struct tls_ctx *tls);    /* tls may be NULL: no TLS door. Starts the thread */
void doors_free(struct doors **d);
void doors_udp(struct doors *d, int fd);                              /* bound socket; the caller keeps owning listening descriptors */
void doors_listen(struct doors *d, int fd, enum core_door door);
struct table_time doors_now(const struct loop *l);
/* Called at the end of each round in which something changed. */
void doors_on_change(struct doors *d, void (*fn)(void *ctx), void *ctx);
void doors_news(struct doors *d);                                     /* something changed by other means (expiry, a peer): wakes those that PULL */

#endif
