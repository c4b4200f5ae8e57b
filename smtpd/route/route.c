/*
 * route/route.c - the router: its maps, the class of a domain, and the questions of the front. The expansion itself is expand.c.
 */
#include "route/route_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idn.h"
#include "conf/conf.h"

/* A map setting is a name in config_directory, a path, or "type:/path". */
static char *map_path(const struct settings *s, const char *name)
{
	char *path = NULL;

	if (name[0] == '/' || strchr(name, ':') != NULL)
		path = strdup(name);
	else if (asprintf(&path, "%s/%s", s->config_directory, name) < 0)
		path = NULL;
	if (path == NULL)
		abort();
	return path;
}

static int open_map(struct map **m_out, const char *type, const char *path, struct err *e)
{
	char spec[4096];

	if (path[0] == '/')
		snprintf(spec, sizeof(spec), "%s%s", type, path);
	else
		snprintf(spec, sizeof(spec), "%s", path);
	return map_open(m_out, spec, e);
}

static int open_named(struct map **m_out, const struct settings *s, const char *type, const char *name, struct err *e)
{
	char *path = map_path(s, name);
	int r = open_map(m_out, type, path, e);

	free(path);
	return r;
}

/* In A-labels. */
static struct slice first_domain(const struct settings *s, struct arena *a)
{
	struct slice rest = slice_of(s->mydestination), word, domain;

	if (s->default_domain[0] != '\0')
		word = slice_of(s->default_domain);
	else if (!conf_word(&rest, &word))
		word = slice_of(s->myhostname);
	return idn_to_ascii(word, a, &domain) == 0 ? domain : word;
}

static int open_maps(struct router *r, struct err *e)
{
	const struct settings *s = r->s;

	if (users_open(&r->users, s->accounts_db, e) != 0)
		return -1;
	if (open_map(&r->aliases, "aliases:", r->alias_path, e) != 0 || open_map(&r->virt, "table:", r->virtual_path, e) != 0)
		return -1;
	if (open_named(&r->transport, s, "table:", s->transport_maps, e) != 0 || open_named(&r->generics, s, "table:", s->generic_maps, e) != 0)
		return -1;
	if (open_map(&r->local_file, "list:", r->local_path, e) != 0 || open_map(&r->relay_file, "list:", r->relay_path, e) != 0)
		return -1;
	return 0;
}

/* ---- what is derived from the maps ---- */

/* "user@dom" or "@dom": the domain is ours. */
static int add_virtual(void *ctx, struct slice key, struct slice value)
{
	struct router *r = ctx;
	ptrdiff_t at = slice_rchr(key, '@');

	(void)value;
	if (at >= 0 && slice_from(key, (size_t)at + 1).n > 0)
		hmap_put(r->virtual_domains, slice_from(key, (size_t)at + 1), r);
	return 0;
}

static int derive_virtual(struct router *r, struct err *e)
{
	hmap_free(&r->virtual_domains);
	r->virtual_domains = hmap_new();
	r->virtual_seen = map_generation(r->virt);
	return map_each(r->virt, add_virtual, r, e);
}

static int derive_domains(struct router *r, struct err *e)
{
	struct domains *local = NULL, *relay = NULL;

	if (domains_new(&local, conf_where(r->s, "mydestination", r->arena), r->s->mydestination, r->local_path, e) != 0)
		return -1;
	if (domains_new(&relay, conf_where(r->s, "relay_domains", r->arena), r->s->relay_domains, r->relay_path, e) != 0) {
		domains_free(&local);
		return -1;
	}
	domains_free(&r->local);
	domains_free(&r->relay);
	r->local = local;
	r->relay = relay;
	r->local_seen = map_generation(r->local_file);
	r->relay_seen = map_generation(r->relay_file);
	return 0;
}

int router_new(struct router **r_out, const struct settings *s, struct err *e)
{
	struct router *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	r->s = s;
	r->arena = arena_new(0);
	r->default_domain = first_domain(s, r->arena);
	r->alias_path = map_path(s, s->alias_maps);
	r->virtual_path = map_path(s, s->virtual_alias_maps);
	r->local_path = map_path(s, s->local_host_names);
	r->relay_path = map_path(s, s->relay_domains_file);
	if (open_maps(r, e) != 0 || derive_domains(r, e) != 0 || derive_virtual(r, e) != 0) {
		router_free(&r);
		return -1;
	}
	*r_out = r;
	return 0;
}

