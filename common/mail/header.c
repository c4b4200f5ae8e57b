#include "mail/header.h"

/* The first line of s with its line end; all of it where none is. */
static struct slice first_line(struct slice s)
{
	ptrdiff_t lf = slice_chr(s, '\n');

	return lf < 0 ? s : slice_head(s, (size_t)lf + 1);
}

static struct slice without_line_end(struct slice line)
{
	if (slice_ends(line, SLICE("\n")))
		line.n--;
	if (slice_ends(line, SLICE("\r")))
		line.n--;
	return line;
}

struct slice header_split(struct slice message, struct slice *body_out, bool *has_end_out)
{
	struct slice rest = message;

	while (rest.n > 0) {
		struct slice line = first_line(rest);

		if (without_line_end(line).n == 0) {
			*has_end_out = true;
			*body_out = slice_from(rest, line.n);
			return slice_head(message, message.n - rest.n);
		}
		rest = slice_from(rest, line.n);
	}
	*has_end_out = false;
	*body_out = rest;
	return message;
}

/* Octets of the field at the start of s: its line and those that begin with a blank. */
static size_t field_length(struct slice s)
{
	size_t n = first_line(s).n;

	while (n < s.n && ascii_is_blank(s.p[n]) && without_line_end(first_line(slice_from(s, n))).n > 0)
		n += first_line(slice_from(s, n)).n;
	return n;
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_print(s.p[i]) || s.p[i] == ' ')
			return false;
	return s.n > 0;
}

bool header_next(struct slice *rest, struct slice *name_out, struct slice *value_out, struct slice *raw_out)
{
	struct slice raw = slice_head(*rest, field_length(*rest)), name;
	ptrdiff_t colon;

	if (without_line_end(raw).n == 0)
		return false;
	colon = slice_chr(raw, ':');
	name = slice_head(raw, colon < 0 ? 0 : (size_t)colon);
	while (name.n > 0 && ascii_is_blank(name.p[name.n - 1]))
		name.n--;                                             /* "Subject :" of RFC 822 */
	*rest = slice_from(*rest, raw.n);
	*raw_out = raw;
	if (is_name(name)) {
		*name_out = name;
		*value_out = without_line_end(slice_from(raw, (size_t)colon + 1));
	} else {
		*name_out = slice_head(raw, 0);
		*value_out = without_line_end(raw);
	}
	return true;
}

bool header_find(struct slice header, struct slice name, struct slice *value_out)
{
	struct slice found, value, raw;

	while (header_next(&header, &found, &value, &raw))
		if (slice_ieq(found, name)) {
			*value_out = value;
			return true;
		}
	return false;
}

size_t header_count(struct slice header, struct slice name)
{
	struct slice found, value, raw;
	size_t n = 0;

	while (header_next(&header, &found, &value, &raw))
		n += slice_ieq(found, name);
	return n;
}

struct slice header_unfold(struct slice value, struct arena *a)
{
	char *text;
	size_t n = 0;

	value = slice_trim(value);
	text = arena_alloc(a, value.n + 1);
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			text[n++] = value.p[i];
	return slice_mem(text, n);
}
