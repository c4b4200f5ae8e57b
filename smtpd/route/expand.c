/*
 * route/expand.c - from a recipient to its final places. Depth-first, with the way there on a stack, so a loop is seen when it closes.
 *
 * A loop with another way out (all: joe, all2 / all2: all) is cut where it closes; one without a way out is 554 5.4.6. An alias that names itself means
 * the mailbox, the old idiom for "and a copy to my boss". Programs and files as targets are refused, in words of their own in an :include: file, which
 * somebody else may write: nothing here runs a command.
 */
#include "route/route_in.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/file.h"
#include "serve/accounts.h"

#define INCLUDE_MAX (4u << 20)

static int expand_address(struct expansion *x, struct slice text, bool no_alias, bool no_virtual);

void expand_step(struct expansion *x, const char *fmt, ...)
{
	va_list ap;

	if (x->steps == NULL)
		return;
	for (size_t i = 1; i < x->depth; i++)
		buf_puts(x->steps, "  ");
	va_start(ap, fmt);
	if (buf_vaddf(x->steps, fmt, ap) != 0)
		abort();
	va_end(ap);
	buf_puts(x->steps, "\n");
}

struct final expand_error(struct arena *a, enum code c, struct slice address, const char *fmt, ...)
{
	struct final f = { .kind = FINAL_ERROR, .address = address };
	va_list ap;

	va_start(ap, fmt);
	f.text = slice_of(code_reply_v(a, c, fmt, ap));
	va_end(ap);
	return f;
}

static bool is_new(struct expansion *x, const struct final *f)
{
	struct slice key = slice_of(arena_printf(x->a, "%d %.*s %.*s %.*s %.*s", (int)f->kind, SLICE_FMT(f->kind == FINAL_MAILBOX ? f->user : f->address),
	    SLICE_FMT(f->folder), SLICE_FMT(f->next_hop), SLICE_FMT(f->text)));

	return hmap_put(x->seen, key, x) == NULL;
}

void expand_final(struct expansion *x, struct final f)
{
	x->goods += f.kind != FINAL_ERROR;
	f.from = x->from;
	f.owner = x->owner;
	if (x->n >= ROUTE_FINALS_MAX || !is_new(x, &f))
		return;
	if (x->n == x->cap) {
		size_t cap = x->cap == 0 ? 4 : x->cap * 4;
		struct final *more = arena_array(x->a, cap, sizeof(*more));

		for (size_t i = 0; i < x->n; i++)
			more[i] = x->finals[i];
		x->finals = more;
		x->cap = cap;
	}
	x->finals[x->n++] = f;
}

/* ---- mailboxes ---- */

static bool can_be_full(const struct settings *s, const struct user *user)
{
	uint64_t octets, messages;

	accounts_limits(s, user, &octets, &messages);
	return octets != 0 || messages != 0;
}

static int get_user(struct expansion *x, struct slice name, struct slice address, struct slice folder, struct slice shown)
{
	struct user user;
	int found = users_get(x->r->users, name, x->a, &user, x->e);

	(void)address;
	if (found != 1)
		return found;
	if ((user.flags & USER_DISABLED) != 0) {
		expand_step(x, "%.*s: account disabled", SLICE_FMT(name));
		expand_final(x, expand_error(x->a, CODE_USER_DISABLED, shown, "This mailbox is disabled"));
		return 1;
	}
	expand_step(x, "%.*s: mailbox%s%.*s", SLICE_FMT(user.name), folder.n > 0 ? ", folder " : "", SLICE_FMT(folder));
	expand_final(x, (struct final){ .kind = FINAL_MAILBOX, .address = shown, .user = user.name, .folder = folder.p == NULL ? SLICE("") : folder,
	    .has_quota = can_be_full(x->r->s, &user) });
	return 1;
}

static struct slice at_domain(struct arena *a, struct slice user, struct slice domain)
{
	return route_lower(a, slice_of(arena_printf(a, "%.*s@%.*s", SLICE_FMT(user), SLICE_FMT(domain))));
}

/* accounts.db: the name as given, without its detail, and for a local domain the same under the first domain (all our local domains are one office). */
static int find_mailbox(struct expansion *x, const struct path *p, bool is_local, struct slice shown)
{
	struct slice user, detail;
	int found = get_user(x, at_domain(x->a, p->local, p->domain), shown, SLICE(""), shown);

	route_split(x->r, p->local, &user, &detail);
	if (found == 0 && detail.p != NULL)
		found = get_user(x, at_domain(x->a, user, p->domain), shown, detail, shown);
	if (found != 0 || !is_local || slice_ieq(p->domain, x->r->default_domain))
		return found;
	found = get_user(x, at_domain(x->a, p->local, x->r->default_domain), shown, SLICE(""), shown);
	if (found == 0 && detail.p != NULL)
		found = get_user(x, at_domain(x->a, user, x->r->default_domain), shown, detail, shown);
	return found;
}

