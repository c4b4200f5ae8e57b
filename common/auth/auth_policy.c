/*
 * auth/auth_policy.c - which mechanisms a connection may see.
 */
#include "auth/auth.h"

#include "base/buf.h"
#include "conf/conf.h"

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
