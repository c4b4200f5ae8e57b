/*
 * tests/talk/talk.h - what a protocol gives so that its dialogues (*.talk, see README.md) run in memory.
 *
 * An adapter is one file, adapter_NAME.c, which registers itself: AT_START static void reg(void) { talk_register(&adapter); }
 * For each run (a file whole, the same file an octet at a time) the runner calls create(), directive() for the lines that are not its own,
 * greet(), then input() as the file goes on, and destroy(). The adapter plays the daemon: it answers every want of the session at once.
 */
#ifndef TESTS_TALK_TALK_H
#define TESTS_TALK_TALK_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"
#include "io/net.h"

struct talk_env {                                                     /* lives as long as the run */
	const struct settings *s;                                     /* of the world in README.md, with the file's "setting:" lines */
	struct net_addr peer;                                         /* "peer:", 127.0.0.1 without */
	int64_t now;                                                  /* seconds since 1970; changes before clock() is called */
	const char *dir;                                              /* a fresh directory, removed with all in it after the run */
};

enum talk_state { TALK_OPEN, TALK_CLOSED };                           /* CLOSED: the session has hung up; what it said last is in out */

struct talk_adapter {
	const char *name;                                             /* the folder of its dialogues: "smtp" */
	const char *live;                                             /* its own directives that run.py can honour, blank between; "" */
	void *(*create)(const struct talk_env *env, struct err *e);   /* NULL: *e says why */
	/* A line "name: value" that the runner does not know, before greet() or later. Unknown to the adapter too: -1, ERR_SYNTAX. */
	int (*directive)(void *a, struct slice name, struct slice value, struct buf *out, struct err *e);
	enum talk_state (*greet)(void *a, struct buf *out);
	/* What is not taken is offered again with what follows. Called until nothing is taken. */
	enum talk_state (*input)(void *a, struct slice in, size_t *used_out, struct buf *out);
	void (*clock)(void *a, int64_t now, struct buf *out);         /* time went on; may be NULL */
	void (*destroy)(void *a);
};

void talk_register(const struct talk_adapter *adapter);

#endif
