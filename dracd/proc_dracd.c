/*
 * dracd/proc_dracd.c - the process `dracd`: core and doors in one loop, expiry by a timer; what goes to disk is the keeper's and the doors' flusher's.
 *
 * Runs as posthouse. May open: the directory of drac_table. Trusts: the uid of a local caller, the certificate of a TLS one, and of a version 1 or 2
 * caller no more than that its address is in the allow file. Never sees: passwords, mail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dracd/core.h"
#include "dracd/doors.h"
#include "dracd/dracd.h"
#include "dracd/keeper.h"
#include "dracd/peer_conf.h"
#include "dracd/peers.h"
#include "dracd/publish.h"
#include "io/tls.h"
#include "serve/sandbox.h"

struct dracd {
	struct loop *loop;
	const struct settings *s;
	struct core *core;
	struct doors *doors;
	struct peers *peers;
	struct tls_ctx *tls;
	unsigned keys;
	int lock_fd;
	struct loop_timer expiry;
	struct keeper *keeper;
};

static void on_expiry(void *ctx)
{
	struct dracd *d = ctx;

	core_expire(d->core, doors_now(d->loop));
	doors_news(d->doors);
}

/* Looks again each minute at the latest, for wall clocks that are set. */
static void arm_expiry(struct dracd *d)
{
	int64_t s = table_next_s(core_table(d->core), doors_now(d->loop));

	if (s < 0 || s > 60)
		s = 60;
	loop_timer_start(d->loop, &d->expiry, s * 1000, on_expiry, d);
}

static void on_change(void *ctx)
{
	struct dracd *d = ctx;

	arm_expiry(d);
	keeper_changed(d->keeper);
}

/*
 * Start and end
 */

static void on_news(void *ctx)
{
	doors_news(((struct dracd *)ctx)->doors);
}

/* After a reload the old process may still write: it holds this lock until it has ended. */
static void take_lock(struct dracd *d)
{
	char *path = NULL;

	if (asprintf(&path, "%s.lock", d->s->drac_table) < 0)
		abort();
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock_fd < 0 || (flock(d->lock_fd, LOCK_EX) != 0 && errno != EINTR))
		log_fatal("drac: %s: %s", path, strerror(errno));
	free(path);
}

static char *directory_of(const char *path)
{
	char *dir = mem_str(path);
	char *slash = strrchr(dir, '/');

	if (slash != NULL)
		*slash = '\0';
	return dir;
}

/* Only who pulls from other hosts may connect anywhere, and only who knows them by name reads what the resolver needs. */
static void confine(const struct dracd *d, const char *dir)
{
	const char *const reads[] = { d->s->resolv_conf, "/etc/hosts", NULL }, *const none[] = { NULL }, *const writes[] = { dir, NULL };
	struct sandbox sb = { .needs = SANDBOX_UNIX | SANDBOX_FORK | SANDBOX_THREADS, .read_paths = none, .write_paths = writes };
	struct err e = ERR_INIT;

	if (d->peers != NULL)
		sb.needs |= SANDBOX_NET_OUT;
	if (peers_need_names(d->peers))
		sb.read_paths = reads;
	if (sandbox_enter(&sb, &e) != 0)
		log_fatal("dracd can't confine itself: %s", e.text);
}

static void open_core(struct dracd *d)
{
	struct err e = ERR_INIT;
	size_t lost = 0;

	if (publish_keys_parse(d->s->drac_ipv6_keys, &d->keys, &e) != 0 || core_new(&d->core, d->s, doors_now(d->loop), &lost, &e) != 0)
		log_fatal("%s", e.text);
	if (lost != 0)
		log_warn("drac: the last %zu octets of the journal were not understood and are left out (a crash in the middle of a write?)", lost);
	if (d->s->listen_drac_tls[0] == '\0')
		return;
	if (peer_tls(d->s, false, &d->tls, &e) != 0)
		log_fatal("%s", e.text);
}

static void on_peer_news(void *ctx)
{
	doors_news(((struct dracd *)ctx)->doors);
}

static void open_peers(struct dracd *d)
{
	const struct peers_hooks hooks = { on_peer_news, d };
	struct err e = ERR_INIT;

	if (peers_new(&d->peers, d->loop, d->s, d->core, &hooks, &e) != 0)
		log_fatal("%s", e.text);
}

static void open_doors(struct dracd *d, struct proc *p)
{
	const struct proc_socket *socks;
	size_t n = proc_sockets(p, &socks);

	d->doors = doors_new(d->loop, d->core, d->tls);
	doors_on_change(d->doors, on_change, d);
	for (size_t i = 0; i < n; i++) {
		if (socks[i].kind == DRACD_ON_UDP)
			doors_udp(d->doors, socks[i].fd);
		else
			doors_listen(d->doors, socks[i].fd, socks[i].kind == DRACD_ON_TCP ? DOOR_TCP : socks[i].kind == DRACD_ON_LOCAL ? DOOR_LOCAL : DOOR_TLS);
	}
}

static void on_retire(void *ctx)
{
	loop_stop(((struct dracd *)ctx)->loop);
}

static void finish(struct dracd *d)
{
	peers_free(&d->peers);
	doors_free(&d->doors);                                            /* flushes and answers */
	core_expire(d->core, doors_now(d->loop));
	keeper_free(&d->keeper);
	core_free(&d->core);
	tls_ctx_unref(&d->tls);
	file_close(&d->lock_fd);
}

void dracd_run(struct proc *p)
{
	static const struct proc_events events = { .on_link = NULL, .on_retire = on_retire };
	struct dracd d = { .loop = proc_loop(p), .s = proc_settings(p) };
	char *dir = directory_of(d.s->drac_table);
	struct err e = ERR_INIT;

	if (file_mkdirs(dir, 0755, &e) != 0)
		log_fatal("drac_table: %s", e.text);
	take_lock(&d);
	open_core(&d);
	d.keeper = keeper_new(d.loop, d.core, d.s->drac_table, d.keys, on_news, &d);
	open_peers(&d);
	confine(&d, dir);
	free(dir);
	open_doors(&d, p);                                                /* with a thread, so behind the sandbox */
	proc_start(p, &events, &d);
	doors_news(d.doors);                                              /* publishes what the journal brought */
	log_info("drac: %zu addresses from the journal", table_count(core_table(d.core)));
	proc_ready(p);
	peers_start(d.peers);
	loop_run(d.loop);
	finish(&d);
}
