/*
 * dracd/peer_conf.h - the settings of dracd between hosts: drac_peers, drac_tls_*, listen_drac_tls; and whether they make sense together.
 */
#ifndef DRACD_PEER_CONF_H
#define DRACD_PEER_CONF_H

#include "base/buf.h"
#include "conf/settings.h"
#include "io/net.h"
#include "io/tls.h"

#define PEERS_MAX 8u                                                      /* CORE_PEERS_MAX, for which STATS has room */

struct peer_host {
	struct slice word;                                            /* as written, "mx2.office.example:9901"; borrowed from the setting */
	struct slice host;
	struct net_addr addr;                                         /* with the port; len 0: host is a name */
};

int peer_hosts_read(const char *drac_peers, struct peer_host out[PEERS_MAX], size_t *n_out, struct err *e) WARN_UNUSED;

/* A context for the door (is_client false) or for pulling. Errors name the setting. Reads files, so before the sandbox closes. */
int peer_tls(const struct settings *s, bool is_client, struct tls_ctx **out, struct err *e) WARN_UNUSED;

/* Everything above tried, and what is set without effect: a line each in *warnings (may be NULL). 0 where nothing is set. */
int peer_conf_check(const struct settings *s, struct buf *warnings, struct err *e) WARN_UNUSED;

#endif
