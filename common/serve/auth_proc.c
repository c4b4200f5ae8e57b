/*
 * serve/auth_proc.c - the processes `auth` and `pam` of smtpd, pop3d and imapd: auth/auth_server.h and auth/auth_pam.h between supervisor and dracd.
 *
 * auth runs as posthouse, sandboxed. Where sessions follow a login (pop3d, imapd) it vouches for them to the spawner, which believes no front.
 * May open: users.db, dracd's socket. Trusts: fronts as to who the peer is. Sees passwords, keeps none.
 * pam runs as root where the supervisor is root (pam_unix reads /etc/shadow), exists only with passdb = ... pam, and hears of no more than user,
 * password and address. It parses nothing of the network.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_ledger.h"
#include "auth/auth_pam.h"
#include "auth/auth_server.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "drac/drac.h"
#include "drac/drac_msg.h"
#include "serve/regrant.h"
#include "serve/sandbox.h"
#include "serve/super.h"
#include "serve/vouch.h"

#define GRANT_MS 300                                                      /* a login waits no longer for dracd */
#define RETIRE_STEP_MS 50

struct auth_proc {
	struct proc *p;
	struct loop *loop;
	const struct settings *s;
	struct auth_server *server;
	struct drac_client *drac;
	struct regrant *late;                                         /* grants that dracd did not take in time */
	struct vouch *vouch;
	struct auth_ledger *ledger;
	struct loop_timer retire;
};

static void on_granted(void *ctx, const struct drac_grant *g)
{
	void *ap;
	const struct auth_login_fact *f = auth_server_fact(ctx, &ap);

	if (g->verdict == DRAC_UNREACHABLE) {
		log_warn("drac: no grant, the login goes on without: %s; it is tried again for a minute", g->text);
		regrant_add(((struct auth_proc *)ap)->late, f);
	} else if (g->verdict == DRAC_REFUSED)
		log_info("drac: no grant: %s", g->text);
	auth_server_granted(ctx);
}

static void on_grant(void *ctx, struct auth_ticket *t, const struct auth_login_fact *f)
{
	struct auth_proc *ap = ctx;
	char service[DRAC_SERVICE_MAX + 1];
	struct slice name = slice_head(f->service, sizeof(service) - 2);

	memcpy(service, name.p, name.n);
	service[name.n] = '\0';
	drac_send_grant(ap->drac, &f->addr, f->user, service, ap->s->myhostname, f->session, f->tls ? DRAC_WHO_TLS : 0, GRANT_MS, on_granted, t);
}

static int on_vouch(void *ctx, const struct auth_login_fact *f, uint8_t ticket_out[AUTH_TICKET_SIZE], uint32_t *generation_out)
{
	struct auth_proc *ap = ctx;

	if (!slice_eqs(f->service, "pop3") && !slice_eqs(f->service, "imap"))
		return 0;
	*generation_out = proc_generation(ap->p);
	return vouch_for(ap->vouch, f->user, &f->addr, ticket_out) < 0 ? -1 : 1;
}

static void on_forget(void *ctx, struct auth_ticket *t)
{
	drac_forget(((struct auth_proc *)ctx)->drac, t);
}

static uint32_t on_failed(void *ctx, const struct auth_login_fact *f, int64_t wall_us)
{
	struct auth_proc *ap = ctx;

	return auth_ledger_failed(ap->ledger, &f->addr, f->user, wall_us / 1000000, ap->s->auth_failure_delay * 1000);
}

static void on_succeeded(void *ctx, const struct auth_login_fact *f, int64_t wall_us)
{
	auth_ledger_succeeded(((struct auth_proc *)ctx)->ledger, &f->addr, f->user, wall_us / 1000000);
}

static bool on_may_try(void *ctx, const struct auth_login_fact *f, int64_t wall_us)
{
	return auth_ledger_may_try(((struct auth_proc *)ctx)->ledger, &f->addr, f->user, wall_us / 1000000);
}

/* In runtime_directory: the count is of this boot. */
static void open_ledger(struct auth_proc *ap)
{
	struct err e = ERR_INIT;
	char path[4096];

	snprintf(path, sizeof(path), "%s/auth.failures", ap->s->runtime_directory);
	ap->ledger = auth_ledger_open(path, &e);
	if (e.kind != ERR_NONE)
		log_warn("failed logins are counted in each auth process alone: %s", e.text);
}

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct auth_proc *ap = ctx;

	(void)index;
	if (strcmp(role, "pam") == 0)
		auth_server_pam(ap->server, fd);
	else if (strcmp(role, "spawner") == 0)
		vouch_link(ap->vouch, fd);
	else
		auth_server_front(ap->server, fd);
}

