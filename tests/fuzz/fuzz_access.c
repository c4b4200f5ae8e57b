/*
 * The value of an access entry, a network as a list writes it, and the folding of keys: whatever an admin typed. A value that refuses has a status of its
 * class; a network that is read has no host bits; a folded key folds to itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/idn.h"
#include "route/domains.h"
#include "server/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct slice in, struct arena *a)
{
	struct access_hit hit = { .verb = ACCESS_NONE };

	access_read_value(in, a, &hit);
	if (hit.verb != ACCESS_REJECT && hit.verb != ACCESS_DEFER && hit.verb != ACCESS_BROKEN)
		return;
	if (hit.why == CODE_NONE || strlen(hit.status) < 9 || hit.status[0] != (hit.verb == ACCESS_REJECT ? '5' : '4') || hit.status[4] != hit.status[0])
		abort();
}

static void check_net(struct slice in)
{
	struct net_prefix p;
	struct net_addr self;

	if (!domains_read_net(in, &p))
		return;
	self = p.addr;
	if ((p.addr.len != 4 && p.addr.len != 16) || p.bits > 8 * p.addr.len || !net_prefix_has(&p, &self))
		abort();
}

static void check_fold(struct slice in, struct arena *a)
{
	struct slice once = idn_fold_key(in, a), out = SLICE_NONE;

	if (memchr(once.p, '\0', once.n) == NULL && !slice_ends(once, SLICE(".")) && !slice_eq(idn_fold_key(once, a), once))
		abort();
	if (idn_to_ascii(in, a, &out) == 0)
		for (size_t i = 0; i < out.n; i++)
			if ((unsigned char)out.p[i] >= 0x80)
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(data, size);
	struct arena *a = arena_new(0);

	check_value(in, a);
	check_net(in);
	check_fold(in, a);
	arena_free(&a);
	return 0;
}
