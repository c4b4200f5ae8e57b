/*
 * base/idn.c - libidn2, only where there is an octet beyond ASCII.
 */
#include "base/idn.h"

#include <idn2.h>
#include <string.h>

#include "base/text.h"

static struct slice lower(struct slice s, struct arena *a, bool *is_ascii_out)
{
	char *p = arena_alloc(a, s.n + 1);
	unsigned char all = 0;

	for (size_t i = 0; i < s.n; i++) {
		p[i] = ascii_lower(s.p[i]);
		all |= (unsigned char)s.p[i];
	}
	*is_ascii_out = all < 0x80;
	return slice_mem(p, s.n);
}

/* Fullwidth and ideographic forms become ASCII on the way, '@' and blanks among them: what comes out must be letters, digits, hyphens and single dots.
   Not by IDN2_USE_STD3_ASCII_RULES, which drops what it does not like, so that another domain comes out. */
static bool is_host_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool edge = i == 0 || i + 1 == s.n || s.p[i - 1] == '.' || s.p[i + 1] == '.';

		if (!ascii_is_alnum(s.p[i]) && (edge || (s.p[i] != '-' && s.p[i] != '.')))
			return false;
	}
	return s.n > 0;
}

static int to_labels(struct slice lowered, struct arena *a, struct slice *out)
{
	uint8_t *labels = NULL;
	struct slice name;

	if (text_has_ctl(lowered) || !text_is_utf8(lowered) ||
	    idn2_lookup_u8((const uint8_t *)lowered.p, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return -1;
	name = slice_of(arena_str(a, slice_of((const char *)labels)));
	idn2_free(labels);
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	if (!is_host_name(name))
		return -1;
	*out = name;
	return 0;
}

int idn_to_ascii(struct slice domain, struct arena *a, struct slice *out)
{
	bool is_ascii;
	struct slice lowered = lower(domain, a, &is_ascii);

	if (!is_ascii)
		return to_labels(lowered, a, out);
	*out = lowered;
	return 0;
}

/* Where the domain begins in a key that is not all ASCII; key.n: there is none. */
static size_t domain_at(struct slice key)
{
	ptrdiff_t at = slice_rchr(key, '@'), colon = slice_rchr(key, ':');
	size_t from = at >= 0 ? (size_t)at + 1 : colon >= 0 ? (size_t)colon + 1 : 0;

	if (at < 0 && slice_chr(slice_from(key, from), '.') < 0)
		return key.n;                                         /* an alias, a user */
	return from < key.n && key.p[from] == '.' ? from + 1 : from;
}

struct slice idn_fold_key(struct slice key, struct arena *a)
{
	struct slice folded, domain;
	bool is_ascii;
	size_t from;
	char *whole;

	if (key.n > 1 && key.p[key.n - 1] == '.')
		key.n--;
	folded = lower(key, a, &is_ascii);
	if (is_ascii)
		return folded;
	from = domain_at(folded);
	if (from == folded.n || idn_to_ascii(slice_from(folded, from), a, &domain) != 0)
		return folded;
	whole = arena_alloc(a, from + domain.n + 1);
	memcpy(whole, folded.p, from);
	memcpy(whole + from, domain.p, domain.n);
	return slice_mem(whole, from + domain.n);
}
