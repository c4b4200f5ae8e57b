/*
 * server/message.c - Received, the hop count, and the fix-ups of submission.
 */
#include "server/message.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/limits.h"
#include "mail/header.h"
#include "reply/codes.h"

struct found {
	bool date, message_id;
	size_t received, bcc;
};

static void put_date(struct buf *out, int64_t now_us)
{
	int64_t now_s = now_us / CLOCK_US_PER_S;

	date_put(now_s, date_local_zone(now_s), out);
}

/* Who answers for this mail: the sender's own login, or the one that opened the relay window. */
static void put_who(const struct message_facts *f, struct buf *out)
{
	if (f->user != NULL)
		buf_putf(out, "\r\n\t(authenticated as %s)", f->user);
	else if (f->voucher.n > 0)
		buf_putf(out, "\r\n\t(relayed for %.*s, who has just read mail from this address)", SLICE_FMT(f->voucher));
	else if (f->voucher.p != NULL)
		buf_puts(out, "\r\n\t(relayed because somebody has just read mail from this address)");
}

static void put_received(const struct message_facts *f, struct buf *out)
{
	bool is_ipv6 = slice_chr(slice_of(f->peer_text), ':') >= 0;  /* RFC 5321 4.1.3: [IPv6:2001:db8::1] */

	buf_putf(out, "Received: from %s (%.*s [%s%s]%s)", f->helo[0] == '\0' ? "unknown" : f->helo, SLICE_FMT(f->peer_name), is_ipv6 ? "IPv6:" : "", f->peer_text,
	    f->peer_forged ? " (may be forged)" : "");
	if (f->tls_version != NULL)
		buf_putf(out, "\r\n\t(using %s with cipher %s (%d bits))", f->tls_version, f->tls_cipher, f->tls_bits);
	put_who(f, out);
	buf_putf(out, "\r\n\tby %s (Posthouse) with %s id %s", f->myhostname, f->proto, f->id);
	if (!slice_is_empty(f->only_rcpt))
		buf_putf(out, "\r\n\tfor <%.*s>", SLICE_FMT(f->only_rcpt));
	buf_puts(out, ";\r\n\t");
	put_date(out, f->now_us);
	buf_puts(out, "\r\n");
}

static void put_missing(const struct message_facts *f, const struct found *have, struct buf *out)
{
	if (!have->date) {
		buf_puts(out, "Date: ");
		put_date(out, f->now_us);
		buf_puts(out, "\r\n");
	}
	if (!have->message_id)
		buf_putf(out, "Message-ID: <%" PRId64 ".%s@%s>\r\n", f->now_us, f->id, f->myhostname);
}

static struct found look(struct slice header)
{
	struct found found = { false, false, 0, 0 };
	struct slice rest = header, name, value, raw;

	while (header_next(&rest, &name, &value, &raw)) {
		switch (ascii_lower(name.n > 0 ? name.p[0] : '\0')) {
		case 'r':
			found.received += slice_ieqs(name, "received");
			break;
		case 'd':
			found.date = found.date || slice_ieqs(name, "date");
			break;
		case 'm':
			found.message_id = found.message_id || slice_ieqs(name, "message-id");
			break;
		case 'b':
			found.bcc += slice_ieqs(name, "bcc");
			break;
		default:
			break;
		}
	}
	return found;
}

static void add_piece(struct message_plan *plan, const char *from, const char *to)
{
	if (to > from)
		plan->pieces[plan->n_pieces++] = slice_mem(from, (size_t)(to - from));
}

/* The header in runs between the Bcc fields. */
static void add_without_bcc(struct message_plan *plan, struct slice header)
{
	struct slice rest = header, name, value, raw;
	const char *from = header.p;

	while (header_next(&rest, &name, &value, &raw))
		if (slice_ieqs(name, "bcc")) {
			add_piece(plan, from, raw.p);
			from = raw.p + raw.n;
		}
	add_piece(plan, from, header.p + header.n);
}

/* A header field's first line: "name:"; RFC 5322 2.2. */
static bool starts_with_field(struct slice octets)
{
	size_t i = 0;

	while (i < octets.n && octets.p[i] > ' ' && octets.p[i] < 0x7f && octets.p[i] != ':')
		i++;
	while (i > 0 && i < octets.n && ascii_is_blank(octets.p[i]))
		i++;
	return i > 0 && i < octets.n && octets.p[i] == ':';
}

static struct slice find_header(struct slice octets, bool *has_end)
{
	struct slice body;

	if (slice_starts(octets, SLICE("\r\n"))) {
		*has_end = true;
		return SLICE_NONE;
	}
	if (!starts_with_field(octets)) {
		*has_end = false;
		return SLICE_NONE;
	}
	return header_split(octets, &body, has_end);
}

int message_compose(const struct message_facts *f, struct slice octets, bool whole, struct arena *a, struct buf *prefix, struct message_plan *out,
    const char **refusal_out)
{
	struct message_plan plan = { 0 };
	bool has_end = false;
	struct slice header = find_header(octets, &has_end);
	struct found have = look(header);

	if (header.n > LIMIT_HEADER || (!has_end && !whole && header.n > 0)) {
		*refusal_out = code_reply(a, CODE_TOO_LARGE, "header larger than %u octets", LIMIT_HEADER);
		return -1;
	}
	if (have.received > LIMIT_RECEIVED_LINES) {
		*refusal_out = code_reply(a, CODE_TOO_MANY_HOPS, "Too many hops: %zu Received lines, this message goes in circles", have.received);
		return -1;
	}
	put_received(f, prefix);
	if (f->fix_ups)
		put_missing(f, &have, prefix);
	if (header.n == 0 && !slice_starts(octets, SLICE("\r\n")))
		buf_puts(prefix, "\r\n");                             /* a text typed without header: Received must not swallow its first line */
	plan.header = header;
	plan.pieces = arena_array(a, have.bcc + 4, sizeof(*plan.pieces));
	plan.pieces[plan.n_pieces++] = buf_view(prefix);
	if (f->fix_ups && have.bcc > 0) {
		add_without_bcc(&plan, header);
		add_piece(&plan, header.p + header.n, octets.p + octets.n);
	} else if (octets.n > 0) {
		plan.pieces[plan.n_pieces++] = octets;
	}
	*out = plan;
	return 0;
}
