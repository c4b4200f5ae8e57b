/*
 * io/dns.h - questions to the DNS by libunbound, answered from the loop.
 *
 * libunbound works in a thread of its own, started by the first question (SANDBOX_THREADS, SANDBOX_NET_OUT). dns_new() reads resolv.conf and hosts,
 * so make it before the sandbox closes. A bogus DNSSEC answer counts as DNS_FAILED, never as "no such name".
 */
#ifndef IO_DNS_H
#define IO_DNS_H

#include <stdbool.h>

#include "io/loop.h"
#include "io/net.h"

struct dns;
struct dns_query;

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };
enum dns_status { DNS_OK, DNS_NO_NAME, DNS_NO_DATA, DNS_FAILED, DNS_TIMEOUT };      /* the last two: try again later */

struct dns_answer {
	enum dns_status status;
	const char *why;                                              /* in words; "" for DNS_OK */
	size_t n;                                                     /* records; 0 unless DNS_OK */
	const struct slice *data;                                     /* rdata, names uncompressed; borrowed for the call */
};
typedef void dns_fn(void *ctx, const struct dns_answer *a);

/* server: "ADDR@PORT", "" for those of the resolv_conf file (which then must exist, or libunbound asks the root servers itself). With a server of one's
   own the reserved domain "test" is asked there too. */
int dns_new(struct dns **d_out, struct loop *l, const char *resolv_conf, const char *server, struct err *e) WARN_UNUSED;
void dns_free(struct dns **d);                                        /* no question may be open */

/* fn is called once, from the loop, after timeout_ms at the latest. name: without trailing dot; UTF-8 is asked for in A-labels. */
struct dns_query *dns_ask(struct dns *d, struct slice name, enum dns_type type, int timeout_ms, dns_fn *fn, void *ctx);
/* The name of an address (PTR), in-addr.arpa or ip6.arpa. */
struct dns_query *dns_ask_ptr(struct dns *d, const struct net_addr *a, int timeout_ms, dns_fn *fn, void *ctx);
void dns_cancel(struct dns_query **q);                                /* fn is not called; fine for NULL */

/* Reading rdata. -1: malformed. Names come lower-case, without the last dot, "" for the root; octets that no host name has are refused. */
int dns_get_name(struct slice rdata, char out[256]) WARN_UNUSED;
int dns_get_mx(struct slice rdata, unsigned *preference_out, char exchange_out[256]) WARN_UNUSED;
int dns_get_addr(struct slice rdata, struct net_addr *out) WARN_UNUSED;   /* A and AAAA; port is 0 */

#endif
