/*
 * dracd/proc_portmap.c - the process `portmap`: tells rpcbind where versions 1 and 2 are, looks each 20 seconds whether it still knows (it forgets
 * everything when it is restarted), and takes it back at the end. libtirpc blocks while it asks, so nobody waits for this process.
 *
 * At the start it also asks rpcbind to pass on a call to dracd's NULL procedure (PMAPPROC_CALLIT). An rpcbind that does so makes every host of the
 * network look like 127.0.0.1 to dracd (drac.md fact 7): that is told as an alert, and versions 1 and 2 are not registered with it.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
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

#define LOOK_MS 20000
#define CALLIT_MS 1500

struct portmap {
	struct loop *loop;
	struct proc *p;
	struct loop_timer again;
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

/* PMAPPROC_CALLIT (RFC 1833 3.2) by UDP to 127.0.0.1. True: somebody answered for dracd. */
static bool rpcbind_forwards(void)
{
	static const uint32_t words[] = { 0x64726163, 0, 2, PMAPPROG, PMAPVERS, PMAPPROC_CALLIT, 0, 0, 0, 0, DRAC_PROGRAM, 1, 0, 0 };
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PMAPPORT), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char reply[512];
	uint32_t xid = 0;
	struct slice result;
	struct buf b;
	bool yes = false;

	buf_init(&b, 256);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_put_u32(&b, words[i]);
	if (fd >= 0 && sendto(fd, b.p, b.len, 0, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) == (ssize_t)b.len && poll(&pfd, 1, CALLIT_MS) == 1) {
		ssize_t n = recv(fd, reply, sizeof(reply), 0);
		yes = n > 0 && drac_reply_read(slice_mem(reply, (size_t)n), &xid, &result) == 0 && xid == words[0];
	}
	buf_done(&b);
	if (fd >= 0)
		close(fd);
	return yes;
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

	loop_timer_start(pm->loop, &pm->again, LOOK_MS, look, pm);
	if (!rpcbind_is_there()) {
		tell_absent(pm);
		return;
	}
	if (pm->is_known && for_each_socket(pm, is_registered) > 0)
		return;
	unset_all();                                                      /* of a process that was killed */
	pm->is_known = for_each_socket(pm, register_one) > 0;
	pm->told_absent = false;
	if (!pm->is_known) {
		log_warn("drac: rpcbind takes no registration (does another user hold program %u?)", DRAC_PROGRAM);
		return;
	}
	if (rpcbind_forwards()) {
		log_error("drac: rpcbind passes calls on (option -r), so any host would look like 127.0.0.1 to dracd: not registered. Start rpcbind without -r, or set drac_rpcbind = no");
		unset_all();
		loop_timer_stop(pm->loop, &pm->again);
		return;
	}
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
	proc_start(p, &events, &pm);
	proc_ready(p);
	loop_timer_start(pm.loop, &pm.again, 0, look, &pm);
	loop_run(pm.loop);
	if (pm.is_known)
		unset_all();
}
