/*
 * imapd/id.c - ID (RFC 2971): who the client says it is, for the log; who we are, by name only. And the state that login hands to the session.
 */
#include "base/limits.h"
#include "imapd/imapd.h"
#include "imapd/parse.h"

enum { ID_PAIRS = 30, ID_FIELD = 1024, ID_KEEP = 64 };                 /* RFC 2971 3.3 */

static void keep(struct buf *client, struct slice value)
{
	size_t n = 0;

	if (client->len > 0)
		buf_putc(client, ' ');
	for (; n < value.n && n < ID_KEEP; n++)
		buf_putc(client, ascii_is_print(value.p[n]) ? value.p[n] : '?');
}

static int read_pair(struct imap_text *t, struct buf *client)
{
	struct slice name, value;

	if (imap_string(t, &name) != 0 || imap_space(t) != 0 || imap_nstring(t, &value) != 0)
		return -1;
	if (name.n > ID_FIELD || value.n > ID_FIELD) {
		t->why = "a field of ID is longer than 1024 octets";
		return -1;
	}
	if (client != NULL && value.n > 0 && (slice_ieqs(name, "name") || slice_ieqs(name, "version")))
		keep(client, value);
	return 0;
}

int imap_id_read(struct imap_text *t, struct buf *client)
{
	if (client != NULL)
		buf_reset(client);
	if (imap_word(t, "NIL"))
		return 0;
	if (imap_open(t) != 0)
		return -1;
	for (unsigned n = 0; imap_close(t) != 0; n++) {
		if (n == ID_PAIRS) {
			t->why = "ID has more than 30 fields";
			return -1;
		}
		if ((n > 0 && imap_space(t) != 0) || read_pair(t, client) != 0)
			return -1;
	}
	return 0;
}

void imap_id_reply(struct buf *out)
{
	buf_puts(out, "* ID (\"name\" \"Posthouse\")\r\n");
}

void imap_hello_put(const struct imap_hello *h, struct buf *out)
{
	buf_putc(out, 'L');
	buf_put(out, h->tag);
	buf_putc(out, '\n');
	buf_put(out, h->client);
}

int imap_hello_get(struct slice octets, struct imap_hello *out)
{
	ptrdiff_t lf = slice_chr(octets, '\n');

	if (lf < 2 || octets.p[0] != 'L')
		return -1;
	out->tag = slice_mem(octets.p + 1, (size_t)lf - 1);
	out->client = slice_from(octets, (size_t)lf + 1);
	return 0;
}
