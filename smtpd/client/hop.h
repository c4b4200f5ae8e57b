/*
 * client/hop.h - where a next hop leads: its text taken apart, and MX records in the order to be tried. Pure.
 *
 *   example.net          by MX (or A, AAAA where there is none)      [mail.example.net]:2525    that host, no MX
 *   example.net:2525     the same, another port                      [192.0.2.1], [2001:db8::1]:25
 *   lmtp:[host]:24       LMTP                                        lmtp:/path/to/socket
 */
#ifndef CLIENT_HOP_H
#define CLIENT_HOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct hop {
	bool lmtp, use_mx;
	char host[256];                                               /* domain, host name or address; the path of a socket */
	bool is_path;
	uint16_t port;                                                /* 0: the default one */
};
int hop_parse(struct slice next_hop, struct hop *out) WARN_UNUSED;

struct mx { unsigned preference; char host[256]; };
/* Best first; equal ones in an order that `luck` (random, one number) decides (RFC 5321 5.1). */
void mx_sort(struct mx *list, size_t n, uint64_t luck);
/* We are one of them: those no better than us are cut off (RFC 5321 5.1). Returns how many are left. The list is sorted. */
size_t mx_cut_at_us(const struct mx *list, size_t n, const char *our_name);
bool mx_is_null(const struct mx *list, size_t n);                     /* RFC 7505: a single one, for the root */

#endif
