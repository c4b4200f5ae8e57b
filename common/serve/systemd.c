/*
 * serve/systemd.c
 */
#include "serve/systemd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"

#define SYSTEMD_FIRST_FD 3                                            /* SD_LISTEN_FDS_START */
#define SYSTEMD_US_PER_MS 1000

/* A number of the environment, or 0. */
static uint64_t systemd_number(const char *variable)
{
	uint64_t v = 0;

	(void)!num_u64(slice_of(getenv(variable)), UINT64_MAX, &v);
	return v;
}

static bool systemd_gave_sockets(void)
{
	return systemd_number("LISTEN_PID") == (uint64_t)getpid() && systemd_number("LISTEN_FDS") > 0;
}

bool systemd_is_parent(void)
{
	return getenv("NOTIFY_SOCKET") != NULL || systemd_gave_sockets();
}

size_t systemd_sockets(struct systemd_socket out[SYSTEMD_SOCKETS_MAX])
{
	struct slice names = slice_of(getenv("LISTEN_FDNAMES")), name;
	uint64_t n = systemd_gave_sockets() ? systemd_number("LISTEN_FDS") : 0;
	size_t at;

	for (at = 0; at < n && at < SYSTEMD_SOCKETS_MAX; at++) {
		out[at].fd = SYSTEMD_FIRST_FD + (int)at;
		out[at].name = slice_next(&names, ':', &name) ? name : SLICE_NONE;
		fcntl(out[at].fd, F_SETFD, FD_CLOEXEC);
		fcntl(out[at].fd, F_SETFL, fcntl(out[at].fd, F_GETFL) | O_NONBLOCK);
	}
	return at;
}

void systemd_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(un.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';                                /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

void systemd_notify_reloading(int64_t mono_us)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)mono_us);
	systemd_notify(text);
}

int64_t systemd_watchdog_ms(void)
{
	uint64_t us = systemd_number("WATCHDOG_USEC"), pid = systemd_number("WATCHDOG_PID");

	return pid == 0 || pid == (uint64_t)getpid() ? (int64_t)(us / SYSTEMD_US_PER_MS) : 0;
}
