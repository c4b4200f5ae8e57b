/*
 * serve/mailspool.h - spool mboxes (mail_spool_directory) are drained into their owners' mailboxes before a login goes on: the spawner's side.
 *
 * A login of a user whose spool file has something in it is held while a process moves the messages over: one that holds the locks, and a child of it that reads
 * the messages, confined to the user's mailbox as a session process is. A login waits MAILSPOOL_WAIT_MS at most; then it goes on, and so does the moving.
 * After a failure the user's logins don't try again for MAILSPOOL_PAUSE_MS.
 */
#ifndef SERVE_MAILSPOOL_H
#define SERVE_MAILSPOOL_H

#include <sys/types.h>

#include "conf/settings.h"
#include "io/loop.h"
#include "serve/sandbox.h"
#include "serve/session_msg.h"

enum { MAILSPOOL_WAIT_MS = 10000, MAILSPOOL_LOCK_MS = 5000, MAILSPOOL_PAUSE_MS = 60000 };

struct mailspools;
typedef void mailspool_pass_fn(void *ctx, void *front, struct session_card *card, int fd);

/* NULL where the setting is off. calls: of a session process (SESSION_NEEDS); borrowed. */
struct mailspools *mailspools_new(struct loop *l, const struct settings *s, const struct sandbox_calls *calls, mailspool_pass_fn *pass, void *ctx);
void mailspools_free(struct mailspools **m);                          /* closes what is held */
/* True: the card and fd are kept, and pass gets them later. m may be NULL here and below. */
bool mailspools_hold(struct mailspools *m, void *front, const struct session_card *card, int fd);
void mailspools_forget(struct mailspools *m, const void *front);      /* that front is gone */
bool mailspools_reaped(struct mailspools *m, pid_t pid, int status);  /* true: that was one of ours */

#endif
