/*
 * queue/bounce.h - the text of our own mail: delivery status notifications (RFC 3464 in RFC 3462 multipart/report), as the sender gets them.
 * Pure: time and boundary are parameters.
 */
#ifndef QUEUE_BOUNCE_H
#define QUEUE_BOUNCE_H

#include "conf/settings.h"
#include "queue/envelope.h"

enum bounce_action { BOUNCE_FAILED, BOUNCE_DELAYED, BOUNCE_DELIVERED, BOUNCE_RELAYED };     /* RFC 3464 2.3.3 */

struct bounce_rcpt {
	const struct rcpt *rcpt;
	enum bounce_action action;
	struct slice dsn;                                             /* "5.1.1" */
	struct slice mta;                                             /* who said it; empty: we ourselves */
	struct slice text;
};

struct bounce {
	const struct envelope *env;                                   /* of the message that this is about */
	const char *id;                                               /* of the notification itself */
	const struct bounce_rcpt *rcpts;
	size_t n_rcpts;
	struct slice to;                                              /* whom it goes to: the sender, or postmaster */
	struct slice original;                                        /* octets of the message; empty: not to be had */
	int64_t now;                                                  /* seconds since 1970 */
	int zone_min;
	int64_t retry_until;                                          /* delayed: when we give up */
};

enum { BOUNCE_FULL_MAX = 50000 };                                     /* a longer message comes back as its header alone, even with RET=FULL */

void bounce_put(const struct bounce *b, const struct settings *s, struct buf *out);

#endif
