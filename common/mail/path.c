#include "mail/path.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/idn.h"
#include "base/limits.h"
#include "base/text.h"

/* What is read, and how far. Each reader returns -1 with `why` set and `at` on the offending octet. */
struct reader {
	struct slice in;
	size_t at;
	unsigned flags;
	bool utf8;                                                    /* an octet beyond ASCII was seen */
	const char *why;
};

static int fail(struct reader *r, const char *why)
{
	r->why = why;
	return -1;
}

/* The octet here, -1 at the end. */
static int here(const struct reader *r)
{
	return r->at < r->in.n ? (unsigned char)r->in.p[r->at] : -1;
}

static bool skip(struct reader *r, char c)
{
	if (here(r) != (unsigned char)c)
		return false;
	r->at++;
	return true;
}

static bool is_atext(char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* One UTF-8 character beyond ASCII, where the session allows it. */
static int skip_utf8(struct reader *r)
{
	size_t n = text_utf8_len(slice_from(r->in, r->at));

	if (n == 0)
		return fail(r, "not UTF-8");
	if ((r->flags & PATH_ALLOW_UTF8) == 0)
		return fail(r, "a character beyond ASCII needs SMTPUTF8");
	r->at += n;
	r->utf8 = true;
	return 0;
}

/* RFC 5321 Dot-string. */
static int read_dot_string(struct reader *r, struct slice *out)
{
	size_t from = r->at;

	for (;;) {
		size_t atom = r->at;

		while (here(r) >= 0x80 || (here(r) >= 0 && is_atext(r->in.p[r->at])))
			if (here(r) < 0x80)
				r->at++;
			else if (skip_utf8(r) < 0)
				return -1;
		if (r->at == atom)
			return fail(r, r->at == from ? "a local part is missing or has a character that needs quotes" : "two dots, or a dot at the end of the local part");
		if (!skip(r, '.'))
			break;
	}
	*out = slice_mem(r->in.p + from, r->at - from);
	return 0;
}

/* RFC 5321 Quoted-string, behind its opening quote; the text is copied as it is meant. */
static int read_quoted(struct reader *r, struct arena *a, struct slice *out)
{
	char *text = arena_alloc(a, r->in.n - r->at + 1);
	size_t n = 0;

	while (!skip(r, '"')) {
		size_t from;

		skip(r, '\\');
		from = r->at;
		if (here(r) < 0)
			return fail(r, "the quoted string has no end");
		if (here(r) < 0x20 || here(r) == 0x7f)
			return fail(r, "a control character in a quoted string");
		if (here(r) < 0x80)
			r->at++;
		else if (skip_utf8(r) < 0)
			return -1;
		memcpy(text + n, r->in.p + from, r->at - from);
		n += r->at - from;
	}
	*out = slice_mem(text, n);
	return n > 0 ? 0 : fail(r, "the local part is empty");
}

static bool is_label_octet(int c)
{
	return c >= 0x80 || (c >= 0 && (ascii_is_alnum((char)c) || c == '-'));
}

/* RFC 5321 sub-domain by sub-domain; a dot at the end of all is passed over. */
static int read_labels(struct reader *r)
{
	for (;;) {
		size_t label = r->at;

		while (is_label_octet(here(r)))
			if (here(r) < 0x80)
				r->at++;
			else if (skip_utf8(r) < 0)
				return -1;
		if (r->at == label)
			return fail(r, "a domain is missing, or two dots follow each other");
		if (r->in.p[label] == '-' || r->in.p[r->at - 1] == '-')
			return fail(r, "a label of the domain begins or ends with a hyphen");
		if (r->at - label > 63)
			return fail(r, "a label of the domain is longer than 63 octets");
		if (!skip(r, '.') || !is_label_octet(here(r)))
			return 0;
	}
}

/* RFC 5321 4.1.3, IPv4 and IPv6 alone: no other kind was ever registered. */
static int read_literal(struct reader *r)
{
	ptrdiff_t end = slice_chr(slice_from(r->in, r->at), ']');
	struct slice inner = slice_mem(r->in.p + r->at + 1, end < 1 ? 0 : (size_t)end - 1);
	bool six = slice_istarts(inner, SLICE("IPv6:"));
	char text[INET6_ADDRSTRLEN];
	unsigned char address[16];

	if (six)
		inner = slice_from(inner, 5);
	if (end < 0 || inner.n >= sizeof(text) || slice_chr(inner, '\0') >= 0)
		return fail(r, "this is no address literal");
	memcpy(text, inner.p, inner.n);
	text[inner.n] = '\0';
	if (inet_pton(six ? AF_INET6 : AF_INET, text, address) != 1)
		return fail(r, "this is no address literal");
	r->at += (size_t)end + 1;
	return 0;
}

static int read_domain(struct reader *r, struct slice *out)
{
	size_t from = r->at;
	struct slice s;

	if ((here(r) == '[' ? read_literal(r) : read_labels(r)) < 0)
		return -1;
	s = slice_mem(r->in.p + from, r->at - from);
	if (slice_ends(s, SLICE(".")))
		s.n--;
	if (s.n > LIMIT_DOMAIN)
		return fail(r, "the domain is longer than 255 octets");
	*out = s;
	return 0;
}

/* RFC 5321 appendix F.2: "@a.example,@b.example:" is read and forgotten. */
static int skip_route(struct reader *r)
{
	struct slice hop;

	if (here(r) != '@')
		return 0;
	do {
		if (!skip(r, '@'))
			return fail(r, "a source route needs '@' here");
		if (read_domain(r, &hop) < 0)
			return -1;
	} while (skip(r, ','));
	return skip(r, ':') ? 0 : fail(r, "a source route ends with ':'");
}

static int read_mailbox(struct reader *r, struct arena *a, struct path *out)
{
	struct slice local, domain = SLICE_NONE;

	if ((skip(r, '"') ? read_quoted(r, a, &local) : read_dot_string(r, &local)) < 0)
		return -1;
	if (local.n > LIMIT_LOCAL_PART)
		return fail(r, "the local part is too long");
	if (skip(r, '@')) {
		if (read_domain(r, &domain) < 0)
			return -1;
	} else if ((r->flags & PATH_ALLOW_NO_DOMAIN) == 0) {
		return fail(r, "'@' and a domain are missing");
	}
	if (idn_to_ascii(domain, a, &domain) != 0 || domain.n > LIMIT_DOMAIN)
		return fail(r, "this is no internationalised domain name");
	*out = (struct path){ .local = arena_dup(a, local), .domain = domain, .is_utf8 = r->utf8 };
	return 0;
}

static int read_path(struct reader *r, struct arena *a, struct path *out)
{
	bool bracket = skip(r, '<');

	if (!bracket && (r->flags & PATH_ALLOW_BARE) == 0)
		return fail(r, "an address stands in angle brackets");
	if (here(r) == (bracket ? '>' : -1)) {
		if ((r->flags & PATH_ALLOW_NULL) == 0)
			return fail(r, "an address is missing");
		r->at += bracket;
		*out = (struct path){ .is_null = true };
		return 0;
	}
	if (bracket && skip_route(r) < 0)
		return -1;
	if (read_mailbox(r, a, out) < 0)
		return -1;
	return !bracket || skip(r, '>') ? 0 : fail(r, "'>' is missing, or a character that does not belong here");
}

int path_parse(struct slice in, unsigned flags, struct arena *a, struct path *out, size_t *used_out, size_t *where_out, const char **why_out)
{
	struct reader r = { .in = in, .flags = flags };
	struct path path;

	if (read_path(&r, a, &path) < 0) {
		*where_out = r.at;
		*why_out = r.why;
		return -1;
	}
	*out = path;
	*used_out = r.at;
	return 0;
}

static bool is_dot_string(struct slice s)
{
	bool after_dot = true;

	for (size_t i = 0; i < s.n; i++) {
		bool dot = s.p[i] == '.';

		if (dot ? after_dot : (unsigned char)s.p[i] < 0x80 && !is_atext(s.p[i]))
			return false;
		after_dot = dot;
	}
	return !after_dot;
}

void path_put(const struct path *p, struct buf *out)
{
	if (p->is_null)
		return;
	if (is_dot_string(p->local)) {
		buf_put(out, p->local);
	} else {
		buf_putc(out, '"');
		for (size_t i = 0; i < p->local.n; i++) {
			if (p->local.p[i] == '"' || p->local.p[i] == '\\')
				buf_putc(out, '\\');
			buf_putc(out, p->local.p[i]);
		}
		buf_putc(out, '"');
	}
	if (p->domain.n > 0) {
		buf_putc(out, '@');
		buf_put(out, p->domain);
	}
}

struct slice path_text(const struct path *p, struct arena *a)
{
	struct buf text;
	struct slice copy;

	buf_init(&text, BUF_UNBOUNDED);
	path_put(p, &text);
	copy = arena_dup(a, buf_view(&text));
	buf_done(&text);
	return copy;
}

int path_from_text(struct slice s, struct arena *a, struct path *out)
{
	struct path path;
	size_t used, where;
	const char *why;

	if (path_parse(s, PATH_ALLOW_NULL | PATH_ALLOW_BARE | PATH_ALLOW_UTF8 | PATH_ALLOW_NO_DOMAIN, a, &path, &used, &where, &why) < 0 || used != s.n)
		return -1;
	*out = path;
	return 0;
}

bool path_eq(const struct path *a, const struct path *b)
{
	return a->is_null == b->is_null && slice_ieq(a->local, b->local) && slice_ieq(a->domain, b->domain);
}

bool domain_is_valid(struct slice s)
{
	struct reader r = { .in = s, .flags = PATH_ALLOW_UTF8 };
	struct slice domain;

	return read_domain(&r, &domain) == 0 && r.at == s.n;
}
