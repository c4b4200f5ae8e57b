/*
 * The header of the PROXY protocol: MORE of a prefix stays MORE or becomes the same answer; what is used is there; an address that it names can be written.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "io/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = slice_mem(p, n);
	struct proxy_header h, h2;
	char text[NET_TEXT_MAX];
	struct net_addr back;
	size_t used = 0, used2 = 0;

	if (proxy_header_take(in, &h, &used) != PROXY_OK)
		return 0;
	if (used > n || used == 0 || used > LIMIT_PROXY_HEADER || proxy_header_take(slice_head(in, used - 1), &h2, &used2) != PROXY_MORE)
		abort();
	if (proxy_header_take(slice_head(in, used), &h2, &used2) != PROXY_OK || used2 != used || h2.local != h.local)
		abort();
	if (!h.local && (net_addr_parse(slice_of(net_addr_text(&h.client, text)), &back) != 0 || !net_addr_eq(&back, &h.client)))
		abort();
	return 0;
}
