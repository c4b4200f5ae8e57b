#include "base/num.h"


static int digit_of(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	return 99;
}

static int read_base(struct slice s, unsigned base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)digit_of(s.p[i]);

		if (d >= base || v > (UINT64_MAX - d) / base)
			return -1;
		v = v * base + d;
	}
	if (v > max)
		return -1;
	*out = v;
	return 0;
}

int num_u64(struct slice s, uint64_t max, uint64_t *out)
{
	return read_base(s, 10, max, out);
}

int num_u32(struct slice s, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (num_u64(s, max, &v) < 0)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

int num_i64(struct slice s, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t v, max = (uint64_t)INT64_MAX + (negative ? 1 : 0);

	if (num_u64(negative ? slice_from(s, 1) : s, max, &v) < 0)
		return -1;
	*out = !negative ? (int64_t)v : v > INT64_MAX ? INT64_MIN : -(int64_t)v;
	return 0;
}

int num_hex(struct slice s, uint64_t *out)
{
	char lower[16];

	if (s.n > sizeof(lower))
		return -1;
	for (size_t i = 0; i < s.n; i++)
		lower[i] = ascii_lower(s.p[i]);
	return read_base(slice_mem(lower, s.n), 16, UINT64_MAX, out);
}

int num_base36(struct slice s, uint64_t max, uint64_t *out)
{
	return read_base(s, 36, max, out);
}

size_t num_to_base36(uint64_t v, char out[14])
{
	char back[13];
	size_t n = 0;

	do {
		back[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[v % 36];
		v /= 36;
	} while (v > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = back[n - 1 - i];
	out[n] = '\0';
	return n;
}

struct unit {
	char letter;
	uint64_t factor;
};

/* Largest first: the printer takes the first that divides. */
static const struct unit time_units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 }, { 0, 0 } };
static const struct unit size_units[] = { { 'T', 1ull << 40 }, { 'G', 1ull << 30 }, { 'M', 1ull << 20 }, { 'K', 1ull << 10 }, { 0, 0 } };

static int read_unit(struct slice s, const struct unit *units, bool any_case, uint64_t *out)
{
	uint64_t factor = 1, v;

	if (s.n > 0 && !ascii_is_digit(s.p[s.n - 1])) {
		char c = s.p[s.n - 1];

		while (units->letter != 0 && units->letter != c && !(any_case && units->letter == ascii_upper(c)))
			units++;
		if (units->letter == 0)
			return -1;
		factor = units->factor;
		s.n--;
	}
	if (num_u64(s, UINT64_MAX / factor, &v) < 0)
		return -1;
	*out = v * factor;
	return 0;
}

static void put_unit(struct buf *b, uint64_t v, const struct unit *units)
{
	while (units->letter != 0 && (v == 0 || v % units->factor != 0))
		units++;
	if (units->letter == 0)
		buf_putf(b, "%llu", (unsigned long long)v);
	else
		buf_putf(b, "%llu%c", (unsigned long long)(v / units->factor), units->letter);
}

int num_secs(struct slice s, uint64_t *secs_out)
{
	return read_unit(s, time_units, false, secs_out);
}

int num_size(struct slice s, uint64_t *octets_out)
{
	return read_unit(s, size_units, true, octets_out);
}

void num_put_secs(struct buf *b, uint64_t secs)
{
	put_unit(b, secs, time_units);
}

void num_put_size(struct buf *b, uint64_t octets)
{
	put_unit(b, octets, size_units);
}

static void put_le(void *p, uint64_t v, size_t n)
{
	unsigned char *to = p;

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_le(const void *p, size_t n)
{
	const unsigned char *from = p;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)from[i] << (8 * i);
	return v;
}

void num_put_le16(void *p, uint16_t v)
{
	put_le(p, v, 2);
}

void num_put_le32(void *p, uint32_t v)
{
	put_le(p, v, 4);
}

void num_put_le64(void *p, uint64_t v)
{
	put_le(p, v, 8);
}

uint16_t num_get_le16(const void *p)
{
	return (uint16_t)get_le(p, 2);
}

uint32_t num_get_le32(const void *p)
{
	return (uint32_t)get_le(p, 4);
}

uint64_t num_get_le64(const void *p)
{
	return get_le(p, 8);
}
