/*
 * serve/systemd.h - the two things we need of systemd, without libsystemd: sd_notify(3) and sockets handed over at start (sd_listen_fds(3)).
 */
#ifndef SERVE_SYSTEMD_H
#define SERVE_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define SYSTEMD_SOCKETS_MAX 64

struct systemd_socket {
	int fd;
	struct slice name;                                            /* FileDescriptorName; "" where there was none. Borrowed from the environment */
};

bool systemd_is_parent(void);                                         /* a service manager waits for our word, or gave us sockets */

/* The sockets meant for this process, at most SYSTEMD_SOCKETS_MAX; sets close-on-exec and non-blocking. */
size_t systemd_sockets(struct systemd_socket out[SYSTEMD_SOCKETS_MAX]);

void systemd_notify(const char *state);                               /* "READY=1", "STOPPING=1", "STATUS=..."; nothing where nobody listens */
void systemd_notify_reloading(int64_t mono_us);
int64_t systemd_watchdog_ms(void);                                    /* say WATCHDOG=1 more often than this; 0: no watchdog */

#endif
