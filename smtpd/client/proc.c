/*
 * client/proc.c - the client process. Runs as posthouse; reads the spool, connects anywhere, hears what strange servers say and the queue's jobs; sees no
 * mailbox, no map, no password.
 */
#include "client/client.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/dest.h"
#include "serve/sandbox.h"

/* ---- jobs ---- */

static struct mail_out *mail_out_new(const struct qjob *job, const struct qjob_rcpt *rcpts)
{
	struct arena *a = arena_new(4096);
	struct mail_out *m = arena_alloc(a, sizeof(*m));

	m->arena = a;
	m->job = *job;
	m->job.id = arena_dup(a, job->id);
	m->job.sender = arena_dup(a, job->sender);
	m->job.envid = arena_dup(a, job->envid);
	m->job.next_hop = arena_dup(a, job->next_hop);
	m->job_rcpts = arena_array(a, job->n_rcpts, sizeof(*m->job_rcpts));
	m->mail = (struct dialogue_mail){ &m->job, arena_array(a, job->n_rcpts, sizeof(*m->mail.rcpts)), job->n_rcpts, false, false };
	for (uint32_t i = 0; i < job->n_rcpts; i++) {
		m->job_rcpts[i] = rcpts[i];
		m->job_rcpts[i].address = arena_dup(a, rcpts[i].address);
		m->job_rcpts[i].orcpt = arena_dup(a, rcpts[i].orcpt);
		m->job_rcpts[i].original = arena_dup(a, rcpts[i].original);
		m->mail.rcpts[i].rcpt = &m->job_rcpts[i];
	}
	return m;
}

static void on_msg(void *ctx, struct msg *msg)
{
	struct outward *o = ctx;
	struct qjob_rcpt rcpts[QJOB_RCPTS];
	struct qjob job;

	if (msg->type != QMSG_JOBS) {
		log_warn("unknown message %u from the queue", msg->type);
		return;
	}
	while (qmsg_get_job(msg, &job, rcpts)) {
		if (job.n_rcpts > 0)
			dest_submit(dest_get(o, job.next_hop), mail_out_new(&job, rcpts));
	}
}

static void on_close(void *ctx)
{
	struct outward *o = ctx;

	qbatch_drop(&o->results);
	chan_free(&o->queue);
	dest_drop_all(o);                                             /* the next queue process asks again */
}

static const struct chan_ops chan_ops = { on_msg, on_close, NULL };

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct outward *o = ctx;

	(void)index;
	if (strcmp(role, "queue") != 0) {
		close(fd);
		return;
	}
	if (o->queue != NULL)
		on_close(o);
	o->queue = chan_new(o->loop, fd, &chan_ops, o);
	o->results.chan = o->queue;
}

static void on_retire(void *ctx)
{
	struct outward *o = ctx;

	qbatch_flush(&o->results);
	loop_stop(o->loop);
}

static const struct proc_events proc_events = { on_link, on_retire };

/* ---- start ---- */

static int set_up_tls(struct outward *o, struct err *e)
{
	const char *how = o->settings->client_tls;

	if (strcmp(how, "none") == 0)
		return 0;
	o->tls_required = strcmp(how, "may") != 0;
	return tls_client_ctx(&o->tls, strcmp(how, "verify") == 0, o->settings->tls_ca_file, e);
}

void smtpd_client_sandbox(const struct settings *s, struct arena *a, struct sandbox *out)
{
	const char *const read[] = { s->spool_directory, "/etc/ssl/certs", "/usr/share/dns", s->resolv_conf, "/etc/hosts", NULL };
	const char **reads = arena_array(a, sizeof(read) / sizeof(read[0]), sizeof(*reads));
	static const char *const nothing[] = { NULL };

	memcpy(reads, read, sizeof(read));
	*out = (struct sandbox){ .needs = SANDBOX_NET_OUT | SANDBOX_DGRAM | SANDBOX_THREADS, .read_paths = reads, .write_paths = nothing };
}

static int set_up(struct outward *o, struct proc *p, struct err *e)
{
	const struct settings *s = proc_settings(p);
	struct arena *a;
	struct sandbox sb;
	int rc;

	o->loop = proc_loop(p);
	o->settings = s;
	if (s->client_bind_address[0] != '\0' && net_addr_parse(slice_of(s->client_bind_address), &o->bind_address) < 0)
		return err_set(e, ERR_SYNTAX, 0, "client_bind_address \"%s\" is no address", s->client_bind_address);
	if (spool_make(s->spool_directory, e) < 0 || resolver_init(&o->resolver, o->loop, s, e) < 0 || set_up_tls(o, e) < 0)
		return -1;
	o->reader = spool_reader_new(s->spool_directory);
	o->dests = hmap_new();
	a = arena_new(0);
	smtpd_client_sandbox(s, a, &sb);
	rc = sandbox_enter(&sb, e);
	arena_free(&a);
	return rc;
}

void smtpd_client_run(struct proc *p)
{
	struct outward *o = mem_new(sizeof(*o));
	struct err e = ERR_INIT;

	if (set_up(o, p, &e) < 0)
		log_fatal("client: %s", e.text);
	dest_sweep(o);
	proc_start(p, &proc_events, o);
	proc_ready(p);
	loop_run(o->loop);
}