static void retire_step(void *ctx)
{
	struct auth_proc *ap = ctx;

	if (auth_server_busy(ap->server) == 0)
		loop_stop(ap->loop);
	else
		loop_timer_start(ap->loop, &ap->retire, RETIRE_STEP_MS, retire_step, ap);
}

static void on_retire(void *ctx)
{
	struct auth_proc *ap = ctx;

	loop_timer_start(ap->loop, &ap->retire, RETIRE_STEP_MS, retire_step, ap);
}

/* The directory of users.db, since the file is replaced by rename. */
static void confine_auth(const struct settings *s)
{
	char *dir = mem_str(s->users_db);
	char *slash = strrchr(dir, '/');
	struct err e = ERR_INIT;

	if (slash != NULL)
		*slash = '\0';
	const char *const reads[] = { dir[0] ? dir : "/", "/dev/urandom", "/dev/random", NULL }, *const writes[] = { NULL };
	const struct sandbox sb = { .needs = SANDBOX_UNIX, .read_paths = reads, .write_paths = writes };

	if (sandbox_enter(&sb, &e) != 0)
		log_fatal("auth can't confine itself: %s", e.text);
	free(dir);
}

void auth_proc_run(struct proc *p)
{
	static const struct proc_events events = { on_link, on_retire };
	static const struct auth_server_hooks with_drac = { on_grant, on_vouch, on_forget, on_failed, on_succeeded, on_may_try },
		without = { NULL, on_vouch, NULL, on_failed, on_succeeded, on_may_try };
	struct auth_proc ap = { .p = p, .loop = proc_loop(p), .s = proc_settings(p) };
	struct err e = ERR_INIT;

	open_ledger(&ap);
	ap.vouch = vouch_new(ap.loop);
	ap.drac = drac_client_new(ap.loop, ap.s->drac_socket);
	ap.late = regrant_new(ap.loop, ap.drac, ap.s->myhostname);
	if (auth_server_new(&ap.server, ap.loop, ap.s, ap.s->drac ? &with_drac : &without, &ap, &e) != 0)
		log_fatal("auth: %s", e.text);
	confine_auth(ap.s);
	proc_start(p, &events, &ap);
	proc_ready(p);
	loop_run(ap.loop);
	auth_server_free(&ap.server);
	vouch_free(&ap.vouch);
	regrant_free(&ap.late);
	drac_client_free(&ap.drac);
	auth_ledger_close(&ap.ledger);
}

/*
 * PAM
 */

struct pam_proc {
	struct loop *loop;
	struct auth_pam *pam;
	struct loop_timer retire;
};

unsigned auth_pam_count(const struct settings *s)
{
	struct slice rest = slice_of(s->passdb), w;

	while (conf_word(&rest, &w))
		if (slice_eqs(w, "pam"))
			return 1;
	return 0;
}

static void on_pam_link(void *ctx, const char *role, unsigned index, int fd)
{
	(void)role;
	(void)index;
	auth_pam_link(((struct pam_proc *)ctx)->pam, fd);
}

static void pam_retire_step(void *ctx)
{
	struct pam_proc *pp = ctx;

	if (auth_pam_busy(pp->pam) == 0)
		loop_stop(pp->loop);
	else
		loop_timer_start(pp->loop, &pp->retire, RETIRE_STEP_MS, pam_retire_step, pp);
}

static void on_pam_retire(void *ctx)
{
	pam_retire_step(ctx);
}

void auth_pam_run(struct proc *p)
{
	static const struct proc_events events = { on_pam_link, on_pam_retire };
	static const struct sandbox sb = { .needs = SANDBOX_UNIX | SANDBOX_NET_OUT | SANDBOX_FORK | SANDBOX_EXEC | SANDBOX_THREADS };
	const struct settings *s = proc_settings(p);
	struct pam_proc pp = { .loop = proc_loop(p) };
	struct err e = ERR_INIT;

	pp.pam = auth_pam_new(pp.loop, s->pam_service, (int64_t)s->pam_timeout * 1000);
	if (sandbox_enter(&sb, &e) != 0)
		log_fatal("pam can't confine itself: %s", e.text);
	proc_start(p, &events, &pp);
	proc_ready(p);
	loop_run(pp.loop);
	auth_pam_free(&pp.pam);
}