/* ---- aliases ---- */

static int expand_include(struct expansion *x, struct slice path);

/* Joe@Local and joe are the same; "user1: user1, user2". */
static bool is_self(struct expansion *x, struct slice key, struct slice target)
{
	struct path p;
	struct slice user, detail;

	if (path_from_text(target, x->a, &p) != 0)
		return false;
	if (p.domain.n > 0 && route_class_of(x->r, p.domain) != ROUTE_LOCAL)
		return false;
	route_split(x->r, p.local, &user, &detail);
	return slice_ieq(user, key) || slice_ieq(p.local, key);
}

/* "u2: u2, u1" for u2+lists: the copy for u2 keeps the +lists. */
static struct slice with_detail(struct expansion *x, struct slice target)
{
	ptrdiff_t at = slice_rchr(target, '@');
	struct slice local = at < 0 ? target : slice_head(target, (size_t)at), user, detail;

	route_split(x->r, local, &user, &detail);
	if (x->detail.p == NULL || detail.p != NULL)
		return target;
	return slice_of(arena_printf(x->a, "%.*s%c%.*s%.*s", SLICE_FMT(local), x->r->s->recipient_delimiter[0], SLICE_FMT(x->detail),
	    SLICE_FMT(at < 0 ? SLICE("") : slice_from(target, (size_t)at))));
}

static int expand_target(struct expansion *x, const struct alias_target *t, struct slice key, struct slice shown, bool from_file)
{
	bool self = t->kind == ALIAS_ADDRESS && key.p != NULL && is_self(x, key, t->text);

	switch (t->kind) {
	case ALIAS_ADDRESS:
		return expand_address(x, self ? with_detail(x, t->text) : t->text, self, false);
	case ALIAS_MAILBOX:
		return expand_address(x, t->text, true, true);
	case ALIAS_INCLUDE:
		return expand_include(x, t->text);
	case ALIAS_DISCARD:
		expand_final(x, (struct final){ .kind = FINAL_DISCARD, .address = shown });
		return 0;
	case ALIAS_REDIRECT:
		expand_final(x, expand_error(x->a, CODE_USER_MOVED, shown, "User not local; please try <%.*s>", SLICE_FMT(t->text)));
		return 0;
	case ALIAS_ERROR:
		expand_final(x, (struct final){ .kind = FINAL_ERROR, .address = shown, .text = t->text });
		return 0;
	case ALIAS_PROGRAM:
	case ALIAS_FILE:
		break;
	}
	if (from_file)
		expand_final(x, expand_error(x->a, CODE_LIST_PROGRAM, shown, "Programs and files are not taken from :include: lists"));
	else
		expand_final(x, expand_error(x->a, CODE_ALIAS_PROGRAM, shown, "This server does not deliver to %s", t->kind == ALIAS_FILE ? "files" : "programs"));
	return 0;
}

static int expand_list(struct expansion *x, struct slice value, struct slice key, struct slice shown, const char *where, bool from_file)
{
	struct alias_target *targets;
	struct err bad = ERR_INIT;
	size_t n = 0;

	if (alias_parse(value, x->a, &targets, &n, &bad) != 0) {
		expand_step(x, "%s: %s", where, bad.text);
		expand_final(x, expand_error(x->a, CODE_MAP_ENTRY_BROKEN, shown, "An alias here is not understood; the postmaster has been told"));
		return 0;
	}
	for (size_t i = 0; i < n && !(x->enough > 0 && x->goods >= x->enough); i++)
		if (expand_target(x, &targets[i], key, shown, from_file) != 0)
			return -1;
	return 0;
}

/* One line an entry; '#' comments. Read by the queue only: the front must not open what a list names. */
static int expand_include(struct expansion *x, struct slice path)
{
	struct slice shown = slice_of(arena_printf(x->a, ":include:%.*s", SLICE_FMT(path))), rest, line;
	struct err e = ERR_INIT;
	struct buf text;
	int r = 0;

	if (!x->may_read) {
		expand_final(x, (struct final){ .kind = FINAL_UNREAD, .address = shown, .text = shown });
		return 0;
	}
	buf_init(&text, INCLUDE_MAX);
	if (file_read(arena_str(x->a, path), &text, &e) != 0) {
		expand_final(x, expand_error(x->a, CODE_LIST_UNREADABLE, shown, "The list can't be read now: %s", e.text));
	} else {
		rest = arena_dup(x->a, buf_view(&text));
		while (r == 0 && slice_next(&rest, '\n', &line))
			if (slice_trim(line).n > 0 && slice_trim(line).p[0] != '#')
				r = expand_list(x, slice_trim(line), SLICE_NONE, shown, arena_str(x->a, shown), true);
	}
	buf_done(&text);
	return r;
}

