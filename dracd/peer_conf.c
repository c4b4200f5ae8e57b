/*
 * dracd/peer_conf.c - see the header.
 */
#include "dracd/peer_conf.h"

#include <string.h>

#include "base/num.h"
#include "conf/conf.h"

static int read_host(struct slice word, struct peer_host *out, struct err *e)
{
	ptrdiff_t colon = slice_rchr(word, ':');
	struct peer_host p = { .word = word };
	uint32_t port;

	if (colon <= 0 || num_u32(slice_from(word, (size_t)colon + 1), 65535, &port) != 0 || port == 0)
		return err_set(e, ERR_SYNTAX, 0, "drac_peers: '%.*s' is not HOST:PORT (the port of that host's listen_drac_tls)", SLICE_FMT(slice_head(word, 100)));
	p.host = slice_head(word, (size_t)colon);
	bool is_bare_v6 = p.host.p[0] != '[' && slice_chr(p.host, ':') >= 0;

	if (is_bare_v6 || net_addr_parse(p.host, &p.addr) != 0) {
		if (p.host.p[0] == '[' || is_bare_v6 || p.host.n > 253)
			return err_set(e, ERR_SYNTAX, 0, "drac_peers: '%.*s' is neither a name nor an address; IPv6 is written [2001:db8::1]:PORT", SLICE_FMT(slice_head(word, 100)));
		p.addr.len = 0;
	} else if (p.host.p[0] == '[') {
		p.host = slice_from(slice_head(p.host, p.host.n - 1), 1);
	}
	p.addr.port = (uint16_t)port;
	*out = p;
	return 0;
}

int peer_hosts_read(const char *drac_peers, struct peer_host out[PEERS_MAX], size_t *n_out, struct err *e)
{
	struct slice rest = slice_of(drac_peers), word;
	size_t n = 0;

	while (conf_word(&rest, &word)) {
		if (n == PEERS_MAX)
			return err_set(e, ERR_LIMIT, 0, "drac_peers: no more than %u hosts", PEERS_MAX);
		if (read_host(word, &out[n], e) != 0)
			return -1;
		for (size_t i = 0; i < n; i++)
			if (slice_ieq(out[i].word, word))
				return err_set(e, ERR_SYNTAX, 0, "drac_peers: '%.*s' is there twice", SLICE_FMT(slice_head(word, 100)));
		n++;
	}
	*n_out = n;
	return 0;
}

/* Whose certificates are good: what the setting says, else the hosts. */
static int accepted(const struct settings *s, struct buf *out, struct err *e)
{
	struct peer_host hosts[PEERS_MAX];
	size_t n;

	if (s->drac_tls_peers[0] != '\0') {
		buf_puts(out, s->drac_tls_peers);
		return 0;
	}
	if (peer_hosts_read(s->drac_peers, hosts, &n, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? " " : "");
		buf_put(out, hosts[i].host);
	}
	return 0;
}

int peer_tls(const struct settings *s, bool is_client, struct tls_ctx **out, struct err *e)
{
	const char *what = is_client ? "drac_peers" : "listen_drac_tls";
	struct buf accept;
	int rc;

	if (s->drac_tls_cert_file[0] == '\0' || s->drac_tls_key_file[0] == '\0')
		return err_set(e, ERR_SYNTAX, 0, "%s: needs a certificate of our own: set drac_tls_cert_file and drac_tls_key_file", what);
	buf_init(&accept, BUF_UNBOUNDED);
	rc = accepted(s, &accept, e);
	if (rc == 0 && accept.len == 0)
		rc = err_set(e, ERR_SYNTAX, 0, "%s: nobody could connect: name the other hosts in drac_peers or drac_tls_peers", what);
	else if (rc == 0 && tls_peer_ctx(out, is_client, s->drac_tls_cert_file, s->drac_tls_key_file, s->drac_tls_ca_file, buf_str(&accept), "sunrpc", e) != 0)
		rc = err_context(e, "%s (drac_tls_cert_file, drac_tls_key_file, drac_tls_ca_file, drac_tls_peers)", what);
	buf_done(&accept);
	return rc;
}

static void warn_unused(const struct settings *s, struct buf *warnings)
{
	if (warnings == NULL || s->listen_drac_tls[0] != '\0' || s->drac_peers[0] != '\0')
		return;
	if (s->drac_tls_ca_file[0] != '\0')
		buf_puts(warnings, "drac_tls_ca_file is set without effect: neither listen_drac_tls nor drac_peers is\n");
	if (s->drac_tls_peers[0] != '\0')
		buf_puts(warnings, "drac_tls_peers is set without effect: neither listen_drac_tls nor drac_peers is\n");
}

int peer_conf_check(const struct settings *s, struct buf *warnings, struct err *e)
{
	struct peer_host hosts[PEERS_MAX];
	struct tls_ctx *ctx = NULL;
	size_t n = 0;

	warn_unused(s, warnings);
	if (peer_hosts_read(s->drac_peers, hosts, &n, e) != 0)
		return -1;
	if (s->listen_drac_tls[0] != '\0' && peer_tls(s, false, &ctx, e) != 0)
		return -1;
	tls_ctx_unref(&ctx);
	if (n != 0 && peer_tls(s, true, &ctx, e) != 0)
		return -1;
	tls_ctx_unref(&ctx);
	if (n != 0 && s->listen_drac_tls[0] == '\0' && warnings != NULL)
		buf_puts(warnings, "drac_peers without listen_drac_tls: this host hears of the others' grants, they do not hear of ours\n");
	return 0;
}
