/* imapd/procs.c - the processes of imapd and the ports they listen on. */
#include "auth/auth.h"
#include "imapd/imapd.h"
#include "serve/crowd.h"

static void front(struct proc *p)
{
	login_front_run(p, &imap_login);
}

static void spawner(struct proc *p)
{
	session_spawner_run(p, &imap_session);
}

static const char *imap_addrs(const struct settings *s)
{
	return s->listen_imap;
}

static const char *imaps_addrs(const struct settings *s)
{
	return s->listen_imaps;
}

static const struct proc_row rows[] = { LOGIN_PROC_ROWS("imapd", front, spawner) };

static const struct super_listener listeners[] = {
	{ "imap",  LOGIN_PORT_STARTTLS, imap_addrs },
	{ "imaps", LOGIN_PORT_TLS,      imaps_addrs },
};

const struct daemon_table imapd_table = {
	.name = "imapd",
	.listeners = listeners,
	.n_listeners = sizeof(listeners) / sizeof(listeners[0]),
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.shared_octets = CROWD_OCTETS,
};
