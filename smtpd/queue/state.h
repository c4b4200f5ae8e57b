/*
 * queue/state.h - what the queue process holds in memory: messages, the processes that it talks to, the checkpoint. Only for the files of the process:
 *
 *   proc.c        links, timers, settings; front.c  fronts and their segments
 *   intake.c      accepted records become messages with final recipients
 *   dispatch.c    due recipients go out to deliver and client; results come back
 *   settle.c      what a result means: done, again later, report
 *   checkpoint.c  makes it durable, lets go of segments and files
 *   recover.c     the start
 *   control.c     posthouse queue, sendmail
 */
#ifndef QUEUE_STATE_H
#define QUEUE_STATE_H

#include "base/hash.h"
#include "queue/control.h"
#include "queue/entry.h"
#include "queue/qlog.h"
#include "queue/queue_msg.h"
#include "queue/schedule.h"
#include "queue/segments.h"
#include "queue/spool.h"
#include "route/route.h"
#include "serve/super.h"

struct queue;

enum qreport { REPORT_NONE, REPORT_FAILED, REPORT_DELIVERED, REPORT_RELAYED, REPORT_DELAYED };

struct qrun {                                                         /* beside each recipient */
	struct target *out;                                           /* the process that has it now */
	enum qreport report;                                          /* due to the sender */
	bool noted;                                                   /* a rcpt line is in queue.log */
	struct slice dsn, mta;                                        /* of the last result */
};

struct qmessage {
	struct list_node node_local, node_remote;                     /* in a target's ready list */
	struct list_node node_dirty;
	uint64_t token;
	struct arena *arena;
	struct envelope env;
	struct qrun *run;
	struct seg *seg;                                              /* whose record counts; NULL: spool/deferred counts */
	struct journal_place place;
	bool in_large;                                                /* spool/large/ID.eml exists */
	bool on_disk;                                                 /* in spool/deferred */
	bool expanded, maybe_again, unclean, removed, reporting;       /* unclean: maybe again, and the machine went down */
	unsigned n_out;
	int64_t queued;                                               /* microseconds since 1970 */
	struct loop_timer due;
};

struct target {                                                       /* a deliver or the client process */
	struct queue *queue;
	struct list_node node;
	unsigned index;
	bool remote;
	struct chan *chan;
	struct qbatch batch;
	struct list_node ready;
	size_t n_out;                                                 /* recipients that it has */
};

struct front {
	struct list_node node;
	struct queue *queue;
	struct chan *chan;
	bool wants_segment;
};

struct gone {                                                         /* files of a settled message, removed behind a checkpoint */
	struct list_node node;
	char id[QUEUE_ID_MAX];
	bool large, deferred, covered;
};

struct queue {
	struct proc *proc;
	struct loop *loop;
	const struct settings *settings;
	int lock;
	struct router *router;
	int64_t router_checked_ms;
	struct segs *segs;
	struct qlog *log;
	struct qlog_story *story;                                     /* during recovery */
	struct spool_reader *reader;
	struct entry *entry;                                          /* our own mail: bounces, sendmail */
	struct control *control;

	struct hmap *by_id, *by_token;
	uint64_t last_token;
	struct list_node dirty;                                       /* messages whose .env is behind */
	struct list_node gone;
	struct list_node fronts;
	struct target *deliver;                                       /* deliver_processes of them */
	size_t n_deliver;
	struct target client;
	struct loop_task pump, recover;
	unsigned recover_step;
	bool recovered;

	uint64_t space_keep, space_have;                              /* as told to the fronts; keep 0: enough */
	struct loop_timer every_second, every_checkpoint;
	bool disk_failed;                                             /* nothing is released any more, no segment is given: until a restart */
	bool log_stuck;                                               /* the same until queue.log can be written again, tried each second */

	/* checkpoint.c */
	struct flusher *flusher;
	bool changed, local_changed, spool_changed, again;
	int mail_errno, spool_errno, log_errno;
	struct err checkpoint_err;
	char (*committing)[QUEUE_ID_MAX];
	size_t n_committing;
	bool flush_mail, flush_spool;
	struct seg *freeing[64];
	size_t n_freeing;
};

/* front.c */
void queue_front_link(struct queue *q, int fd);
void queue_front_serve(struct queue *q);                              /* gives segments to those who wait */
void queue_front_tell_space(struct queue *q);
void queue_front_orphans(struct queue *q);                            /* segments open in a process that we have no link to, or in none */

/* intake.c */
void queue_take(struct queue *q, struct seg *seg, const struct journal_place *place, struct slice envelope_text, bool maybe_again);
void queue_scan_segment(struct queue *q, struct seg *seg, bool maybe_again);
struct qmessage *queue_message_new(struct queue *q, struct slice envelope_text, struct err *e);    /* in both tables; NULL: *e */
void queue_message_free(struct queue *q, struct qmessage *m);
void queue_message_go(struct queue *q, struct qmessage *m);           /* (expand and) hand out what is due; set the timer for the rest */

/* dispatch.c */
void queue_target_init(struct queue *q, struct target *t, unsigned index, bool remote);
void queue_target_link(struct target *t, int fd);
void queue_target_done(struct target *t);
void queue_ready(struct queue *q, struct qmessage *m);                /* its due recipients wait for their targets */
void queue_pump(struct queue *q);                                     /* soon */

/* settle.c */
void queue_result(struct queue *q, struct qmessage *m, const struct qresult *r);
void queue_fail_rcpt(struct queue *q, struct qmessage *m, size_t i, const char *dsn, struct slice text);   /* at once, without an attempt */
void queue_round_over(struct queue *q, struct qmessage *m);           /* no recipient is out: report, defer or finish. May free m */
int queue_defer(struct queue *q, struct qmessage *m);                 /* into files; 0 where it is there already */
void queue_dirty(struct queue *q, struct qmessage *m);
void queue_settled(struct queue *q, struct qmessage *m);              /* every recipient is done: finish. Frees m */

/* checkpoint.c */
void queue_checkpoint(struct queue *q);                               /* starts one if there is something to do */
void queue_gone(struct queue *q, const char *id, bool large, bool deferred);
bool queue_rewrite_log(struct queue *q);                              /* false: told by log; log_stuck or disk_failed say what follows */
void queue_log_retry(struct queue *q);                                /* each second: does something only while queue.log could not be written */
void queue_last_checkpoint(struct queue *q);                          /* at an orderly end: waits for the disk, releases nothing */

/* recover.c */
bool queue_must_wait(const struct queue *q, const struct qmessage *m);  /* recovery has to know more before it may go anywhere */
void queue_recover(struct queue *q);

#endif
