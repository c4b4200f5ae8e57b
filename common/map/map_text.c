/*
 * map/map_text.c - the line grammar of text maps (postmap(1), makemap(8), aliases(5), sendmail's class files).
 *
 * A logical line goes on over following lines that begin with a blank. '#' begins a comment line; in lists it ends a line anywhere.
 */
#include "map/map_text.h"

#include "base/buf.h"
#include "base/file.h"

#define TEXT_FILE_MAX (256u << 20)

/* One physical line, without its LF or CRLF. */
static bool physical(struct map_text_reader *r, struct slice *line_out)
{
	if (!slice_next(&r->rest, '\n', line_out) || (r->rest.p == NULL && line_out->n == 0))
		return false;
	r->at_line++;
	if (line_out->n && line_out->p[line_out->n - 1] == '\r')
		line_out->n--;
	return true;
}

static struct slice without_comment(enum map_text kind, struct slice line)
{
	ptrdiff_t at = kind == MAP_TEXT_LIST ? slice_chr(line, '#') : (line.n && line.p[0] == '#' ? 0 : -1);

	return at < 0 ? line : slice_head(line, (size_t)at);
}

static bool goes_on(struct slice rest)
{
	return rest.n > 0 && (ascii_is_blank(rest.p[0]) || rest.p[0] == '#');
}

void map_text_start(struct map_text_reader *r, enum map_text kind, struct slice text)
{
	*r = (struct map_text_reader){ .kind = kind, .rest = text };
	buf_init(&r->logical, BUF_UNBOUNDED);
}

void map_text_done(struct map_text_reader *r)
{
	buf_done(&r->logical);
}

/* The next logical line that is not blank; false at the end. */
static bool logical(struct map_text_reader *r, struct slice *out)
{
	struct slice line;

	while (physical(r, &line)) {
		line = without_comment(r->kind, line);
		if (slice_is_empty(slice_trim(line)))
			continue;
		r->line = r->at_line;
		buf_reset(&r->logical);
		buf_put(&r->logical, slice_trim(line));
		while (r->kind != MAP_TEXT_LIST && goes_on(r->rest) && physical(r, &line)) {
			line = slice_trim(line);
			if (line.n && line.p[0] != '#') {
				buf_putc(&r->logical, ' ');
				buf_put(&r->logical, line);
			}
		}
		*out = buf_view(&r->logical);
		return true;
	}
	return false;
}

/* "key" in quotes may hold blanks and colons. Takes it off *rest. */
static int take_key(const char *path, struct map_text_reader *r, struct slice *rest, struct slice *key_out, struct err *e)
{
	size_t n = 0;

	if (rest->p[0] == '"') {
		ptrdiff_t end = slice_chr(slice_from(*rest, 1), '"');
		if (end < 0)
			return err_set(e, ERR_SYNTAX, 0, "%s:%u: the quote that begins the key is not closed", path, r->line);
		*key_out = slice_head(slice_from(*rest, 1), (size_t)end);
		*rest = slice_from(*rest, (size_t)end + 2);
		return 0;
	}
	while (n < rest->n && !ascii_is_blank(rest->p[n]) && (r->kind != MAP_TEXT_ALIASES || rest->p[n] != ':'))
		n++;
	*key_out = slice_head(*rest, n);
	*rest = slice_from(*rest, n);
	return 0;
}

static int take_colon(const char *path, struct map_text_reader *r, struct slice *rest, struct err *e)
{
	*rest = slice_trim(*rest);
	if (rest->n == 0 || rest->p[0] != ':')
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: an alias is written 'name: target', the ':' is missing", path, r->line);
	*rest = slice_from(*rest, 1);
	return 0;
}

int map_text_next(struct map_text_reader *r, const char *path, struct slice *key_out, struct slice *value_out, struct err *e)
{
	struct slice rest, key;

	if (!logical(r, &rest))
		return 0;
	if (take_key(path, r, &rest, &key, e) != 0)
		return -1;
	if (r->kind == MAP_TEXT_ALIASES && take_colon(path, r, &rest, e) != 0)
		return -1;
	rest = slice_trim(rest);
	if (slice_is_empty(key))
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: the key is empty", path, r->line);
	if (r->kind == MAP_TEXT_LIST && rest.n != 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: one name a line, but '%.*s' follows", path, r->line, SLICE_FMT(slice_head(rest, 80)));
	if (r->kind != MAP_TEXT_LIST && rest.n == 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s' has no value", path, r->line, SLICE_FMT(slice_head(key, 80)));
	*key_out = key;
	*value_out = rest;
	return 1;
}

int map_text_each(const char *path, enum map_text kind, int (*fn)(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e),
    void *ctx, struct err *e)
{
	struct buf text;
	struct map_text_reader r;
	struct slice key, value;
	int rc;

	buf_init(&text, TEXT_FILE_MAX);
	if (file_read(path, &text, e) != 0) {
		buf_done(&text);
		return -1;
	}
	map_text_start(&r, kind, buf_view(&text));
	while ((rc = map_text_next(&r, path, &key, &value, e)) == 1)
		if ((rc = fn(ctx, r.line, key, value, e)) != 0)
			break;
	map_text_done(&r);
	buf_done(&text);
	return rc;
}
