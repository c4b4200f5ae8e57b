/*
 * dracd/procs.c - the processes of dracd and the sockets they listen on.
 *
 *	dracd (one)    the table, its journal, every door; sandboxed
 *	portmap (0, 1) tells rpcbind the ports, since libtirpc's calls to it block
 */
#include "dracd/dracd.h"

#include "dracd/core.h"

static unsigned one(const struct settings *s)
{
	(void)s;
	return 1;
}

static unsigned portmaps(const struct settings *s)
{
	return s->drac_rpcbind && (s->listen_drac_udp[0] != '\0' || s->listen_drac_tcp[0] != '\0') ? 1 : 0;
}

static const struct proc_row rows[] = {
	{ .role = "dracd",   .log_name = "dracd", .count = one,      .listens = true, .talks_to = "", .run = dracd_run },
	{ .role = "portmap", .log_name = "dracd", .count = portmaps, .listens = true, .talks_to = "", .run = dracd_portmap_run },
};

static const char *udp_addrs(const struct settings *s) { return s->listen_drac_udp; }
static const char *tcp_addrs(const struct settings *s) { return s->listen_drac_tcp; }
static const char *tls_addrs(const struct settings *s) { return s->listen_drac_tls; }
static const char *local_path(const struct settings *s) { return s->drac_socket; }

static const struct super_listener listeners[] = {
	{ "drac-udp", DRACD_ON_UDP | SUPER_DGRAM, udp_addrs },
	{ "drac-tcp", DRACD_ON_TCP,               tcp_addrs },
	{ "drac-tls", DRACD_ON_TLS,               tls_addrs },
	{ "drac",     DRACD_ON_LOCAL,             local_path },
};

const struct daemon_table dracd_table = {
	.name = "dracd",
	.listeners = listeners,
	.n_listeners = sizeof(listeners) / sizeof(listeners[0]),
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.check = core_check,
};
