/*
 * tests/system/verdicts.c - asks smtpd's own policy about one delivery a line, for tests that compare many of them with another program or a model.
 *
 *	verdicts SETTINGS_FILE [USER@DOMAIN]... <QUESTIONS
 *
 * A question is CLIENT TAB NAME TAB ok|forged|fail|temp TAB LOGIN TAB SENDER TAB RECIPIENT ("" for none); its answer "yes RULE", "discard", "hold" or the
 * refusal. Names and domains are as the question says: nothing asks DNS or dracd. The users are made first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "server/policy.h"

#define FIELDS 6

static enum relay_name state_of(struct slice word)
{
	return slice_eqs(word, "ok") ? RELAY_NAME_OK : slice_eqs(word, "forged") ? RELAY_NAME_FORGED : slice_eqs(word, "temp") ? RELAY_NAME_TEMP : RELAY_NAME_FAIL;
}

static int ask(struct policy *p, struct slice *f, struct arena *a, struct policy_verdict *out, struct err *e)
{
	struct policy_client *client = arena_alloc(a, sizeof(*client));
	struct policy_sender *sender = arena_alloc(a, sizeof(*sender));
	struct path *from = arena_alloc(a, sizeof(*from)), *to = arena_alloc(a, sizeof(*to));
	const struct policy_ask q = { .listener = smtp_listener_named("smtp"), .client = client, .sender = sender, .rcpt = to, .drac = RELAY_DRAC_NONE };
	struct net_addr addr;

	*from = (struct path){ .is_null = f[4].n == 0 };
	if (net_addr_parse(f[0], &addr) != 0 || (f[4].n > 0 && path_from_text(f[4], a, from) != 0) || path_from_text(f[5], a, to) != 0)
		return err_set(e, ERR_SYNTAX, 0, "not an address");
	if (policy_client_init(p, client, &addr, f[1], state_of(f[2]), a, e) != 0 || policy_sender_init(p, sender, client, from, f[3], a, e) != 0)
		return -1;
	return policy_rcpt(p, &q, a, out, e);
}

static void answer(struct policy *p, struct slice line, struct arena *a)
{
	struct slice f[FIELDS], rest = line;
	struct policy_verdict v;
	struct err e = ERR_INIT;

	for (unsigned i = 0; i < FIELDS; i++)
		if (!slice_next(&rest, '\t', &f[i]))
			f[i] = SLICE("");
	if (ask(p, f, a, &v, &e) != 0)
		printf("error: %s\n", e.text);
	else if (v.answer != POLICY_YES)
		printf("%.*s\n", SLICE_FMT(v.reply));
	else
		printf("%s\n", v.discard ? "discard" : v.hold ? "hold" : arena_printf(a, "yes %s", v.rule));
}

int main(int argc, char **argv)
{
	struct settings *s = NULL;
	struct policy *p = NULL;
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	char line[4096];

	if (argc < 2 || conf_load(&s, argv[1], NULL, NULL, &e) < 0) {
		fprintf(stderr, "verdicts: %s\n", e.text);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		const struct user u = { .name = slice_of(argv[i]), .hash = SLICE("*"), .scram = SLICE("") };

		if (users_set(s->users_db, s->accounts_db, &u, &e) != 0)
			break;
	}
	if (e.kind != ERR_NONE || policy_new(&p, s, &e) != 0) {
		fprintf(stderr, "verdicts: %s\n", e.text);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		arena_reset(a);
		line[strcspn(line, "\n")] = '\0';
		answer(p, slice_of(line), a);
	}
	policy_free(&p);
	conf_free(&s);
	arena_free(&a);
	return 0;
}
