/*
 * serve/super_in.h - what the files of the supervisor share: super.c has its life, super_children.c the processes.
 *
 * A slot is a place in the table of the present generation: one row, one index. It holds a child or a pause before the next one.
 * A child is a process that lives. After a reload the children of the old generation have no slot any more; they retire in their own time.
 */
#ifndef SERVE_SUPER_IN_H
#define SERVE_SUPER_IN_H

#include "base/list.h"
#include "serve/listeners.h"
#include "serve/proc_ctl.h"
#include "serve/start.h"
#include "serve/super.h"

enum { SUPER_STOP_MS = 10000 };                                       /* from being asked to SIGKILL */

struct super_child {
	struct list_node node;
	struct super *s;
	const struct proc_row *row;
	unsigned index, generation;
	pid_t pid;
	struct chan *ctl;                                             /* NULL once it closed its end */
	int64_t born_ms;
	bool ready, retiring;
	char last_words[PROC_CTL_TEXT_MAX + 1];
};

struct super_slot {
	struct super *s;
	const struct proc_row *row;
	unsigned index, failures;
	struct super_child *child;                                    /* NULL: in a pause */
	struct loop_timer pause;
};

struct super {
	const struct daemon_table *t;
	struct start_options options;
	struct settings *settings;
	struct loop *loop;
	struct listeners listeners;
	struct list_node children;
	struct super_slot *slots;
	size_t n_slots;
	unsigned generation;
	void *shared;
	int pid_fd, report_fd;
	bool told_ready, reloading, stopping, failed;
	char why_failed[PROC_CTL_TEXT_MAX + 128];
	struct loop_timer patience, watchdog;
};

/* ---- super_children.c ---- */
void super_new_generation(struct super *s);                           /* slots for the settings of now, a process in each */
void super_free_slots(struct super *s);                               /* the children live on */
void super_retire_all(struct super *s);                               /* for good when s->stopping */
void super_kill_all(struct super *s);
void super_reap(struct super *s);                                     /* after SIGCHLD */

/* ---- super.c ---- */
void super_look_whether_ready(struct super *s);                       /* after a child said that it is */
/* Before everything was ready once: whoever started us wants to know, and half a daemon is worse than none. */
void super_fail_start(struct super *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
