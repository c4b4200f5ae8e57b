/*
 * admin/explain_change.c - the smallest change that would turn a verdict: one line of the access map where one will do. It is tried before it is told:
 * a copy of the map with that line is asked the same question, by the same code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/explain.h"
#include "base/file.h"

int explain_judge(struct policy *p, const struct explain_case *c, struct policy_client *client_out, struct policy_sender *sender_out, struct buf *steps, struct arena *a,
    struct policy_verdict *out, struct err *e)
{
	struct policy_ask ask = { .listener = c->listener, .client = client_out, .sender = sender_out, .rcpt = c->to, .drac = c->drac, .rcpt_dns = c->rcpt_dns, .steps = steps };

	if (policy_client_init(p, client_out, &c->addr, c->name, c->name_state, a, e) != 0 ||
	    policy_sender_init(p, sender_out, client_out, c->from, c->login, a, e) != 0)
		return -1;
	if (policy_wants_dns(p, client_out, sender_out))
		sender_out->dns = c->dns;
	return policy_rcpt(p, &ask, a, out, e);
}

/* ---- one line more ---- */

static const char *access_path(const struct settings *s, struct arena *a)
{
	return s->access_map[0] == '/' ? s->access_map : arena_printf(a, "%s/%s", s->config_directory, s->access_map);
}

/* A directory of its own, as the map may get an image beside it. */
static int write_copy(const struct settings *s, const char *dir, const char *line, struct arena *a)
{
	struct buf text;
	struct err e = ERR_INIT;
	int r;

	buf_init(&text, BUF_UNBOUNDED);
	if (file_read(access_path(s, a), &text, &e) != 0)
		buf_reset(&text);
	buf_putf(&text, "\n%s\n", line);
	r = file_replace(arena_printf(a, "%s/access", dir), buf_view(&text), 0600, &e);
	buf_done(&text);
	return r;
}

static int judge_copy(const struct explain_case *c, const char *dir, struct arena *a, struct policy_verdict *out)
{
	struct settings *s = arena_alloc(a, sizeof(*s));
	struct policy_client *client = arena_alloc(a, sizeof(*client));
	struct policy_sender *sender = arena_alloc(a, sizeof(*sender));
	struct policy *p = NULL;
	struct err e = ERR_INIT;
	int r;

	*s = *c->s;
	s->access_map = arena_printf(a, "%s/access", dir);
	r = policy_new(&p, s, &e);
	if (r == 0)
		r = explain_judge(p, c, client, sender, NULL, a, out, &e);
	policy_free(&p);
	return r;
}

/* What would be said with this line. -1: the map has an entry of that key already, or can't be copied. */
static int try_line(const struct explain_case *c, const char *line, struct arena *a, struct policy_verdict *out)
{
	char dir[] = "/tmp/posthouse-explain.XXXXXX";
	int r;

	if (mkdtemp(dir) == NULL)
		return -1;
	r = write_copy(c->s, dir, line, a) == 0 ? judge_copy(c, dir, a, out) : -1;
	(void)unlink(arena_printf(a, "%s/access", dir));
	(void)unlink(arena_printf(a, "%s/access.db", dir));
	(void)rmdir(dir);
	return r;
}

static bool tell_line(const struct explain_case *c, const char *what, const char *line, struct arena *a)
{
	struct policy_verdict v;

	if (try_line(c, line, a, &v) != 0)
		return false;
	printf("%s: a line in %s:  %s\n", what, c->s->access_map, line);
	if (v.answer == POLICY_YES)
		printf("  tried: accepted%s, rule %s\n", v.discard ? " and thrown away" : v.hold ? " and held" : "", v.rule);
	else if (v.answer == POLICY_ASK_DRAC)
		printf("  tried: dracd would be asked\n");
	else
		printf("  tried: %.*s\n", SLICE_FMT(v.reply));
	return true;
}

/* ---- which line ---- */

static const char *client_key(const struct explain_case *c, const struct policy_client *client, struct arena *a)
{
	char text[NET_TEXT_MAX];

	if (client != NULL && client->by_name.verb != ACCESS_NONE && client->name_state == RELAY_NAME_OK)
		return arena_str(a, client->name);                    /* the name's entry goes before the address's */
	return arena_printf(a, "%s%s", c->addr.len == 16 ? "IPv6:" : "", net_addr_text(&c->addr, text));
}

static const char *line_for(const struct explain_case *c, const struct policy_client *client, const struct policy_verdict *v, struct arena *a)
{
	if (v->tag != NULL && strcmp(v->tag, "Connect") == 0)
		return arena_printf(a, "Connect:%s OK", client_key(c, client, a));
	if (v->tag != NULL && strcmp(v->tag, "From") == 0)
		return arena_printf(a, "From:%.*s OK", SLICE_FMT(c->from->is_null ? SLICE("<>") : path_text(c->from, a)));
	if (v->tag != NULL)
		return arena_printf(a, "To:%.*s OK", SLICE_FMT(path_text(c->to, a)));
	switch (v->code) {
	case CODE_RELAY_DENIED:
	case CODE_RELAY_FORGED:
	case CODE_RELAY_NAMELESS:
	case CODE_RELAY_NO_DRAC:
	case CODE_RELAY_NO_DNS:
		return arena_printf(a, "Connect:%s RELAY", client_key(c, NULL, a));
	case CODE_SENDER_NOWHERE:
	case CODE_SENDER_DNS:
		return arena_printf(a, "From:%.*s OK", SLICE_FMT(c->from->domain));
	default:
		return NULL;
	}
}

void explain_change(const struct explain_case *c, const struct policy_client *client, const struct policy_verdict *v, struct arena *a)
{
	enum code code = v->code != CODE_NONE ? v->code : code_find(v->reply);
	const char *line;

	if (v->answer == POLICY_YES) {
		(void)tell_line(c, "to refuse it", arena_printf(a, "To:%.*s REJECT", SLICE_FMT(path_text(c->to, a))), a);
		return;
	}
	line = line_for(c, client, v, a);
	if (line == NULL || !tell_line(c, "to change it", line, a)) {
		if (v->where[0] != '\0')
			printf("to change it: the entry %s, %s%s%.*s, itself: take it out or give it another value\n", v->where, v->tag != NULL ? v->tag : "", v->tag != NULL ? ":" : "",
			    SLICE_FMT(v->key));
	} else if (v->where[0] != '\0') {
		printf("or: take out %s\n", v->where);
	}
	if (code != CODE_NONE)
		printf("what helps: %s\nsee also: posthouse explain %s%s\n", code_row(code)->cure, CODE_PREFIX, code_row(code)->name);
}
