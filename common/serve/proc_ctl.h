/*
 * serve/proc_ctl.h - what supervisor and process say to each other over the control channel, and how a process begins. Not for others.
 */
#ifndef SERVE_PROC_CTL_H
#define SERVE_PROC_CTL_H

#include "io/chan.h"
#include "serve/super.h"

enum proc_ctl { PROC_CTL_LINK = 1, PROC_CTL_RETIRE, PROC_CTL_READY, PROC_CTL_LAST_WORDS };

#define PROC_CTL_TEXT_MAX 512

void proc_ctl_link(struct chan *c, const char *role, unsigned index, unsigned generation, int fd);    /* of the other end; takes over fd */
void proc_ctl_retire(struct chan *c, bool stopping);             /* again with true where a reload turned into a stop */

struct proc_birth {
	const char *daemon;
	const struct proc_row *row;
	unsigned index, generation;
	const struct settings *settings;
	struct proc_socket *sockets;                                  /* copied */
	size_t n_sockets;
	void *shared;                                                 /* NULL: none, or the row does not listen */
	int ctl_fd;
	int parent_pid;
};

/* In the fresh child, with nothing open that it should not have: becomes the user, runs the row, exits. */
NORETURN void proc_live(const struct proc_birth *b);

#endif
