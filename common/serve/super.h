/*
 * serve/super.h - the supervisor: opens listening sockets, forks the processes of a table, connects them, restarts what dies.
 *
 * It parses nothing from the network. Every child gets (1) the listening sockets of its row, (2) a control channel, over which the
 * supervisor sends a link - one end of a fresh SOCK_SEQPACKET pair - for every process that its row talks to, again whenever either end
 * was restarted. So no process needs connect(2) to reach another one, and none can reach one that it has no business with.
 *
 * Restart: at once the first time, then with a pause that doubles from 100 ms to 30 s and forgets after a minute of health.
 * SIGHUP (or `posthouse reload`): reads the settings anew; broken ones change nothing and are logged; good ones start a new generation of every
 * process, and the old one is told to retire: fronts finish their sessions, the others finish what they hold. SIGTERM: all retire, 10 s, then KILL.
 * A child that is sent SIGTERM by hand retires too and is replaced; one whose supervisor dies is killed.
 * sd_notify READY=1 when every process of the table has said proc_ready(). LISTEN_FDS sockets are matched by LISTEN_FDNAMES.
 */
#ifndef SERVE_SUPER_H
#define SERVE_SUPER_H

#include "conf/settings.h"
#include "io/chan.h"
#include "io/loop.h"

struct proc;                                                          /* this process, seen from inside */

struct proc_listener {
	const char *name;                                             /* "smtp", "imaps": systemd's FileDescriptorName, ports file */
	int kind;                                                     /* the daemon's own enum, handed to the process */
};

/* Root only when the supervisor is root and settings ask. IN_SPOOL_GROUP: posthouse, but in the group of mail_spool_directory too. */
enum proc_user { PROC_AS_POSTHOUSE, PROC_AS_ROOT, PROC_IN_SPOOL_GROUP };

struct proc_row {
	const char *role;                                             /* "front": log name posthouse/smtpd-front is printed as conf'd below */
	const char *log_name;                                         /* "smtpd", "queue", "client": posthouse/<log_name>[pid] */
	unsigned (*count)(const struct settings *s);                  /* how many; 0 leaves the role out */
	enum proc_user user;
	bool listens;                                                 /* gets the listening sockets of the daemon */
	const char *talks_to;                                         /* roles, blank separated: "auth queue" */
	void (*run)(struct proc *p);                                  /* never returns before loop_stop() */
};

/* Added to a listener's kind where it is no SOCK_STREAM socket: UDP (or an AF_UNIX datagram path), SOCK_SEQPACKET at a path. */
enum { SUPER_DGRAM = 1 << 16, SUPER_SEQPACKET = 1 << 17 };

struct super_listener {
	const char *name;                                             /* as above */
	int kind;                                                     /* the daemon's enum (below 1 << 16), perhaps | SUPER_DGRAM */
	const char *(*addrs)(const struct settings *s);               /* setting: blank-separated "ADDR:PORT" or "[v6]:PORT" or "/path"; "" is off */
};

struct daemon_table {
	const char *name;                                             /* "smtpd" */
	const struct super_listener *listeners;
	size_t n_listeners;
	const struct proc_row *rows;
	size_t n_rows;
	size_t shared_octets;                                         /* memory that all who listen have in common (serve/crowd.h); 0: none */
	/* The daemon's own files that settings name; before start, at -T and at reload, which it refuses with -1. NULL: none to check. */
	int (*check)(const struct settings *s, struct err *e);
};

/* The whole of a daemon's main(): options (-C file, -f foreground, -T test settings, -o name=value), settings, sockets, children, until the end.
   Without -f (the default under systemd) it goes into the background and the shell gets its prompt when every process is ready; when one fails
   before that, all stop, the reason is on stderr and the exit status is 1. */
int super_main(const struct daemon_table *t, int argc, char **argv);

/* From inside a process: */
struct loop *proc_loop(struct proc *p);
const struct settings *proc_settings(const struct proc *p);
unsigned proc_index(const struct proc *p);                            /* 0.. among those of its row */
unsigned proc_generation(const struct proc *p);                       /* counts reloads */

/* The table's shared_octets: zeros at the daemon's start, behind 16 octets of chance; the same for all processes that listen, of every generation. Else NULL. */
void *proc_shared(const struct proc *p);

unsigned proc_link_generation(const struct proc *p);                   /* inside on_link: the generation of the process at the other end */

struct proc_socket { int fd; int kind; const char *name; };
size_t proc_sockets(const struct proc *p, const struct proc_socket **socks_out);

struct proc_events {
	/* A link to process `index` of `role` is there (fd: make a chan of it). It is the one for new work with that process. An older one of the same
	   role and index stays good until its channel's on_close: after a reload, the fronts that retire are linked to the new processes too, so two
	   processes `front` 0 may be there at once. Keep each link until its end, never replace by index. */
	void (*on_link)(void *ctx, const char *role, unsigned index, int fd);
	/* Finish what you hold, take nothing new, then call loop_stop(). After a reload there is no hurry (sessions end in their own time); where
	   the daemon stops, proc_is_stopping(), the process is killed after 10 s. Called again where a stop follows a reload. */
	void (*on_retire)(void *ctx);
};
bool proc_is_stopping(const struct proc *p);

/* Registers the events; earlier links are delivered from the loop. Call before proc_ready(). */
void proc_start(struct proc *p, const struct proc_events *ev, void *ctx);
void proc_ready(struct proc *p);                                      /* tells the supervisor; call after sandbox_enter() */
/* A process that cannot go on says why by log_fatal(): before it is ready the supervisor shows those words to whoever started it. */

/* For what a process forks itself (sessions of the spawner): killed when its parent dies. False: the parent is gone already. */
bool proc_tie_to_parent(int parent_pid);

#endif
