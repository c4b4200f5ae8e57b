/*
 * queue/control.h - the queue's control socket, runtime_directory/queue.sock: posthouse queue, mailq, sendmail.
 *
 * SOCK_SEQPACKET; one request, one answer (a list: many, the last one empty). Who asks is known by SO_PEERCRED: root, mail_owner and whoever runs the
 * queue may do everything; anyone else may submit mail.
 */
#ifndef QUEUE_CONTROL_H
#define QUEUE_CONTROL_H

#include "conf/settings.h"
#include "io/chan.h"
#include "queue/envelope.h"

enum control_verb { CONTROL_LIST = 1, CONTROL_SHOW, CONTROL_RETRY, CONTROL_HOLD, CONTROL_RELEASE, CONTROL_REMOVE, CONTROL_FLUSH, CONTROL_SUBMIT };
enum control_status { CONTROL_OK = 100, CONTROL_NO, CONTROL_DENIED, CONTROL_LATER };

/* ---- the queue's side ---- */
struct queue;
struct control;
int control_new(struct control **c_out, struct queue *q, struct err *e) WARN_UNUSED;
void control_free(struct control **c);

/* ---- the command's side ---- */
/* A request about one id ("" for all that a verb can mean). text_out gets words to print; each envelope of a LIST or SHOW goes to fn. */
typedef void control_envelope_fn(void *ctx, struct slice envelope_text, bool active);
int control_ask(const struct settings *s, enum control_verb verb, const char *id, control_envelope_fn *fn, void *ctx, struct buf *text_out,
    enum control_status *status_out, struct err *e) WARN_UNUSED;
/* message_fd: a file with the message, CRLF lines. On CONTROL_OK text_out is the queue id. */
int control_submit(const struct settings *s, const struct envelope *env, int message_fd, struct buf *text_out, enum control_status *status_out,
    struct err *e) WARN_UNUSED;

#endif