/* owner-NAME: replies and bounces of what the list sends go there. Its single target, else the alias itself. */
static int find_owner(struct expansion *x, struct slice key, struct slice domain, struct slice *owner_out)
{
	struct slice name = slice_of(arena_printf(x->a, "owner-%.*s", SLICE_FMT(key))), value;
	int found = map_get(x->r->aliases, name, x->a, &value, x->e);

	if (found != 1)
		return found;
	value = slice_trim(value);
	expand_step(x, "%.*s: exists, so what %.*s sends comes from it", SLICE_FMT(name), SLICE_FMT(key));
	if (slice_chr(value, ',') >= 0 || value.n == 0 || slice_chr(value, ' ') >= 0 || value.p[0] == '|' || value.p[0] == '/' || value.p[0] == ':')
		value = name;
	*owner_out = slice_chr(value, '@') >= 0 ? value : slice_of(arena_printf(x->a, "%.*s@%.*s", SLICE_FMT(value), SLICE_FMT(domain)));
	return 1;
}

/* user+detail, user+*, user. 1: it was an alias. */
static int find_alias(struct expansion *x, const struct path *p, struct slice shown)
{
	struct slice user, detail, value = SLICE_NONE, keys[3], before = x->owner, detail_before = x->detail;
	size_t n = 0;
	int found = 0;

	route_split(x->r, p->local, &user, &detail);
	keys[n++] = p->local;
	if (detail.p != NULL) {
		keys[n++] = slice_of(arena_printf(x->a, "%.*s+*", SLICE_FMT(user)));
		keys[n++] = user;
	}
	for (size_t i = 0; i < n && found == 0; i++) {
		found = map_get(x->r->aliases, keys[i], x->a, &value, x->e);
		if (found == 1) {
			const char *where = arena_str(x->a, slice_of(map_where(x->r->aliases)));

			expand_step(x, "%.*s: alias (%s): %.*s", SLICE_FMT(keys[i]), where, SLICE_FMT(value));
			x->detail = i == 0 ? SLICE_NONE : detail;
			if (find_owner(x, keys[i], p->domain, &x->owner) < 0 || expand_list(x, value, keys[i], shown, where, false) != 0)
				found = -1;
		}
	}
	x->owner = before;
	x->detail = detail_before;
	return found;
}

/* ---- those that must exist (RFC 5321 4.5.1, RFC 2142) ---- */

struct first { struct expansion *x; struct slice name; };

static int take_first(void *ctx, const struct user *user)
{
	struct first *f = ctx;

	if ((user->flags & USER_DISABLED) != 0)
		return 0;
	f->name = arena_dup(f->x->a, user->name);
	return 1;
}

static bool must_exist(struct slice local)
{
	return slice_ieqs(local, "postmaster") || slice_ieqs(local, "abuse") || slice_ieqs(local, "mailer-daemon");
}

/* 1: led somewhere. */
static int expand_office(struct expansion *x, const struct path *p, bool is_local, struct slice shown)
{
	static const char *const names[] = { "postmaster", "root" };
	struct first first = { x, SLICE_NONE };
	struct err ignored = ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		struct path office = { .local = slice_of(names[i]), .domain = x->r->default_domain };
		int found = is_local && slice_ieqs(p->local, names[i]) ? 0 : find_alias(x, &office, shown);

		if (found != 0)
			return found;
	}
	if (users_each(x->r->users, take_first, &first, &ignored) < 0 && first.name.p == NULL)
		return err_set(x->e, ERR_TEMP, 0, "%s", ignored.text);
	if (first.name.p == NULL)
		return 0;
	expand_step(x, "%.*s has neither alias nor mailbox: it goes to the first user", SLICE_FMT(p->local));
	return get_user(x, first.name, shown, SLICE(""), shown);
}

/* ---- one address ---- */

static int expand_local(struct expansion *x, const struct path *p, enum route_class class, bool no_alias, struct slice shown)
{
	int found = class == ROUTE_LOCAL && !no_alias ? find_alias(x, p, shown) : 0;

	if (found == 0)
		found = find_mailbox(x, p, class == ROUTE_LOCAL, shown);
	if (found == 0 && must_exist(p->local))
		found = expand_office(x, p, class == ROUTE_LOCAL, shown);
	if (found != 0)
		return found < 0 ? -1 : 0;
	expand_step(x, "%.*s: no such user", SLICE_FMT(shown));
	expand_final(x, expand_error(x->a, CODE_NO_USER, shown, "User unknown"));
	return 0;
}

