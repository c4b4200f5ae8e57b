/*
 * store/preview.c - see preview.h. Looks at the first PREVIEW_OCTETS of one part, so that a delivery pays for no more.
 */
#include "store/preview.h"

#include "base/text.h"
#include "mail/charset.h"

#define PREVIEW_OCTETS 3072

static const struct mime_part *next_part(const struct mime_part *p)
{
	if (p->first != NULL)
		return p->first;
	while (p != NULL && p->next == NULL)
		p = p->parent;
	return p == NULL ? NULL : p->next;
}

static const struct mime_part *find_text(const struct mime_part *root, const char *subtype)
{
	for (const struct mime_part *p = root; p != NULL; p = next_part(p))
		if (p->first == NULL && slice_ieqs(p->type, "text") && slice_ieqs(p->subtype, subtype) && !slice_ieqs(p->disposition, "attachment"))
			return p;
	return NULL;
}

static struct slice charset_of(const struct mime_part *p)
{
	for (size_t i = 0; i < p->n_params; i++)
		if (slice_ieqs(p->params[i].name, "charset"))
			return p->params[i].value;
	return SLICE("us-ascii");
}

/* Without tags, and without what <style> and <script> hold; the few entities that are everywhere are read. */
static void strip_tags(struct slice html, struct buf *out)
{
	static const struct { const char *name; char c; } entities[] = { { "&nbsp;", ' ' }, { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' } };

	for (size_t i = 0; i < html.n; i++) {
		struct slice rest = slice_from(html, i);
		struct slice end = slice_istarts(rest, SLICE("<style")) ? SLICE("</style") : slice_istarts(rest, SLICE("<script")) ? SLICE("</script") : SLICE(">");
		ptrdiff_t skip = rest.p[0] == '<' ? slice_ifind(rest, end) : 0;
		char c = rest.p[0];

		if (c == '<') {
			if (skip < 0)
				return;
			i += (size_t)skip;
			if (end.n > 1) {                              /* on to the '>' of the closing tag */
				skip = slice_chr(slice_from(html, i), '>');
				if (skip < 0)
					return;
				i += (size_t)skip;
			}
			buf_putc(out, ' ');
			continue;
		}
		for (size_t k = 0; c == '&' && k < sizeof entities / sizeof *entities; k++)
			if (slice_istarts(rest, slice_of(entities[k].name))) {
				c = entities[k].c;
				i += slice_of(entities[k].name).n - 1;
				break;
			}
		buf_putc(out, c);
	}
}

static bool is_space(unsigned char c)
{
	return c <= ' ' || c == 0x7f;
}

/* Whole characters only; a blank for any run of blanks and controls, none at the ends. */
static void put_folded(struct slice text, struct buf *out)
{
	size_t chars = 0, begin = out->len, whole = out->len;
	bool blank = false;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_space(c)) {
			blank = true;
			continue;
		}
		if ((c & 0xc0) != 0x80) {
			whole = out->len;
			if (chars + blank >= PREVIEW_CHARS)
				return;
			if (blank && out->len > begin) {
				buf_putc(out, ' ');
				chars++;
			}
			chars++;
		}
		blank = false;
		buf_putc(out, (char)c);
	}
	if (!text_is_utf8(slice_from(buf_view(out), begin)))          /* the last character was cut in two */
		buf_cut(out, whole);
}

/* A charset that we can't read (or whose converter the sandbox hides): what is ASCII in it, which in most is most. */
static void put_ascii(struct slice octets, struct buf *out)
{
	for (size_t i = 0; i < octets.n; i++)
		if ((unsigned char)octets.p[i] < 0x80)
			buf_putc(out, octets.p[i]);
		else
			buf_puts(out, "\xef\xbf\xbd");
}

void preview_put(struct slice message, const struct mime_part *root, struct buf *out)
{
	const struct mime_part *p = find_text(root, "plain"), *html = p == NULL ? find_text(root, "html") : NULL;
	struct buf octets, text, plain;
	struct slice body;

	if (p == NULL)
		p = html;
	if (p == NULL)
		return;
	buf_init(&octets, BUF_UNBOUNDED);
	buf_init(&text, BUF_UNBOUNDED);
	buf_init(&plain, BUF_UNBOUNDED);
	body = slice_head(slice_head(slice_from(message, p->body_at), p->body_len), PREVIEW_OCTETS);
	if (mime_decode(body, p->encoding, &octets) == 0 && charset_to_utf8(charset_of(p), buf_view(&octets), &text) != 0)
		put_ascii(buf_view(&octets), &text);
	if (html != NULL)
		strip_tags(buf_view(&text), &plain);
	put_folded(html != NULL ? buf_view(&plain) : buf_view(&text), out);
	buf_done(&octets);
	buf_done(&text);
	buf_done(&plain);
}
