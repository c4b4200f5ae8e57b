/*
 * mail/mime_field.c - Content-Type and its relatives, as mail programs really write them: comments, missing semicolons, unquoted blanks.
 *
 * Everything is linear in the field, and the number of parameters is capped before anything is sorted (Dovecot's CVE-2026-27859 was RFC 2231 parameters).
 */
#include "mail/mime_field.h"

#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "mail/header.h"

static bool is_token_char(char c)
{
	return c > 0x20 && c != 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Blanks and comments (RFC 5322 3.2.2), nested ones by counting. */
static void skip_cfws(struct slice *s)
{
	unsigned depth = 0;

	while (s->n > 0) {
		char c = s->p[0];

		if (c == '\\' && depth > 0 && s->n > 1)
			*s = slice_from(*s, 1);
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && !ascii_is_blank(c) && c != '\r' && c != '\n')
			return;
		*s = slice_from(*s, 1);
	}
}

static struct slice take_token(struct slice *s)
{
	size_t n = 0;

	while (n < s->n && is_token_char(s->p[n]))
		n++;
	struct slice t = slice_head(*s, n);
	*s = slice_from(*s, n);
	return t;
}

static struct slice take_quoted(struct slice *s, struct arena *a)
{
	char *out = arena_alloc(a, s->n + 1);
	size_t n = 0, i = 1;

	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		if (s->p[i] != '\r' && s->p[i] != '\n')
			out[n++] = s->p[i];
	}
	*s = slice_from(*s, i < s->n ? i + 1 : i);
	return slice_mem(out, n);
}

/* A value that should have been quoted: everything to the next semicolon ("name=My file.doc" is common). */
static struct slice take_sloppy(struct slice *s)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != ';')
		n++;
	struct slice v = slice_trim(slice_head(*s, n));
	*s = slice_from(*s, n);
	return v;
}

static struct slice take_value(struct slice *s, struct arena *a)
{
	if (s->n > 0 && s->p[0] == '"')
		return take_quoted(s, a);
	struct slice before = *s, token = take_token(s), after_token = *s;

	skip_cfws(s);
	if (s->n == 0 || s->p[0] == ';')
		return token;
	if (after_token.n != s->n && slice_chr(slice_head(*s, 80), '=') > 0) {
		struct slice probe = *s, name = take_token(&probe);

		if (name.n > 0 && probe.n > 0 && probe.p[0] == '=')   /* the semicolon is missing, the next parameter is not */
			return token;
	}
	*s = before;
	return take_sloppy(s);
}

/* "name*3*" : name, section 3, charset yes. */
struct piece { struct slice name; uint32_t section; bool is_section, charset; };

static struct piece piece_of(struct slice name)
{
	struct piece pc = { name, 0, false, false };
	ptrdiff_t star = slice_chr(name, '*');

	if (star <= 0)
		return pc;
	struct slice tail = slice_from(name, (size_t)star + 1);

	pc.name = slice_head(name, (size_t)star);
	pc.charset = tail.n == 0 || slice_ends(tail, SLICE("*"));
	if (tail.n > 0 && pc.charset)
		tail.n--;
	if (tail.n == 0)
		return pc;
	pc.is_section = num_u32(tail, LIMIT_MIME_PARAMS, &pc.section) == 0;
	if (!pc.is_section)
		pc = (struct piece){ name, 0, false, false };
	return pc;
}

/* Octets that an extended value may not hold plainly when sections with and without charset are mixed (RFC 2231 section 4.1). */
static void put_percent(struct slice v, struct buf *out)
{
	for (size_t i = 0; i < v.n; i++) {
		if (is_token_char(v.p[i]) && v.p[i] != '%' && v.p[i] != '*' && v.p[i] != '\'')
			buf_putc(out, v.p[i]);
		else
			buf_putf(out, "%%%02X", (unsigned)(unsigned char)v.p[i]);
	}
}

static const struct mime_param *find_section(const struct mime_param *params, size_t n, struct slice name, uint32_t section, struct piece *pc_out)
{
	for (size_t i = 0; i < n; i++) {
		struct piece pc = piece_of(params[i].name);

		if (pc.is_section && pc.section == section && slice_ieq(pc.name, name)) {
			*pc_out = pc;
			return &params[i];
		}
	}
	return NULL;
}

static struct mime_param join_sections(const struct mime_param *params, size_t n, struct slice name, bool charset, struct arena *a)
{
	struct buf joined;
	const struct mime_param *p;
	struct piece pc;

	buf_init(&joined, BUF_UNBOUNDED);
	for (uint32_t i = 0; (p = find_section(params, n, name, i, &pc)) != NULL; i++) {
		if (charset && !pc.charset)
			put_percent(p->value, &joined);
		else
			buf_put(&joined, p->value);
	}
	struct mime_param made = { name, arena_dup(a, buf_view(&joined)) };

	if (charset)
		made.name = slice_of(arena_printf(a, "%.*s*", SLICE_FMT(name)));
	buf_done(&joined);
	return made;
}