static int expand_remote(struct expansion *x, const struct path *p, struct slice shown)
{
	struct final f;
	const char *where = "";

	if (transport_find(x->r, shown, p->domain, x->a, &f, &where, x->e) < 0)
		return -1;
	if (f.kind == FINAL_MAILBOX) {                                /* local:user */
		expand_step(x, "%.*s: delivered here as %.*s (%s)", SLICE_FMT(shown), SLICE_FMT(f.address), where);
		return expand_address(x, slice_chr(f.address, '@') >= 0 && slice_eq(f.address, shown) ? p->local : f.address, true, true);
	}
	expand_step(x, "%.*s: goes to %.*s (%s)", SLICE_FMT(shown), SLICE_FMT(f.next_hop), where);
	expand_final(x, f);
	return 0;
}

static bool is_on_stack(const struct expansion *x, struct slice key)
{
	for (size_t i = 0; i < x->depth; i++)
		if (slice_eq(x->stack[i], key))
			return true;
	return false;
}

/* A virtual user that stands for itself ("joe@dom joe@dom") is that mailbox. "@other" keeps the user (Postfix). */
static int expand_virtual(struct expansion *x, const struct path *p, struct slice value, struct slice key, struct slice shown, const char *where)
{
	struct alias_target *targets;
	struct err bad = ERR_INIT;
	size_t n = 0;

	expand_step(x, "%.*s: virtual (%s): %.*s", SLICE_FMT(shown), where, SLICE_FMT(value));
	if (alias_parse(value, x->a, &targets, &n, &bad) != 0) {
		expand_final(x, expand_error(x->a, CODE_MAP_ENTRY_BROKEN, shown, "A virtual user here is not understood; the postmaster has been told"));
		return 0;
	}
	for (size_t i = 0; i < n && !(x->enough > 0 && x->goods >= x->enough); i++) {
		struct alias_target t = targets[i];
		bool self;

		if (t.kind == ALIAS_ADDRESS && t.text.p[0] == '@')
			t.text = slice_of(arena_printf(x->a, "%.*s%.*s", SLICE_FMT(p->local), SLICE_FMT(t.text)));
		self = t.kind == ALIAS_ADDRESS && slice_ieq(t.text, key);
		if (self ? expand_address(x, t.text, false, true) != 0 : expand_target(x, &t, SLICE_NONE, shown, false) != 0)
			return -1;
	}
	return 0;
}

static int expand_parsed(struct expansion *x, const struct path *p, struct slice key, bool no_alias, bool no_virtual, struct slice shown)
{
	enum route_class class = route_class_of(x->r, p->domain);
	struct slice value;
	const char *where = "";
	int found = 0;

	if (class == ROUTE_RELAY || class == ROUTE_REMOTE)
		return expand_remote(x, p, shown);
	if (!no_virtual)
		found = virtual_find(x->r, p, x->a, &value, &where, x->e);
	if (found != 0)
		return found < 0 ? -1 : expand_virtual(x, p, value, key, shown, where);
	return expand_local(x, p, class, no_alias, shown);
}

static int expand_address(struct expansion *x, struct slice text, bool no_alias, bool no_virtual)
{
	struct path p;
	struct slice shown, key;
	int r;

	if (path_from_text(text, x->a, &p) != 0 || p.is_null) {
		expand_final(x, expand_error(x->a, CODE_ALIAS_NO_ADDRESS, text, "An alias leads to something that is no address"));
		return 0;
	}
	if (p.domain.n == 0)
		p.domain = x->r->default_domain;
	shown = path_text(&p, x->a);
	key = route_lower(x->a, shown);
	if (!no_alias && !no_virtual && is_on_stack(x, key)) {
		expand_step(x, "%.*s: again, a loop", SLICE_FMT(shown));
		x->looped = true;
		return 0;
	}
	if (x->depth >= ROUTE_DEPTH_MAX) {
		expand_final(x, expand_error(x->a, CODE_ALIAS_LOOP, shown, "Aliases of aliases too deep"));
		return 0;
	}
	x->stack[x->depth++] = key;
	r = expand_parsed(x, &p, key, no_alias, no_virtual, shown);
	x->depth--;
	return r;
}

int expand_recipient(struct expansion *x, struct slice text)
{
	size_t before = x->n;

	x->depth = 0;
	x->looped = false;
	x->owner = SLICE_NONE;
	if (expand_address(x, text, false, false) != 0)
		return -1;
	if (x->n == before)
		expand_final(x, x->looped ? expand_error(x->a, CODE_ALIAS_LOOP, text, "aliasing/forwarding loop") :
		    expand_error(x->a, CODE_NO_USER, text, "This alias leads nowhere"));
	return 0;
}
