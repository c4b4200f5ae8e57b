/* pop3d/procs.c - the processes of pop3d and the ports they listen on. */
#include "auth/auth.h"
#include "pop3d/pop3d.h"
#include "serve/crowd.h"

static void front(struct proc *p)
{
	login_front_run(p, &pop3_login);
}

static void spawner(struct proc *p)
{
	session_spawner_run(p, &pop3_session);
}

static const char *pop3_addrs(const struct settings *s)
{
	return s->listen_pop3;
}

static const char *pop3s_addrs(const struct settings *s)
{
	return s->listen_pop3s;
}

static const struct proc_row rows[] = { LOGIN_PROC_ROWS("pop3d", front, spawner) };

static const struct super_listener listeners[] = {
	{ "pop3",  LOGIN_PORT_STARTTLS, pop3_addrs },
	{ "pop3s", LOGIN_PORT_TLS,      pop3s_addrs },
};

const struct daemon_table pop3d_table = {
	.name = "pop3d",
	.listeners = listeners,
	.n_listeners = sizeof(listeners) / sizeof(listeners[0]),
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.shared_octets = CROWD_OCTETS,
	.check = pop3_uidl_check,
};
