/*
 * route/transport.c - mailertable, as sendmail and Postfix write it; then relayhost; then the domain itself, by MX.
 */
#include "route/route_in.h"

#include "base/num.h"

static struct final remote(struct slice address, struct slice next_hop)
{
	return (struct final){ .kind = FINAL_REMOTE, .address = address, .next_hop = next_hop };
}

/* "smtp:[host]:port", "esmtp:host", "relay:host", "lmtp:/path", "local:user", "error:...", "discard:", or a bare "[host]" (transport). */
struct final transport_parse(struct slice value, struct slice address, struct slice domain, struct slice wildcard, struct arena *a)
{
	struct slice v = virtual_fill(slice_trim(value), wildcard, SLICE_NONE, a);
	ptrdiff_t colon = v.n > 0 && v.p[0] != '[' ? slice_chr(v, ':') : -1;
	struct slice mailer = colon < 0 ? SLICE("smtp") : slice_head(v, (size_t)colon);
	struct slice host = colon < 0 ? v : slice_trim(slice_from(v, (size_t)colon + 1));

	if (slice_ieqs(mailer, "error"))
		return (struct final){ .kind = FINAL_ERROR, .address = address, .text = alias_error_text(host, a) };
	if (slice_ieqs(mailer, "discard"))
		return (struct final){ .kind = FINAL_DISCARD, .address = address };
	if (slice_ieqs(mailer, "local"))
		return (struct final){ .kind = FINAL_MAILBOX, .address = host.n > 0 ? host : address };
	if (slice_ieqs(mailer, "lmtp"))
		return remote(address, slice_of(arena_printf(a, "lmtp:%.*s", SLICE_FMT(host))));
	if (slice_ieqs(mailer, "smtp") || slice_ieqs(mailer, "esmtp") || slice_ieqs(mailer, "relay") || slice_ieqs(mailer, "smtp8") || slice_ieqs(mailer, "dsmtp"))
		return remote(address, host.n > 0 ? host : domain);
	return expand_error(a, CODE_MAP_ENTRY_BROKEN, address, "The mailertable names a mailer here that does not exist");
}

static int find_key(struct router *r, struct slice key, struct slice address, struct slice domain, struct slice wildcard, struct arena *a,
    struct final *out, const char **where_out, struct err *e)
{
	struct slice value;
	int found = map_get(r->transport, key, a, &value, e);

	if (found != 1)
		return found;
	*out = transport_parse(value, address, domain, wildcard, a);
	*where_out = arena_str(a, slice_of(map_where(r->transport)));
	return 1;
}

/* The exact domain, then ".parent" from the longest, then "."; %1 is what stood before the parent. */
static int find_in_table(struct router *r, struct slice address, struct slice domain, struct arena *a, struct final *out, const char **where_out, struct err *e)
{
	int found = find_key(r, domain, address, domain, SLICE(""), a, out, where_out, e);

	for (size_t i = 0; found == 0 && i < domain.n && domain.p[0] != '['; i++)
		if (domain.p[i] == '.')
			found = find_key(r, slice_from(domain, i), address, domain, slice_head(domain, i), a, out, where_out, e);
	if (found == 0)
		found = find_key(r, SLICE("."), address, domain, domain, a, out, where_out, e);
	return found;
}

int transport_find(struct router *r, struct slice address, struct slice domain, struct arena *a, struct final *out, const char **where_out, struct err *e)
{
	int found = find_in_table(r, address, domain, a, out, where_out, e);

	if (found != 0)
		return found;
	if (r->s->relayhost[0] != '\0') {
		*where_out = "relayhost in posthouse.conf";
		*out = remote(address, slice_of(r->s->relayhost));
	} else {
		*where_out = "MX";
		*out = remote(address, domain);
	}
	return 1;
}
