/*
 * admin/sendmail.h - the modes of sendmail that have a file of their own. Each returns an exit status of sysexits.h.
 */
#ifndef ADMIN_SENDMAIL_H
#define ADMIN_SENDMAIL_H

#include "conf/settings.h"

/* -bv: where each address leads, a line for each place; nothing is sent. 67 where one leads to no mailbox, 69 refused, 75 not known now. */
int sendmail_verify(const struct settings *s, int n, char **addresses);
/* -bt: addresses from stdin, a line each, followed step by step. */
int sendmail_test(const struct settings *s);
/* -bs: SMTP on stdin and stdout, for mail programs that speak it to sendmail. Who runs it may send anywhere, as with plain sendmail. */
int sendmail_smtp(const struct settings *s);

#endif
