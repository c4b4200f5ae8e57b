/*
 * auth/auth_policy.c - which mechanisms a connection may see, and what binds them to it.
 */
#include "auth/auth.h"

#include "base/buf.h"
#include "conf/conf.h"

void auth_peer_bind(struct auth_peer *peer, SSL *ssl, struct buf *room)
{
	size_t strong;

	if (ssl == NULL)
		return;
	peer->cb_type = SSL_version(ssl) >= TLS1_3_VERSION ? SLICE("tls-exporter") : SLICE("tls-unique");
	if (tls_channel_binding(ssl, peer->cb_type.p, room) != 0)
		peer->cb_type = SLICE_NONE;
	strong = room->len;
	if (tls_channel_binding(ssl, "tls-server-end-point", room) != 0)
		buf_cut(room, strong);
	peer->cb_data = slice_head(buf_view(room), strong);
	peer->cb_end_point = slice_from(buf_view(room), strong);
}

bool auth_plaintext_ok(const struct settings *s, bool tls, const struct net_addr *peer)
{
	struct slice rest = slice_of(s->plaintext_login_from), word;
	struct net_prefix net;

	if (tls)
		return true;
	while (conf_word(&rest, &word))
		if (net_prefix_parse(word, &net) == 0 && net_prefix_has(&net, peer))
			return true;
	return false;
}

const char *auth_mechanisms(const struct settings *s, bool tls, const struct net_addr *peer, struct arena *a)
{
	struct slice rest = slice_of(s->sasl_mechanisms), word;
	bool plain_ok = auth_plaintext_ok(s, tls, peer), has_users = slice_ifind(slice_of(s->passdb), SLICE("users")) >= 0;
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	while (conf_word(&rest, &word)) {
		bool plus = slice_iends(word, SLICE("-PLUS")), scram = slice_istarts(word, SLICE("SCRAM-"));
		if ((plus && !tls) || (!scram && !plain_ok) || (scram && !has_users))       /* PAM has no verifiers */
			continue;
		if (out.len != 0)
			buf_putc(&out, ' ');
		buf_put(&out, word);
	}
	const char *list = arena_str(a, buf_view(&out));

	buf_done(&out);
	return list;
}
