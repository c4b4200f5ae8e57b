/*
 * serve/start.h - how a daemon comes up: options, the way into the background, directories, the pid file. Part of the supervisor.
 */
#ifndef SERVE_START_H
#define SERVE_START_H

#include <sys/types.h>

#include "conf/settings.h"
#include "base/err.h"

struct start_options {
	const char *settings_file;                                    /* absolute, or NULL where only defaults and overrides count */
	const char **overrides;                                       /* NULL-terminated */
	bool foreground, test;
};

/* -1: wrong usage, told on stderr. Lives until start_options_done(). */
int start_options_read(struct start_options *o, int argc, char **argv, struct err *e) WARN_UNUSED;
void start_options_done(struct start_options *o);

/*
 * Into the background: returns in the background process with the descriptor to report on, never in the one that the shell waits for, which
 * exits 0 when the report is good, else prints it and exits 1. start_report(): text NULL is good; closes *fd. Fine with *fd -1.
 */
int start_detach(const char *name, bool keep_stderr, struct err *e) WARN_UNUSED;
void start_report(int *fd, const char *text);

/* Makes the directories of the settings where they are missing; as root they become mail_owner's. */
int start_directory_of_owner(const struct settings *s, const char *path, mode_t mode, struct err *e) WARN_UNUSED;   /* one of them */
int start_directory_of_file(const struct settings *s, const char *file, mode_t mode, struct err *e) WARN_UNUSED;    /* mode whatever the umask */
int start_directories(const struct settings *s, struct err *e) WARN_UNUSED;

/* Writes NAME.pid in the runtime directory and holds a lock on it: two supervisors of one name are an error that says the pid of the first. */
int start_pid_file(const struct settings *s, const char *name, int *fd_out, struct err *e) WARN_UNUSED;
void start_pid_file_remove(const struct settings *s, const char *name, int *fd);

#endif
