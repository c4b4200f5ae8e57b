/*
 * dracd/proc_portmap.c - the process `portmap`: tells rpcbind where versions 1 and 2 are, looks each 20 seconds (more often at first) whether it still
 * knows (it forgets everything when it is restarted), and takes it back at the end. libtirpc blocks while it asks, so nobody waits for this process.
 *
 * Each time it also asks rpcbind to pass on a call to dracd's NULL procedure (PMAPPROC_CALLIT). An rpcbind that does so makes every host of the
 * network look like 127.0.0.1 to dracd: that is told as an alert, and versions 1 and 2 are not registered with it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "drac/drac_msg.h"
#include "dracd/dracd.h"
#include "serve/sandbox.h"

#define LOOK_FIRST_MS 1000                                                /* doubles: after a reload the old process takes back what the new one told */
#define LOOK_MS 20000
#define CALLIT_XID 0x64726163u

struct portmap {
	struct loop *loop;
	struct proc *p;
	struct loop_timer again;
	struct loop_fd callit;                                        /* where an rpcbind that passes calls on would answer */
	int64_t pause_ms;
	bool is_known, told_absent;
};

static const struct { rpcvers_t version; } versions[] = { { 1 }, { 2 } };

static const char *netid_of(int kind, const struct net_addr *a)
{
	if (kind == DRACD_ON_UDP)
		return a->len == 4 ? "udp" : "udp6";
	return a->len == 4 ? "tcp" : "tcp6";
}

static bool set_one(const char *netid, rpcvers_t version, const struct net_addr *a)
{
	struct netconfig *nc = getnetconfigent(netid);
	struct sockaddr_storage ss;
	struct netbuf nb = { .buf = &ss };
	bool ok;

	if (nc == NULL)
		return false;
	nb.len = (unsigned)net_addr_to_sockaddr(a, &ss);
	nb.maxlen = sizeof(ss);
	ok = rpcb_set(DRAC_PROGRAM, version, nc, &nb) != 0;
	freenetconfigent(nc);
	return ok;
}

/* Does rpcbind still have what we told it? One question is enough: it forgets everything or nothing. */
static bool is_registered(const char *netid, const struct net_addr *a)
{
	struct netconfig *nc = getnetconfigent(netid);
	struct sockaddr_storage ss;
	struct netbuf nb = { .buf = &ss, .maxlen = sizeof(ss) };
	struct net_addr got;
	bool ok = nc != NULL && rpcb_getaddr(DRAC_PROGRAM, 1, nc, &nb, a->len == 4 ? "127.0.0.1" : "::1") != 0;

	if (ok)
		net_addr_from_sockaddr((const struct sockaddr *)&ss, &got);
	if (nc != NULL)
		freenetconfigent(nc);
	return ok && got.port == a->port;
}

static void unset_all(void)
{
	for (size_t v = 0; v < sizeof(versions) / sizeof(versions[0]); v++)
		rpcb_unset(DRAC_PROGRAM, versions[v].version, NULL);
}

static unsigned for_each_socket(struct portmap *pm, bool (*fn)(const char *netid, const struct net_addr *a))
{
	const struct proc_socket *socks;
	size_t n = proc_sockets(pm->p, &socks);
	struct net_addr a;
	unsigned done = 0;

	for (size_t i = 0; i < n; i++) {
		if (socks[i].kind != DRACD_ON_UDP && socks[i].kind != DRACD_ON_TCP)
			continue;
		if (net_local_addr(socks[i].fd, &a) == 0)
			done += fn(netid_of(socks[i].kind, &a), &a);
	}
	return done;
}

static bool register_one(const char *netid, const struct net_addr *a)
{
	bool ok = true;

	for (size_t v = 0; v < sizeof(versions) / sizeof(versions[0]); v++)
		ok = set_one(netid, versions[v].version, a) && ok;
	return ok;
}

