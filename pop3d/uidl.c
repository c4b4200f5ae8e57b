/* pop3d/uidl.c - unique-ids by format, so that users who come from another server download nothing again. */
#include "pop3d/pop3.h"

#include "base/num.h"

enum { UIDL_MAX = 70 };                                               /* RFC 1939 7 */

struct field {
	unsigned width;
	bool zero, hex, upper;
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
		f.upper = *p++ == 'X';
	}
	f.what = *p;
	*out = f;
	return *p != '\0' ? p + 1 : p;
}

static size_t put_number(const struct field *f, uint32_t v, char *to)
{
	const char *digits = f->upper ? "0123456789ABCDEF" : "0123456789abcdef";
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
