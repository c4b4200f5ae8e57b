/*
 * deliver/room.c - the room process. Runs as posthouse; reads accounts.db, opens mailboxes (their sums; where these are missing it counts the folders); hears
 * the fronts, who believe it for one answer only; sees no message, no network and no password.
 * A question is a size and the users that a recipient leads to; room_judge.c has the answer.
 */
#include "deliver/room.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/room_judge.h"
#include "serve/accounts.h"

struct room {
	struct loop *loop;
	const struct settings *s;
	struct boxes *boxes;
	struct list_node fronts;
	bool retiring;
};

struct room_front { struct list_node node; struct room *r; struct chan *c; };

/* ---- the links ---- */

static void on_msg(void *ctx, struct msg *m)
{
	struct room_front *f = ctx;
	struct err e = ERR_INIT;
	struct room_ask q;

	if (room_msg_read_ask(m, &q) != 0)
		log_warn("a question of a front is broken");
	else
		room_msg_said(f->c, q.token, room_judge(f->r->boxes, f->r->s, &q, loop_now(f->r->loop), &e));
	if (e.kind != ERR_NONE)
		log_warn("%s; accepted, delivery will look again", e.text);
}

static void on_close(void *ctx)
{
	struct room_front *f = ctx;
	struct room *r = f->r;

	chan_free(&f->c);
	list_remove(&f->node);
	free(f);
	if (r->retiring && list_is_empty(&r->fronts))
		loop_stop(r->loop);
}

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };
	struct room *r = ctx;
	struct room_front *f;

	(void)index;
	if (strcmp(role, "front") != 0) {
		close(fd);
		return;
	}
	f = mem_new(sizeof(*f));
	f->r = r;
	f->c = chan_new(r->loop, fd, &ops, f);
	list_append(&r->fronts, &f->node);
}

static void on_retire(void *ctx)
{
	struct room *r = ctx;

	r->retiring = true;
	if (list_is_empty(&r->fronts))
		loop_stop(r->loop);
}

/* ---- the process ---- */

void smtpd_room_sandbox(const struct settings *s, struct arena *a, struct sandbox *out)
{
	const char **reads = arena_array(a, 2, sizeof(*reads)), **writes = arena_array(a, 3, sizeof(*writes));

	reads[0] = accounts_directory(s, a);
	reads[1] = NULL;
	writes[0] = s->mail_directory;
	writes[1] = s->runtime_directory;
	writes[2] = NULL;
	*out = (struct sandbox){ .needs = SANDBOX_DGRAM, .read_paths = reads, .write_paths = writes };
}

void smtpd_room_run(struct proc *p)
{
	static const struct proc_events events = { .on_link = on_link, .on_retire = on_retire };
	struct room r = { .loop = proc_loop(p), .s = proc_settings(p) };
	struct arena *a = arena_new(0);
	struct sandbox sb;
	struct err e = ERR_INIT;

	list_init(&r.fronts);
	smtpd_room_sandbox(r.s, a, &sb);
	if (file_mkdirs(r.s->mail_directory, 0700, &e) < 0 || sandbox_enter(&sb, &e) < 0)
		log_fatal("room: %s", e.text);
	arena_free(&a);
	r.boxes = boxes_new(r.s, false);
	proc_start(p, &events, &r);
	proc_ready(p);
	loop_run(r.loop);
	boxes_free(&r.boxes);
}