/* Joins name*0, name*1* ... in place; sections without a first one are dropped. Returns the new count. */
static size_t join_params(struct mime_param *params, size_t n, struct arena *a)
{
	struct mime_param *out = arena_array(a, n, sizeof *out);
	size_t n_out = 0;

	for (size_t i = 0; i < n; i++) {
		struct piece pc = piece_of(params[i].name);

		if (!pc.is_section)
			out[n_out++] = params[i];
		else if (pc.section == 0)
			out[n_out++] = join_sections(params, n, pc.name, pc.charset, a);
	}
	memcpy(params, out, n_out * sizeof *out);
	return n_out;
}

/* "; name=value; ..." to the end of the field. */
static size_t read_params(struct slice s, struct arena *a, struct mime_param **out)
{
	struct mime_param found[LIMIT_MIME_PARAMS];
	size_t n = 0;
	bool sections = false;

	while (n < LIMIT_MIME_PARAMS) {
		skip_cfws(&s);
		while (s.n > 0 && s.p[0] == ';') {
			s = slice_from(s, 1);
			skip_cfws(&s);
		}
		if (s.n == 0)
			break;
		struct slice name = take_token(&s);

		skip_cfws(&s);
		if (name.n == 0 || s.n == 0 || s.p[0] != '=') {       /* not a parameter: on to the next semicolon */
			(void)take_sloppy(&s);
			continue;
		}
		s = slice_from(s, 1);
		skip_cfws(&s);
		sections = sections || slice_chr(name, '*') > 0;
		found[n++] = (struct mime_param){ name, take_value(&s, a) };
	}
	if (n == 0)
		return 0;
	*out = arena_array(a, n, sizeof **out);
	memcpy(*out, found, n * sizeof **out);
	return sections ? join_params(*out, n, a) : n;
}

static struct slice cased(struct slice s, char (*fn)(char c), struct arena *a)
{
	char *p = arena_str(a, s);

	for (size_t i = 0; i < s.n; i++)
		p[i] = fn(p[i]);
	return slice_mem(p, s.n);
}

static void read_type(struct mime_part *p, struct slice v, struct arena *a)
{
	skip_cfws(&v);
	struct slice type = take_token(&v);

	skip_cfws(&v);
	if (type.n == 0 || v.n == 0 || v.p[0] != '/')
		return;
	v = slice_from(v, 1);
	skip_cfws(&v);
	struct slice subtype = take_token(&v);

	if (subtype.n == 0)
		return;
	p->type = cased(type, ascii_lower, a);
	p->subtype = cased(subtype, ascii_lower, a);
	p->n_params = read_params(v, a, &p->params);
}

static void read_encoding(struct mime_part *p, struct slice v, struct arena *a)
{
	skip_cfws(&v);
	struct slice word = take_token(&v);

	if (word.n > 0)
		p->encoding = cased(word, ascii_upper, a);
}

static void read_disposition(struct mime_part *p, struct slice v, struct arena *a)
{
	skip_cfws(&v);
	struct slice word = take_token(&v);

	if (word.n == 0)
		return;
	p->disposition = cased(word, ascii_lower, a);
	p->n_disposition_params = read_params(v, a, &p->disposition_params);
}

enum field { F_TYPE, F_ENCODING, F_DISPOSITION, F_ID, F_DESCRIPTION, F_MD5, F_LANGUAGE, F_LOCATION, FIELDS };

static const char *const field_names[FIELDS] = {
	[F_TYPE] = "type", [F_ENCODING] = "transfer-encoding", [F_DISPOSITION] = "disposition", [F_ID] = "id",
	[F_DESCRIPTION] = "description", [F_MD5] = "md5", [F_LANGUAGE] = "language", [F_LOCATION] = "location",
};

static void read_field(struct mime_part *p, enum field f, struct slice v, struct arena *a)
{
	switch (f) {
	case F_TYPE: read_type(p, v, a); break;
	case F_ENCODING: read_encoding(p, v, a); break;
	case F_DISPOSITION: read_disposition(p, v, a); break;
	case F_ID: p->id = v; break;
	case F_DESCRIPTION: p->description = v; break;
	case F_MD5: p->md5 = v; break;
	case F_LANGUAGE: p->language = v; break;
	case F_LOCATION: p->location = v; break;
	case FIELDS: break;
	}
}

static void set_defaults(struct mime_part *p, bool in_digest)
{
	p->type = in_digest ? SLICE("message") : SLICE("text");
	p->subtype = in_digest ? SLICE("rfc822") : SLICE("plain");
	p->encoding = SLICE("7BIT");
}

void mime_field_read(struct mime_part *p, struct slice header, bool in_digest, struct arena *a)
{
	struct slice rest = slice_head(header, LIMIT_HEADER), name, value, raw;
	unsigned seen = 0;

	set_defaults(p, in_digest);
	while (header_next(&rest, &name, &value, &raw)) {
		if (!slice_istarts(name, SLICE("content-")))
			continue;
		name = slice_from(name, sizeof "content-" - 1);
		for (unsigned f = 0; f < FIELDS; f++) {
			if ((seen & 1u << f) == 0 && slice_ieqs(name, field_names[f])) {
				seen |= 1u << f;
				read_field(p, (enum field)f, header_unfold(value, a), a);
			}
		}
	}
}

struct slice mime_field_param(const struct mime_param *params, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_ieq(params[i].name, name))
			return params[i].value;
	return SLICE_NONE;
}
