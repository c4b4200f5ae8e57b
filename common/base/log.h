/*
 * base/log.h - one line an event, in the shape that pflogsumm, logwatch and fail2ban read.
 *
 * The sink is one of the two file-scope variables of the tree. Lines go to syslog (facility mail), to journald's native socket (a line
 * "QUEUEID: ..." with the field POSTHOUSE_ID too), or to a file descriptor. Control octets and non-UTF-8 octets in any argument are escaped
 * as \xHH, so a peer can't forge a line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

/* where: "syslog", "journal", "stderr", or a path, which is appended to (kept open; safe among processes by O_APPEND). */
int log_open(const char *where, enum log_level level, struct err *e);
int log_open_socket(const char *path, bool journal, struct err *e);   /* the same with a socket elsewhere; level as it was */
void log_name(const char *process);                                   /* "posthouse/smtpd": printed as posthouse/smtpd[pid] */
const char *log_process_name(void);
void log_close(void);
int log_fd(void);                                                     /* of the sink: for a child that closes what it inherited but goes on logging */
void log_reopen(void);                                                /* SIGHUP, logrotate: paths only */

/* On: lines of information may wait for log_flush(), so that a file gets many at once; errors and warnings never wait. Off writes them. Returns how it
   was. The loop holds them while it runs and writes them before anything leaves the process (io/loop.c). */
bool log_hold(bool on);
void log_flush(void);

void log_escape(struct slice s, struct buf *out);                     /* what every line goes through */

void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);               /* someone must act */
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);                /* odd, but we go on */
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);                /* the story of mail and logins */
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

const char *log_last_error(void);                                     /* text of the last log_error or log_fatal of this process, "" for none */
NORETURN void log_fatal(const char *fmt, ...) PRINTF_LIKE(1, 2);      /* log_error, then exit(1) */

#endif
