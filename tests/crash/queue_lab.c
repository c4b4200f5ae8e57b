/*
 * tests/crash/queue_lab.c - queue, deliver and client under the real supervisor, with a front that speaks no SMTP: it submits messages as fast as
 * they are taken. For crash tests and for the speed of the path from journal to mailbox.
 *
 *   queue_lab -C FILE -f           LAB_MESSAGES=1000 LAB_SIZE=4096 LAB_OPEN=20 LAB_TO="u%d@office.test" LAB_USERS=10 LAB_ACKS=/path LAB_FROM=
 *
 * Each message bears "X-Lab-Token: FRONT-PID-NUMBER"; what was acknowledged is appended to LAB_ACKS, a token a line, only after done() said so.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "client/client.h"
#include "deliver/deliver.h"
#include "queue/entry.h"
#include "queue/queue.h"
#include "queue/spool.h"

struct lab {
	struct proc *proc;
	struct loop *loop;
	struct entry *entry;
	struct loop_timer tick;
	uint64_t want, sent, acked, refused, users;
	unsigned open, max_open;
	int acks;
	int64_t began;
	char *body;
	const char *to, *from;
	size_t size;
};

struct one { struct lab *lab; char token[64]; };

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *v = getenv(name);
	uint64_t n;

	return v != NULL && num_u64(slice_of(v), UINT64_MAX, &n) == 0 ? n : otherwise;
}

static void fill(struct lab *lab);

static void on_done(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct one *one = ctx;
	struct lab *lab = one->lab;
	char line[80];
	int n = snprintf(line, sizeof(line), "%s\n", one->token);

	(void)place;
	lab->open--;
	if (err != NULL) {
		lab->refused++;
	} else {
		lab->acked++;
		if (lab->acks >= 0 && write(lab->acks, line, (size_t)n) != n)
			log_fatal("lab: cannot write the acks");
	}
	free(one);
	if (lab->acked == lab->want)
		log_info("lab: %llu acknowledged in %lld ms", (unsigned long long)lab->acked, (long long)(clock_mono_ms() - lab->began));
	fill(lab);
}

static void submit(struct lab *lab)
{
	struct one *one = mem_new(sizeof(*one));
	char address[200], head[400];
	struct rcpt rcpt = { .notify = 0 };
	struct envelope env = { .arrived = clock_wall_us(), .client = SLICE("lab[127.0.0.1]"), .rcpts = &rcpt, .n_rcpts = 1 };
	struct slice pieces[2];
	int n;

	one->lab = lab;
	snprintf(one->token, sizeof(one->token), "%u-%d-%llu", proc_index(lab->proc), (int)getpid(), (unsigned long long)lab->sent);
	snprintf(address, sizeof(address), "u%llu%s", (unsigned long long)(lab->sent % lab->users + 1), lab->to);
	queue_id_new(env.id, env.arrived, proc_index(lab->proc));
	env.sender = slice_of(lab->from);
	rcpt.address = slice_of(address);
	n = snprintf(head, sizeof(head), "Received: from lab\r\n\tby lab id %s\r\nFrom: lab@lab.test\r\nX-Lab-Token: %s\r\nSubject: lab\r\n\r\n", env.id, one->token);
	pieces[0] = slice_mem(head, (size_t)n);
	pieces[1] = slice_mem(lab->body, lab->size);
	lab->sent++;
	lab->open++;
	entry_submit(lab->entry, &env, pieces, 2, on_done, one);
}

static void fill(struct lab *lab)
{
	const char *why;

	while (lab->sent < lab->want && lab->open < lab->max_open && entry_state(lab->entry, &why) == ENTRY_READY)
		submit(lab);
}

static void on_tick(void *ctx)
{
	struct lab *lab = ctx;

	fill(lab);
	loop_timer_start(lab->loop, &lab->tick, 20, on_tick, lab);
}

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct lab *lab = ctx;

	(void)role;
	(void)index;
	entry_link(lab->entry, fd);
}

static void on_retire(void *ctx)
{
	struct lab *lab = ctx;

	loop_stop(lab->loop);
}

static const struct proc_events events = { on_link, on_retire };

static void front_run(struct proc *p)
{
	struct lab *lab = mem_new(sizeof(*lab));
	struct err e = ERR_INIT;

	lab->proc = p;
	lab->loop = proc_loop(p);
	lab->want = number("LAB_MESSAGES", 1000);
	lab->size = (size_t)number("LAB_SIZE", 4096);
	lab->max_open = (unsigned)number("LAB_OPEN", 20);
	lab->users = number("LAB_USERS", 10);
	lab->to = getenv("LAB_TO") != NULL ? getenv("LAB_TO") : "@office.test";
	lab->from = getenv("LAB_FROM") != NULL ? getenv("LAB_FROM") : "lab@lab.test";
	lab->acks = getenv("LAB_ACKS") != NULL ? open(getenv("LAB_ACKS"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	lab->body = mem_new(lab->size + 2);
	memset(lab->body, 'x', lab->size);
	for (size_t i = 76; i + 2 < lab->size; i += 78)
		memcpy(lab->body + i, "\r\n", 2);
	memcpy(lab->body + lab->size - 2, "\r\n", 2);
	lab->began = clock_mono_ms();
	if (spool_make(proc_settings(p)->spool_directory, &e) < 0)
		log_fatal("lab: %s", e.text);
	lab->entry = entry_new(lab->loop, proc_settings(p));
	proc_start(p, &events, lab);
	on_tick(lab);
	proc_ready(p);
	loop_run(lab->loop);
}

static unsigned one_process(const struct settings *s)
{
	(void)s;
	return 1;
}

static unsigned fronts(const struct settings *s)
{
	return s->front_processes;
}

static unsigned delivers(const struct settings *s)
{
	return s->deliver_processes;
}

static const struct proc_row rows[] = {
	{ .role = "front", .log_name = "lab", .count = fronts, .talks_to = "queue", .run = front_run },
	{ .role = "queue", .log_name = "queue", .count = one_process, .talks_to = "", .run = smtpd_queue_run },
	{ .role = "deliver", .log_name = "deliver", .count = delivers, .talks_to = "queue", .run = smtpd_deliver_run },
	{ .role = "client", .log_name = "client", .count = one_process, .talks_to = "queue", .run = smtpd_client_run },
};

static const struct daemon_table table = { .name = "queue-lab", .rows = rows, .n_rows = sizeof(rows) / sizeof(*rows) };

int main(int argc, char **argv)
{
	return super_main(&table, argc, argv);
}
