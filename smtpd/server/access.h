/*
 * server/access.h - the access map, with sendmail's semantics: which key is tried when, and what its value says.
 *
 * Keys: "Tag:key" first, then "key" without tag, at each step of a search.
 *	D(domain)   the full name, then without its leftmost label, and so on
 *	A(address)  the whole address, then without its last octet (IPv4) or hextet (IPv6, written "IPv6:2001:db8"), and so on; among them CIDR
 *	            keys, longest prefix first (ours)
 *	F(address)  user+ext@domain, user+*@domain, user@domain
 *	U(user)     user+ext@, user+*@, user@
 * SKIP ends a search with nothing found. Values are read without regard to case.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include "base/arena.h"
#include "base/err.h"
#include "io/net.h"
#include "mail/path.h"
#include "reply/codes.h"

struct access;

/* path: the text map; one that is missing is empty. */
int access_open(struct access **a_out, const char *path, struct err *e) WARN_UNUSED;
void access_close(struct access **a);
int access_refresh(struct access *a, struct err *e) WARN_UNUSED;      /* cheap: a stat. Once a session */

enum access_verb { ACCESS_NONE, ACCESS_OK, ACCESS_RELAY, ACCESS_REJECT, ACCESS_DISCARD, ACCESS_HOLD, ACCESS_DEFER, ACCESS_SKIP, ACCESS_BROKEN };

struct access_hit {
	enum access_verb verb;
	const char *status;                                           /* REJECT, DEFER, BROKEN: "550 5.7.1" ... */
	struct slice text;                                            /* ... and "Access denied" */
	enum code why;
	struct slice key;                                             /* that was found */
	const char *where;                                            /* "access:12" */
};

/* Each returns 0 with *hit_out (verb NONE: no entry), or -1 where the map can't be read (ERR_TEMP: fail closed). Texts live in the arena. */
int access_client_name(struct access *a, struct slice name, struct arena *ar, struct access_hit *hit_out, struct err *e) WARN_UNUSED;   /* Connect: D */
int access_client_addr(struct access *a, const struct net_addr *addr, struct arena *ar, struct access_hit *hit_out, struct err *e) WARN_UNUSED; /* Connect: A */
int access_sender(struct access *a, const struct path *sender, struct arena *ar, struct access_hit *hit_out, struct err *e) WARN_UNUSED;        /* From: F, U, D */
int access_rcpt_block(struct access *a, const struct path *rcpt, bool is_local, struct arena *ar, struct access_hit *hit_out, struct err *e) WARN_UNUSED; /* To: F, U, D */
int access_rcpt_relay(struct access *a, const struct path *rcpt, struct arena *ar, struct access_hit *hit_out, struct err *e) WARN_UNUSED;      /* To: F, D */

const char *access_warning(const struct access *a);                   /* "", or why the newest text is not in use */
unsigned access_generation(const struct access *a);                    /* changes with the content */
bool access_has_names(const struct access *a);                        /* is there any RELAY for a client's name? */

/* One value. Pure; never fails: what is not understood is BROKEN, which is a 451, so that a typing error closes rather than opens. */
void access_read_value(struct slice value, struct arena *ar, struct access_hit *hit_out);

/* Walks what answers: the text, with its lines; where it is broken or missing, what is in use instead, with line 0. */
struct access_entry { unsigned line; struct slice tag, key; struct access_hit hit; };        /* tag: "connect", "from", "to", "" */
int access_walk(struct access *a, int (*fn)(void *ctx, const struct access_entry *en, struct err *e), void *ctx, struct err *e) WARN_UNUSED;
/* The text alone; a missing one is empty. */
int access_each(const char *path, int (*fn)(void *ctx, const struct access_entry *en, struct err *e), void *ctx, struct err *e) WARN_UNUSED;

#endif
