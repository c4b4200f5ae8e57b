#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>

#include "base/text.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* As in mail (IANA's names and what mail programs write instead), and for iconv. */
static const struct { const char *name, *iconv; } charsets[] = {
	{ "utf-8", NULL }, { "utf8", NULL }, { "us-ascii", "CP1252" }, { "ascii", "CP1252" },
	{ "iso-8859-1", "CP1252" }, { "latin1", "CP1252" }, { "windows-1252", "CP1252" }, { "cp1252", "CP1252" },
	{ "iso-8859-2", "ISO-8859-2" }, { "iso-8859-3", "ISO-8859-3" }, { "iso-8859-4", "ISO-8859-4" }, { "iso-8859-5", "ISO-8859-5" },
	{ "iso-8859-6", "ISO-8859-6" }, { "iso-8859-7", "ISO-8859-7" }, { "iso-8859-8", "ISO-8859-8" }, { "iso-8859-8-i", "ISO-8859-8" },
	{ "iso-8859-9", "ISO-8859-9" }, { "iso-8859-10", "ISO-8859-10" }, { "iso-8859-13", "ISO-8859-13" }, { "iso-8859-14", "ISO-8859-14" },
	{ "iso-8859-15", "ISO-8859-15" }, { "iso-8859-16", "ISO-8859-16" },
	{ "windows-1250", "CP1250" }, { "windows-1251", "CP1251" }, { "windows-1253", "CP1253" }, { "windows-1254", "CP1254" },
	{ "windows-1255", "CP1255" }, { "windows-1256", "CP1256" }, { "windows-1257", "CP1257" }, { "windows-1258", "CP1258" },
	{ "windows-874", "CP874" }, { "tis-620", "TIS-620" }, { "koi8-r", "KOI8-R" }, { "koi8-u", "KOI8-U" }, { "cp866", "CP866" }, { "ibm866", "CP866" },
	{ "macintosh", "MACINTOSH" }, { "gb2312", "GB18030" }, { "gbk", "GB18030" }, { "gb18030", "GB18030" }, { "big5", "BIG5" },
	{ "iso-2022-jp", "ISO-2022-JP" }, { "shift_jis", "CP932" }, { "shift-jis", "CP932" }, { "sjis", "CP932" }, { "euc-jp", "EUC-JP" },
	{ "euc-kr", "CP949" }, { "ks_c_5601-1987", "CP949" }, { "iso-2022-kr", "ISO-2022-KR" },
};

static ptrdiff_t find(struct slice charset)
{
	for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++)
		if (slice_ieqs(charset, charsets[i].name))
			return (ptrdiff_t)i;
	return -1;
}

bool charset_is_known(struct slice charset)
{
	return find(charset) >= 0;
}

static size_t utf8_run(struct slice s)
{
	size_t n = 0, more;

	while ((more = text_utf8_len(slice_from(s, n))) > 0)
		n += more;
	return n;
}

static int copy_utf8(struct slice octets, struct buf *out)
{
	while (octets.n > 0) {
		size_t n = utf8_run(octets);

		if (buf_add(out, n > 0 ? slice_head(octets, n) : SLICE(REPLACEMENT)) < 0)
			return -1;
		octets = slice_from(octets, n > 0 ? n : 1);
	}
	return 0;
}

/* iconv's second argument is not const though it only reads; a copy of the octets would be the price of a clean cast. */
union reading {
	const char *from;
	char *to_iconv;
};

static int convert(iconv_t cd, struct slice octets, struct buf *out)
{
	union reading in = { .from = octets.p };
	size_t left = octets.n;

	while (left > 0) {
		char piece[512], *to = piece;
		size_t room = sizeof(piece), rc = iconv(cd, &in.to_iconv, &left, &to, &room);
		int why = errno;

		if (buf_add(out, slice_mem(piece, sizeof(piece) - room)) < 0)
			return -1;
		if (rc != (size_t)-1 || why == E2BIG)
			continue;
		if (buf_adds(out, REPLACEMENT) < 0)                   /* EILSEQ: skip one octet; EINVAL: cut at the end */
			return -1;
		in.from++;
		left = why == EINVAL ? 0 : left - 1;
	}
	return 0;
}

/* ASCII is the same in all of them but those that switch by escape sequences. */
static bool needs_iconv(const char *name, struct slice octets)
{
	if (name == NULL)
		return false;
	return !text_is_ascii(octets) || slice_find(slice_of(name), SLICE("2022")) >= 0;
}

int charset_to_utf8(struct slice charset, struct slice octets, struct buf *out)
{
	ptrdiff_t at = find(charset);
	size_t was = out->len;
	int rc;

	if (at < 0)
		return -1;
	if (needs_iconv(charsets[at].iconv, octets)) {
		iconv_t cd = iconv_open("UTF-8", charsets[at].iconv);

		if (cd == (iconv_t)-1)
			return -1;
		rc = convert(cd, octets, out);
		iconv_close(cd);
	} else {
		rc = copy_utf8(octets, out);
	}
	if (rc < 0)
		buf_cut(out, was);
	return rc;
}
