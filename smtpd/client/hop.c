/*
 * client/hop.c - see hop.h.
 */
#include "client/hop.h"

#include <string.h>

#include "base/num.h"

static int take_port(struct slice s, struct hop *h)
{
	uint32_t port;

	if (s.n == 0)
		return 0;
	if (s.p[0] != ':' || num_u32(slice_from(s, 1), 65535, &port) < 0 || port == 0)
		return -1;
	h->port = (uint16_t)port;
	return 0;
}

static int take_host(struct slice s, struct hop *h)
{
	if (s.n == 0 || s.n >= sizeof(h->host))
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return -1;
		h->host[i] = h->is_path ? s.p[i] : ascii_lower(s.p[i]);
	}
	h->host[s.n] = '\0';
	if (!h->is_path && s.n > 1 && h->host[s.n - 1] == '.')
		h->host[s.n - 1] = '\0';
	return 0;
}

int hop_parse(struct slice s, struct hop *out)
{
	struct hop h = { .use_mx = true };
	ptrdiff_t at;

	s = slice_trim(s);
	if (slice_istarts(s, SLICE("lmtp:"))) {
		s = slice_from(s, 5);
		h.lmtp = true;
		h.use_mx = false;
		h.is_path = s.n > 0 && s.p[0] == '/';
	} else if (slice_istarts(s, SLICE("smtp:"))) {
		s = slice_from(s, 5);
	}
	if (h.is_path) {
		if (take_host(s, &h) < 0)
			return -1;
	} else if (s.n > 0 && s.p[0] == '[') {
		h.use_mx = false;
		at = slice_chr(s, ']');
		if (at < 0 || take_host(slice_head(slice_from(s, 1), (size_t)at - 1), &h) < 0 || take_port(slice_from(s, (size_t)at + 1), &h) < 0)
			return -1;
	} else {
		at = slice_chr(s, ':');
		if (take_host(at < 0 ? s : slice_head(s, (size_t)at), &h) < 0 || take_port(at < 0 ? SLICE("") : slice_from(s, (size_t)at), &h) < 0)
			return -1;
	}
	*out = h;
	return 0;
}

static int by_preference(const void *a, const void *b)
{
	const struct mx *x = a, *y = b;

	return x->preference < y->preference ? -1 : x->preference > y->preference;
}

void mx_sort(struct mx *list, size_t n, uint64_t luck)
{
	/* A shuffle, then a sort that is made stable by hand: insertion keeps equal ones as the shuffle left them. */
	for (size_t i = n; i > 1; i--) {
		luck = luck * 6364136223846793005u + 1442695040888963407u;
		size_t j = (size_t)((luck >> 33) % i);
		struct mx tmp = list[i - 1];

		list[i - 1] = list[j];
		list[j] = tmp;
	}
	for (size_t i = 1; i < n; i++) {
		struct mx m = list[i];
		size_t j = i;

		for (; j > 0 && by_preference(&list[j - 1], &m) > 0; j--)
			list[j] = list[j - 1];
		list[j] = m;
	}
}

size_t mx_cut_at_us(const struct mx *list, size_t n, const char *our_name)
{
	for (size_t i = 0; i < n; i++) {
		if (!slice_ieqs(slice_of(list[i].host), our_name))
			continue;
		while (i > 0 && list[i - 1].preference == list[i].preference)
			i--;
		return i;
	}
	return n;
}

bool mx_is_null(const struct mx *list, size_t n)
{
	return n == 1 && list[0].host[0] == '\0';
}
