/*
 * queue/queue_msg.h - what front, queue, deliver and client say to each other. Packed and read in queue_msg.c alone.
 */
#ifndef QUEUE_QUEUE_MSG_H
#define QUEUE_QUEUE_MSG_H

#include "io/chan.h"
#include "queue/journal.h"

enum queue_msg {
	/* front to queue */
	QMSG_NEED_SEGMENT = 1,                                        /* (generation) */
	QMSG_HOLD,                                                    /* I append to this segment: said after each new link */
	QMSG_ACCEPTED,                                                /* id, place */
	/* queue to front */
	QMSG_SEGMENT = 20,                                            /* number; fd rides along */
	/* queue to deliver, client */
	QMSG_DELIVER = 40, QMSG_ATTEMPT,
	/* and back */
	QMSG_RESULT = 60
	/* posthouse queue ... talks to the queue's own socket: queue/control.h */
};

#endif