void router_free(struct router **rp)
{
	struct router *r = *rp;

	if (r == NULL)
		return;
	users_close(&r->users);
	map_close(&r->aliases);
	map_close(&r->virt);
	map_close(&r->transport);
	map_close(&r->generics);
	map_close(&r->local_file);
	map_close(&r->relay_file);
	domains_free(&r->local);
	domains_free(&r->relay);
	hmap_free(&r->virtual_domains);
	free(r->alias_path);
	free(r->virtual_path);
	free(r->local_path);
	free(r->relay_path);
	arena_free(&r->arena);
	free(r);
	*rp = NULL;
}

int router_refresh(struct router *r, struct err *e)
{
	if (map_refresh(r->aliases, e) != 0 || map_refresh(r->virt, e) != 0 || map_refresh(r->transport, e) != 0 || map_refresh(r->generics, e) != 0 ||
	    map_refresh(r->local_file, e) != 0 || map_refresh(r->relay_file, e) != 0)
		return -1;
	if (map_generation(r->local_file) != r->local_seen || map_generation(r->relay_file) != r->relay_seen)
		(void)(derive_domains(r, e) != 0);                    /* a broken text: the lists stay, router_warnings() says so */
	return map_generation(r->virt) != r->virtual_seen ? derive_virtual(r, e) : 0;
}

unsigned router_generation(const struct router *r)
{
	return map_generation(r->virt) + map_generation(r->local_file) + map_generation(r->relay_file) + map_generation(r->transport);
}

struct slice router_default_domain(const struct router *r)
{
	return r->default_domain;
}

/* ---- classes ---- */

enum route_class route_class_of(struct router *r, struct slice domain)
{
	char key[256];

	if (domain.n == 0 || domains_find(r->local, domain) != NULL)
		return ROUTE_LOCAL;
	if (domain.n < sizeof(key)) {
		for (size_t i = 0; i < domain.n; i++)
			key[i] = ascii_lower(domain.p[i]);
		if (hmap_get(r->virtual_domains, slice_mem(key, domain.n)) != NULL)
			return ROUTE_VIRTUAL;
	}
	return domains_find_parents(r->relay, domain) != NULL ? ROUTE_RELAY : ROUTE_REMOTE;
}

bool route_is_relay_client(struct router *r, struct slice name_or_empty, const struct net_addr *addr_or_null)
{
	if (name_or_empty.n > 0 && domains_find_parents(r->relay, name_or_empty) != NULL)
		return true;
	return addr_or_null != NULL && domains_find_addr(r->relay, addr_or_null) != NULL;
}

const char *route_where_listed(struct router *r, struct slice domain)
{
	const char *where = domains_find(r->local, domain);

	if (where == NULL)
		where = domains_find_parents(r->relay, domain);
	return where == NULL ? "" : where;
}

bool route_has_relay_names(const struct router *r)
{
	return domains_has_names(r->relay);
}

/* ---- questions ---- */

static void expansion_init(struct expansion *x, struct router *r, struct arena *a, bool may_read, struct buf *steps, struct err *e)
{
	*x = (struct expansion){ .r = r, .a = a, .may_read = may_read, .steps = steps, .seen = hmap_new(), .e = e };
}

static void expansion_done(struct expansion *x)
{
	hmap_free(&x->seen);
}

int route_expand(struct router *r, const struct slice *rcpts, size_t n, struct arena *a, struct final **finals_out, size_t *n_out, struct err *e)
{
	struct expansion x;
	int result = 0;

	expansion_init(&x, r, a, true, NULL, e);
	for (size_t i = 0; i < n && result == 0; i++) {
		x.from = i;
		if (i > 0) {
			hmap_free(&x.seen);
			x.seen = hmap_new();
		}
		result = expand_recipient(&x, rcpts[i]);
	}
	expansion_done(&x);
	if (result != 0)
		return -1;
	*finals_out = x.finals;
	*n_out = x.n;
	return 0;
}

int route_explain(struct router *r, struct slice rcpt, struct buf *steps, struct arena *a, struct final **finals_out, size_t *n_out, struct err *e)
{
	struct expansion x;
	int result;

	expansion_init(&x, r, a, true, steps, e);
	result = expand_recipient(&x, rcpt);
	expansion_done(&x);
	if (result == 0) {
		*finals_out = x.finals;
		*n_out = x.n;
	}
	return result;
}

