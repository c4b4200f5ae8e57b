/* pop3d/uidl.c - unique-ids by format, so that users who come from another server download nothing again. */
#include "pop3d/pop3.h"

#include <string.h>

#include "base/num.h"
#include "mail/header.h"
#include "pop3d/pop3d.h"

enum { UIDL_MAX = 70 };                                               /* RFC 1939 7 */

struct field {
	unsigned width;
	bool zero, hex;
	char what;
};

/* At the octet behind '%'; returns the octet behind the field. */
static const char *parse_field(const char *p, struct field *out)
{
	struct field f = { .zero = *p == '0' };

	for (; *p >= '0' && *p <= '9' && f.width < UIDL_MAX; p++)
		f.width = f.width * 10 + (unsigned)(*p - '0');
	if (f.width > UIDL_MAX)
		f.width = UIDL_MAX;
	if (*p == 'x' || *p == 'X') {
		f.hex = true;
		p++;
	}
	f.what = *p;
	*out = f;
	return *p != '\0' ? p + 1 : p;
}

static size_t put_number(const struct field *f, uint32_t v, char *to)
{
	static const char digits[] = "0123456789abcdef";              /* for X too: so Dovecot wrote them */
	unsigned base = f->hex ? 16 : 10, n = 0, len;
	char rev[16];

	do
		rev[n++] = digits[v % base];
	while ((v /= base) > 0);
	for (len = 0; len + n < f->width; len++)
		to[len] = f->zero ? '0' : ' ';
	while (n > 0)
		to[len++] = rev[--n];
	return len;
}

static size_t put_base36(uint32_t uidvalidity, uint32_t uid, char *to)
{
	char v[14], u[14];
	size_t nv = num_to_base36(uidvalidity, v), nu = num_to_base36(uid, u), n = 0;

	for (size_t i = 0; i < nv; i++)
		to[n++] = v[i];
	to[n++] = '.';
	for (size_t i = 0; i < nu; i++)
		to[n++] = u[i];
	return n;
}

static const struct { const char *word, *format; } presets[] = {
	{ "dovecot", "%08Xu%08Xv" },
	{ "courier", "UID%u-%v"   },
	{ "cyrus",   "%v.%u"      },
	{ "uw",      "%08Xv%08Xu" },
	{ "qpopper", "%h"         },
};

const char *pop3_uidl_format(const char *setting)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (strcmp(setting, presets[i].word) == 0)
			return presets[i].format;
	return setting;
}

/* Whether no two messages of a maildrop can get the same. */
static bool tells_apart(const char *format)
{
	bool told = false;

	for (const char *p = format; *p != '\0';) {
		struct field f;

		if (*p++ != '%')
			continue;
		p = parse_field(p, &f);
		if (f.what == '\0' || strchr("uvfh%", f.what) == NULL)
			return false;
		told = told || f.what == 'u' || f.what == 'f' || f.what == 'h';
	}
	return told;
}

int pop3_uidl_check(const struct settings *s, struct err *e)
{
	if (tells_apart(pop3_uidl_format(s->pop3_uidl_format)))
		return 0;
	return err_set(e, ERR_SYNTAX, 0, "pop3_uidl_format in %s: \"%s\" is none of dovecot, courier, cyrus, uw, qpopper and no format that has %%u, %%f or %%h and else only %%v and %%%%",
	    s->path, s->pop3_uidl_format);
}

static bool is_id(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0 && s.n <= UIDL_MAX;
}

bool pop3_uidl_of_header(struct slice message, struct slice *id_out)
{
	struct slice body, header, id, received;
	bool has_end;

	header = header_split(message, &body, &has_end);
	if (!header_find(header, SLICE("X-UIDL"), &id) || !is_id(slice_trim(id)))
		return false;
	if (header_find(header, SLICE("Received"), &received) && slice_find(received, SLICE(" (Posthouse) with ")) >= 0)
		return false;
	*id_out = slice_trim(id);
	return true;
}

void pop3_put_uidl(const char *format, uint32_t uidvalidity, uint32_t uid, struct buf *out)
{
	char field[UIDL_MAX + 32];
	size_t total = 0, n;

	for (const char *p = format; *p != '\0';) {
		struct field f;

		n = 0;
		if (*p != '%') {
			field[n++] = *p++;
		} else {
			p = parse_field(p + 1, &f);
			if (f.what == 'u' || f.what == 'v')
				n = put_number(&f, f.what == 'u' ? uid : uidvalidity, field);
			else if (f.what == 'f')
				n = put_base36(uidvalidity, uid, field);
			else if (f.what == '%')
				field[n++] = '%';
		}
		for (size_t i = 0; i < n && total < UIDL_MAX; i++) {
			if (field[i] > 0x20 && field[i] < 0x7f) {
				buf_putc(out, field[i]);
				total++;
			}
		}
	}
}
