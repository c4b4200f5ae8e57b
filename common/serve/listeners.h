/*
 * serve/listeners.h - the listening sockets of a daemon: from systemd by name, else bound as the settings say. Part of the supervisor.
 */
#ifndef SERVE_LISTENERS_H
#define SERVE_LISTENERS_H

#include "io/net.h"
#include "serve/super.h"

#define LISTENERS_ADDR_MAX 128

struct listeners_addr {
	bool is_unix;
	char path[LISTENERS_ADDR_MAX];
	struct net_addr addr;                                         /* with its port */
};

/* "192.0.2.1:25", "[2001:db8::1]:25", "/run/posthouse/lmtp". Port 0: any. */
int listeners_parse(struct slice word, struct listeners_addr *out, struct err *e) WARN_UNUSED;

struct listeners {
	struct proc_socket *v;
	char (*addrs)[LISTENERS_ADDR_MAX];                            /* as written, "" for systemd's */
	size_t n;
};

/* Opens what `s` asks for. A socket that `old` (may be NULL) has for the same name and address is used again: then it is in both.
   A failure names setting and address, and leaves `old` as it was. */
int listeners_open(struct listeners *out, const struct listeners *old, const struct daemon_table *t, const struct settings *s, struct err *e);
void listeners_close(struct listeners *l, const struct listeners *but);          /* but: those that it has stay open; may be NULL */

#endif