/* Is anybody at rpcbind's door at all? Asked first, as libtirpc takes long to give up. */
static bool rpcbind_is_there(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PMAPPORT), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* PMAPPROC_CALLIT (RFC 1833 3.2) of dracd's NULL procedure, by UDP to 127.0.0.1. Nobody waits: an answer comes to on_forwarded(), or none. */
static void ask_to_forward(struct portmap *pm)
{
	static const uint32_t words[] = { CALLIT_XID, 0, 2, PMAPPROG, PMAPVERS, PMAPPROC_CALLIT, 0, 0, 0, 0, DRAC_PROGRAM, 1, 0, 0 };
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PMAPPORT), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct buf b;

	buf_init(&b, 256);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_put_u32(&b, words[i]);
	if (sendto(pm->callit.fd, b.p, b.len, 0, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) < 0)
		log_warn("drac: rpcbind can't be asked whether it passes calls on: %s", strerror(errno));
	buf_done(&b);
}

static void on_forwarded(void *ctx, unsigned events)
{
	struct portmap *pm = ctx;
	char reply[512];
	uint32_t xid = 0;
	struct slice result;
	ssize_t n = recv(pm->callit.fd, reply, sizeof(reply), MSG_DONTWAIT);

	(void)events;
	if (n <= 0 || drac_reply_read(slice_mem(reply, (size_t)n), &xid, &result) != 0 || xid != CALLIT_XID || !pm->is_known)
		return;
	unset_all();
	pm->is_known = false;
	loop_timer_stop(pm->loop, &pm->again);
	log_error("drac: rpcbind passes calls on (option -r), so any host would look like 127.0.0.1 to dracd: not registered. "
	    "Start rpcbind without -r, then reload dracd; or set drac_rpcbind = no");
}

static void tell_absent(struct portmap *pm)
{
	if (!pm->told_absent)
		log_info("drac: no rpcbind here: clients that ask it for dracd's port find nothing, our own daemons need none");
	pm->told_absent = true;
	pm->is_known = false;
}

static void look(void *ctx)
{
	struct portmap *pm = ctx;

	pm->pause_ms = pm->pause_ms == 0 ? LOOK_FIRST_MS : pm->pause_ms * 2 < LOOK_MS ? pm->pause_ms * 2 : LOOK_MS;
	loop_timer_start(pm->loop, &pm->again, pm->pause_ms, look, pm);
	if (!rpcbind_is_there()) {
		tell_absent(pm);
		return;
	}
	if (pm->is_known && for_each_socket(pm, is_registered) > 0) {
		ask_to_forward(pm);                                       /* it may have been started anew meanwhile, with -w and -r */
		return;
	}
	unset_all();                                                      /* of a process that was killed */
	pm->is_known = for_each_socket(pm, register_one) > 0;
	pm->told_absent = false;
	if (!pm->is_known) {
		log_warn("drac: rpcbind takes no registration (does another user hold program %u?)", DRAC_PROGRAM);
		return;
	}
	ask_to_forward(pm);
	log_info("drac: registered with rpcbind");
}

static void on_retire(void *ctx)
{
	loop_stop(((struct portmap *)ctx)->loop);
}

void dracd_portmap_run(struct proc *p)
{
	static const struct proc_events events = { .on_link = NULL, .on_retire = on_retire };
	static const char *const reads[] = { "/etc", "/run", "/var/run", NULL }, *const writes[] = { NULL };
	static const struct sandbox sb = { .needs = SANDBOX_UNIX | SANDBOX_NET_OUT, .read_paths = reads, .write_paths = writes };
	struct portmap pm = { .loop = proc_loop(p), .p = p };
	struct err e = ERR_INIT;

	if (sandbox_enter(&sb, &e) != 0)
		log_fatal("portmap can't confine itself: %s", e.text);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		log_fatal("portmap has no socket: %s", strerror(errno));
	loop_fd_add(pm.loop, &pm.callit, fd, LOOP_READ, on_forwarded, &pm);
	proc_start(p, &events, &pm);
	proc_ready(p);
	loop_timer_start(pm.loop, &pm.again, 0, look, &pm);
	loop_run(pm.loop);
	if (pm.is_known)
		unset_all();
	loop_fd_del(pm.loop, &pm.callit);
	close(fd);
}
