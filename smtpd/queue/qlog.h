/*
 * queue/qlog.h - spool/queue.log: what became of each message, a line an event, so that a restart does nothing twice that it need not.
 *
 *   9f3c21aa boot 1b4e28ba-2fa1-11d2-883f-0016d3cca427
 *   51b0c4d2 rcpt 3J8Q2K5T9B0001X7Z2 remote b@example.net     that recipient is settled: sent, or its bounce is in the journal
 *   77a0f1e3 moved 3J8Q2K5T9B0001X7Z2                          it is in spool/deferred now; the journal's record no longer counts
 *   0c4412bb done 3J8Q2K5T9B0001X7Z2                           every recipient is settled
 *   e01288c1 checkpoint                                        all above is on disk: mailboxes, spool and this file
 *
 * The first word is the CRC-32C of the rest; a line that does not match is skipped. Lines are written at the end of a round of the loop, flushed at a
 * checkpoint. After kill -9 every line counts. After an unclean boot (another boot id) a line counts only if a checkpoint stands behind it, or if it is
 * about a remote recipient: what went to another server went, while what we put into a mailbox may have stayed in memory.
 */
#ifndef QUEUE_QLOG_H
#define QUEUE_QLOG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"
#include "queue/envelope.h"

/* ---- writing ---- */
struct qlog;
/* boot_id: this machine's run, "" where unknown. Appends a boot line. */
int qlog_open(struct qlog **q_out, struct loop *l, const char *spool_directory, const char *boot_id, struct err *e) WARN_UNUSED;
void qlog_close(struct qlog **q);                                     /* writes what waits */
void qlog_rcpt(struct qlog *q, const char *id, bool remote, struct slice address);
void qlog_moved(struct qlog *q, const char *id);
void qlog_done(struct qlog *q, const char *id);
void qlog_checkpoint(struct qlog *q);
int qlog_write(struct qlog *q, struct err *e) WARN_UNUSED;            /* now; otherwise it happens at the end of the round */
int qlog_fd(const struct qlog *q);                                    /* for fdatasync */
uint64_t qlog_size(const struct qlog *q);
bool qlog_is_stuck(const struct qlog *q);                             /* a write failed: its lines are kept in memory, the next qlog_write() tries again */
bool qlog_has_failed(const struct qlog *q);                           /* for good: nothing may be released until the next start */
/*
 * This file may not be flushed or get a checkpoint line any more: a flush of it failed, a write failed for another reason than space, or it is the last
 * run's (a checkpoint behind its lines would make those believed that were not). Lines may still be added; they count after kill -9.
 */
bool qlog_must_renew(const struct qlog *q);
void qlog_spoil(struct qlog *q);                                      /* a flush failed */
/*
 * A fresh file: begin, then put what still matters with the calls above (qlog_checkpoint() behind what is covered), then end: fsync, rename. What waits to
 * be written is dropped by a successful end, so all of it must be put anew. After an error the old file and what waits are as before (but see has_failed).
 */
void qlog_rewrite_begin(struct qlog *q);
int qlog_rewrite_end(struct qlog *q, struct err *e) WARN_UNUSED;

/* ---- reading back ---- */
struct qlog_story;                                                    /* what is known of all ids */
int qlog_read(struct qlog_story **s_out, const char *spool_directory, const char *boot_id, struct err *e) WARN_UNUSED;   /* no file: an empty story */
void qlog_story_free(struct qlog_story **s);
bool qlog_story_is_unclean(const struct qlog_story *s);               /* another run of the machine: whatever was not flushed may be gone */
bool qlog_story_done(const struct qlog_story *s, const char *id);
bool qlog_story_moved(const struct qlog_story *s, const char *id);
bool qlog_story_rcpt(const struct qlog_story *s, const char *id, struct slice address);

/* Pure part of it, for tests and the fuzzer. */
struct qlog_story *qlog_parse(struct slice text, const char *boot_id);

void qlog_boot_id(char out[64]);                                      /* of this run of the machine */

#endif
