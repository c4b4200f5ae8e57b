/*
 * queue/queue_msg.h - what front, queue, deliver and client say to each other. Packed and read in queue_msg.c alone.
 *
 * What comes in numbers (accepted, jobs, results) is batched: one message holds as many as came up in one round of the sender's loop. Slices that a
 * reader hands out are borrowed from the message.
 */
#ifndef QUEUE_QUEUE_MSG_H
#define QUEUE_QUEUE_MSG_H

#include "io/chan.h"
#include "queue/journal.h"

enum queue_msg {
	/* front to queue */
	QMSG_NEED_SEGMENT = 1,
	QMSG_HOLD,                                                    /* the segments that I have open: said on each new link */
	QMSG_RELEASED,                                                /* a segment that I have closed */
	QMSG_SUSPECT,                                                 /* the same, after an I/O error */
	QMSG_ACCEPTED,                                                /* batch of places and envelopes */
	/* queue to front */
	QMSG_SEGMENT = 20,                                            /* number; fd rides along */
	QMSG_SPACE,                                                   /* octets free in the spool, octets to be kept free */
	/* queue to deliver, client: batch of jobs */
	QMSG_JOBS = 40,
	/* and back: batch of results */
	QMSG_RESULTS = 60
	/* posthouse queue ... talks to the queue's own socket: queue/control.h */
};

/* ---- batches ---- */
struct qbatch { struct chan *chan; struct msg m; bool open; };        /* zero it once; a chan of NULL drops what is put */
void qbatch_flush(struct qbatch *b);                                  /* sends what is there */
void qbatch_drop(struct qbatch *b);

/* ---- front and queue ---- */
void qmsg_send_need(struct chan *c);
void qmsg_send_hold(struct chan *c, const uint64_t *segments, size_t n);
void qmsg_send_released(struct chan *c, uint64_t segment);
void qmsg_send_suspect(struct chan *c, uint64_t segment, uint64_t good_to);
void qmsg_send_segment(struct chan *c, uint64_t number, int fd);      /* takes over fd */
void qmsg_send_space(struct chan *c, uint64_t have, uint64_t keep);
void qmsg_put_accepted(struct qbatch *b, const struct journal_place *place, struct slice envelope_text);
bool qmsg_get_accepted(struct msg *m, struct journal_place *place_out, struct slice *envelope_text_out);   /* text empty: read it from the journal */

/* ---- jobs ---- */
/* Was perhaps done before a crash; the message is in spool/large; and the machine went down in that crash. */
enum { QJOB_MAYBE_AGAIN = 1, QJOB_IN_LARGE = 2, QJOB_UNCLEAN = 4 };
#define QJOB_RCPTS 100

struct qjob_rcpt {
	uint32_t index;                                               /* in the queue's message */
	uint32_t notify;
	struct slice address, orcpt, original;
	struct slice user, folder;                                    /* for deliver */
};
struct qjob {
	uint64_t token;                                               /* the queue's own; comes back with each result */
	struct slice id;
	struct journal_place place;                                   /* segment 0: in spool/deferred (or spool/large) */
	uint32_t flags, env_flags;
	int64_t arrived, queued;                                      /* microseconds since 1970 */
	uint64_t size;
	struct slice sender, envid, next_hop;
	uint32_t n_rcpts;                                             /* at most QJOB_RCPTS; they follow */
};
void qmsg_put_job(struct qbatch *b, const struct qjob *job, const struct qjob_rcpt *rcpts);
bool qmsg_get_job(struct msg *m, struct qjob *out, struct qjob_rcpt rcpts_out[QJOB_RCPTS]);    /* false: no more, or m->broken */

/* ---- results ---- */
enum qoutcome { QRESULT_SENT, QRESULT_DEFERRED, QRESULT_FAILED };
struct qresult {
	uint64_t token;
	uint32_t index;
	enum qoutcome outcome;
	bool dsn_passed_on;                                           /* the next server took over NOTIFY: RFC 3461 section 5.2.2 */
	struct slice dsn;                                             /* "5.1.1" */
	struct slice mta;                                             /* "mx.example.net[192.0.2.1]:25"; empty for our own mailboxes */
	struct slice text;                                            /* what it said, or what went wrong */
};
void qmsg_put_result(struct qbatch *b, const struct qresult *r);
bool qmsg_get_result(struct msg *m, struct qresult *out);

#endif
