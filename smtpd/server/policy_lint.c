/*
 * server/policy_lint.c - posthouse check for the maps: what smtpd would refuse to serve, entries that nobody understands, and those that do not do what
 * they seem to.
 */
#include <stdlib.h>
#include <string.h>

#include "drac/closed.h"
#include "route/domains.h"
#include "server/policy_in.h"

struct lint {
	const char *file;
	struct buf *notes;
	unsigned untagged;                                            /* line of the first RELAY without a tag */
};

/* Tags of sendmail's other features: limits, TLS and logins have settings here. */
static const char *foreign_tag(struct slice key)
{
	static const char *const tags[] = { "ClientRate:", "ClientConn:", "GreetPause:", "Spam:", "TLS_Srv:", "TLS_Clt:", "TLS_Rcpt:", "Try_TLS:", "AuthInfo:", "CertIssuer:",
		"CertSubject:", "SRV_Features:", "CLT_Features:" };

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (slice_istarts(key, slice_of(tags[i])))
			return tags[i];
	return NULL;
}

/* A network that no search would ever find: "10.0.0.5/8", "IPv6:2001:db8::". */
static int check_network(const struct lint *l, const struct access_entry *en, struct err *e)
{
	struct net_prefix net;

	if (slice_eqs(en->tag, "from") || slice_eqs(en->tag, "to"))
		return 0;
	if (slice_chr(en->key, '/') >= 0 && !domains_read_net(en->key, &net))
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: \"%.*s\" is not a network like 192.0.2.0/24 (host bits must be 0), so it never matches", l->file, en->line, SLICE_FMT(en->key));
	if (slice_istarts(en->key, SLICE("ipv6:")) && slice_ends(en->key, SLICE("::")))
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: \"%.*s\" never matches: leave out the last ::, or write it with a length", l->file, en->line, SLICE_FMT(en->key));
	return 0;
}

static int check_entry(void *ctx, const struct access_entry *en, struct err *e)
{
	struct lint *l = ctx;
	const char *tag = foreign_tag(en->key);

	if (tag != NULL) {
		buf_putf(l->notes, "%s:%u: %s is not read here: limits, TLS and logins have settings of their own (man posthouse.conf)\n", l->file, en->line, tag);
		return 0;
	}
	if (en->hit.verb == ACCESS_BROKEN)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: the value of \"%.*s\" is none of OK, RELAY, REJECT, DISCARD, SKIP, HOLD, DEFER, ERROR:nnn text, nnn text", l->file,
		    en->line, SLICE_FMT(en->key));
	if (en->tag.n == 0 && en->hit.verb == ACCESS_RELAY && l->untagged == 0)
		l->untagged = en->line;
	return check_network(l, en, e);
}

static int check_access(const struct policy *p, struct buf *notes, struct err *e)
{
	struct lint l = { .file = strrchr(p->access_path, '/') == NULL ? p->access_path : strrchr(p->access_path, '/') + 1, .notes = notes };

	if (access_each(p->access_path, check_entry, &l, e) != 0)
		return -1;
	if (l.untagged > 0)
		buf_putf(notes, "%s:%u: RELAY without a tag lets the client send anywhere and everybody send to it: Connect: or To: says which of the two is meant\n", l.file, l.untagged);
	return 0;
}

int policy_lint(const struct settings *s, struct buf *notes, struct err *e)
{
	struct policy *p;
	int r;

	if (policy_new(&p, s, e) != 0)
		return -1;
	r = policy_is_closed(p, e) == 0 ? drac_is_closed(s, e) : -1;
	if (r == 0)
		r = check_access(p, notes, e);
	policy_warnings(p, notes);
	(void)route_lint(p->router, notes);
	policy_free(&p);
	return r;
}
