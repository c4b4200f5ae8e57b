/*
 * client/mail_out.h - one job of the queue on its way out: the message and what became of each recipient.
 */
#ifndef CLIENT_MAIL_OUT_H
#define CLIENT_MAIL_OUT_H

#include "base/list.h"
#include "client/dialogue.h"
#include "queue/logline.h"
#include "queue/spool.h"

struct outward;                                                       /* the process: dest.h */

struct mail_out {
	struct list_node node;
	struct arena *arena;                                          /* m itself lies in it */
	struct qjob job;
	struct qjob_rcpt *job_rcpts;
	struct dialogue_mail mail;
	struct spool_message message;
	struct slice octets;                                          /* as sent, before dot-stuffing */
	struct attempt_times times;
	size_t from;                                                  /* the first candidate of its destination that may be asked: those before could not take it */
	unsigned n_heard;                                             /* servers that heard of it in this attempt */
	struct slice heard_by;                                        /* the last of them */
};

/* Reads the message; false: it cannot or may not be sent, and is finished. */
bool mail_out_prepare(struct outward *o, struct mail_out *m) WARN_UNUSED;
void mail_out_finish(struct outward *o, struct mail_out *m, struct slice relay);        /* logs, tells the queue, frees; no relay: nobody was asked */
void mail_out_fail(struct outward *o, struct mail_out *m, enum qoutcome outcome, const char *dsn, const char *text);    /* no server said that: we did */
/* Finishes the recipients that are not deferred; m goes on with the others, who keep the words until they hear new ones. false: there are none, m is as it was. */
bool mail_out_keep_deferred(struct outward *o, struct mail_out *m, struct slice relay) WARN_UNUSED;
void mail_out_free(struct mail_out *m);

#endif