/* "550 5.1.1 text" into its code and text. */
static void set_verdict(struct route_verdict *v, struct slice error, struct arena *a)
{
	struct slice rest = error, code, dsn;

	v->ok = false;
	(void)slice_word(&rest, &code);
	(void)slice_word(&rest, &dsn);
	v->code = arena_printf(a, "%.*s %.*s", SLICE_FMT(code), SLICE_FMT(dsn));
	v->text = slice_trim(rest);
}

bool route_goes_by_mx(struct router *r, const struct path *rcpt, struct arena *a)
{
	struct final f;
	struct err e = ERR_INIT;
	const char *where = "";

	return transport_find(r, path_text(rcpt, a), rcpt->domain, a, &f, &where, &e) == 1 && f.kind == FINAL_REMOTE && strcmp(where, "MX") == 0;
}

/* One way that works is enough: who writes to a list should not be refused because of one stale member. */
int route_check(struct router *r, const struct path *rcpt, struct arena *a, struct route_verdict *out, struct err *e)
{
	struct route_verdict v = { .ok = true, .code = "", .text = SLICE_NONE };
	struct expansion x;
	const struct final *error = NULL;
	int result;

	expansion_init(&x, r, a, false, NULL, e);
	x.enough = ROUTE_CHECK_GOODS;
	result = expand_recipient(&x, path_text(rcpt, a));
	expansion_done(&x);
	if (result != 0)
		return -1;
	for (size_t i = 0; i < x.n; i++) {
		if (x.finals[i].kind != FINAL_ERROR) {
			error = NULL;
			break;
		}
		if (error == NULL)
			error = &x.finals[i];
	}
	if (error != NULL)
		set_verdict(&v, error->text, a);
	v.finals = x.finals;
	v.n = x.n;
	*out = v;
	return 0;
}

size_t route_with_quota(const struct final *finals, size_t n, size_t most, struct slice *users_out)
{
	size_t n_users = 0;

	for (size_t i = 0; i < n; i++) {
		const struct final *f = &finals[i];

		if (f->kind == FINAL_ERROR)
			continue;
		if (f->kind != FINAL_MAILBOX || !f->has_quota || n_users == most)
			return 0;                                     /* another server, a list that the front may not read: they take it */
		users_out[n_users++] = f->user;
	}
	return n_users;
}

/* The maps are asked forwards: does this sender address lead, also, to that user's mailbox? */
int route_owns(struct router *r, struct slice user, const struct path *sender, struct err *e)
{
	struct arena *a;
	struct expansion x;
	int result;
	int owns = 0;

	if (sender->is_null || route_class_of(r, sender->domain) >= ROUTE_RELAY)
		return 0;
	a = arena_new(0);
	expansion_init(&x, r, a, false, NULL, e);
	result = expand_recipient(&x, path_text(sender, a));
	expansion_done(&x);
	for (size_t i = 0; result == 0 && i < x.n && owns == 0; i++)
		owns = x.finals[i].kind == FINAL_MAILBOX && slice_ieq(x.finals[i].user, user);
	arena_free(&a);
	return result != 0 ? -1 : owns;
}

int route_user(struct router *r, struct slice name, struct arena *a, struct user *out, struct err *e)
{
	return users_get(r->users, name, a, out, e);
}

int route_generic(struct router *r, const struct path *address, struct arena *a, struct slice *out, struct err *e)
{
	struct slice full = path_text(address, a), user, detail;
	int found;

	if (address->is_null)
		return 0;
	found = map_get(r->generics, full, a, out, e);
	route_split(r, address->local, &user, &detail);
	if (found == 0 && detail.p != NULL)
		found = map_get(r->generics, slice_of(arena_printf(a, "%.*s@%.*s", SLICE_FMT(user), SLICE_FMT(address->domain))), a, out, e);
	if (found == 0)
		found = map_get(r->generics, slice_of(arena_printf(a, "@%.*s", SLICE_FMT(address->domain))), a, out, e);
	if (found == 0 && route_class_of(r, address->domain) == ROUTE_LOCAL)
		found = map_get(r->generics, user, a, out, e);
	return found;
}

void route_split(const struct router *r, struct slice local, struct slice *user_out, struct slice *detail_out)
{
	*user_out = local;
	*detail_out = SLICE_NONE;
	for (size_t i = 1; i < local.n; i++)
		if (strchr(r->s->recipient_delimiter, local.p[i]) != NULL) {
			*user_out = slice_head(local, i);
			*detail_out = slice_from(local, i + 1);
			return;
		}
}

struct slice route_lower(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return slice_mem(p, s.n);
}
