/*
 * smtpd/procs.c - the processes of smtpd and the ports they listen on.
 *
 *	front (one a core)  the dialogue and all policy; sandboxed; asks auth, appends to the journal, tells queue
 *	auth                passwords; asks dracd
 *	queue (one)         where each message goes, when, and what becomes of it
 *	deliver             into mailboxes
 *	room (one)          tells the fronts whose mailbox is full
 *	client (one)        to other servers
 */
#include "smtpd/smtpd.h"

#include "auth/auth.h"
#include "client/client.h"
#include "deliver/deliver.h"
#include "deliver/room.h"
#include "drac/closed.h"
#include "queue/queue.h"
#include "serve/accounts.h"
#include "serve/crowd.h"
#include "server/front.h"
#include "server/listener.h"
#include "server/policy.h"

static unsigned one(const struct settings *s)
{
	(void)s;
	return 1;
}

static unsigned auths(const struct settings *s)
{
	return s->auth_processes > 0 ? s->auth_processes : 1;
}

static unsigned delivers(const struct settings *s)
{
	return s->deliver_processes > 0 ? s->deliver_processes : 1;
}

static const struct proc_row rows[] = {
	{ .role = "front",   .log_name = "smtpd",   .count = smtpd_front_count, .listens = true, .talks_to = "auth queue room", .run = smtpd_front_run },
	{ .role = "auth",    .log_name = "auth",    .count = auths,             .talks_to = "pam",            .run = auth_proc_run },
	{ .role = "pam",     .log_name = "pam",     .count = auth_pam_count, .user = PROC_AS_ROOT,            .run = auth_pam_run },
	{ .role = "queue",   .log_name = "queue",   .count = one,               .talks_to = "deliver client", .run = smtpd_queue_run },
	{ .role = "deliver", .log_name = "deliver", .count = delivers,          .talks_to = "",               .run = smtpd_deliver_run },
	{ .role = "room",    .log_name = "room",    .count = one,               .talks_to = "",               .run = smtpd_room_run },
	{ .role = "client",  .log_name = "client",  .count = one,               .talks_to = "",               .run = smtpd_client_run },
};

static const char *smtp_addrs(const struct settings *s) { return s->listen_smtp; }
static const char *submission_addrs(const struct settings *s) { return s->listen_submission; }
static const char *submissions_addrs(const struct settings *s) { return s->listen_submissions; }
static const char *lmtp_addrs(const struct settings *s) { return s->listen_lmtp; }

static const struct super_listener listeners[] = {
	{ "smtp",        SMTP_ON_25,   smtp_addrs },
	{ "submission",  SMTP_ON_587,  submission_addrs },
	{ "submissions", SMTP_ON_465,  submissions_addrs },
	{ "lmtp",        SMTP_ON_LMTP, lmtp_addrs },
};

/* Before start and before each reload: settings and maps that would relay for strangers are refused, and the old ones stay. */
static int check(const struct settings *s, struct err *e)
{
	struct policy *p;
	int r;

	if (policy_new(&p, s, e) != 0)
		return -1;
	r = policy_is_closed(p, e) == 0 ? drac_is_closed(s, e) : -1;
	policy_free(&p);
	return r == 0 ? accounts_mend(s, e) : r;
}

const struct daemon_table smtpd_table = {
	.name = "smtpd",
	.check = check,
	.listeners = listeners,
	.n_listeners = sizeof(listeners) / sizeof(listeners[0]),
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.shared_octets = CROWD_OCTETS,
};
