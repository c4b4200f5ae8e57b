/*
 * admin/cmd_conf.c - `posthouse conf` and `posthouse check`: the settings as they are, where they differ, and what each one means.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/check_machine.h"
#include "admin/commands.h"
#include "admin/tables.h"
#include "conf/conf.h"
#include "dracd/core.h"
#include "dracd/peer_conf.h"
#include "io/net.h"
#include "pop3d/pop3d.h"
#include "server/policy.h"

static int print_buf(struct buf *b)
{
	fwrite(b->p, 1, b->len, stdout);
	buf_done(b);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int no_such_setting(const char *name)
{
	return command_fail(EX_USAGE, "no setting '%s'; the nearest name is '%s'", name, conf_nearest(name));
}

static int print_values(const struct command_env *env)
{
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	for (int i = 1; i < env->argc; i++) {
		const struct conf_param *p = conf_find(env->argv[i]);

		if (p == NULL) {
			buf_done(&out);
			return no_such_setting(env->argv[i]);
		}
		buf_putf(&out, "%s = ", p->name);
		conf_value(env->s, p, &out);
		buf_putc(&out, '\n');
	}
	return print_buf(&out);
}

static int run_conf(const struct command_env *env)
{
	bool changed = env->argc > 1 && strcmp(env->argv[1], "-n") == 0;
	struct buf out;

	if (env->argc > 1 && !changed)
		return print_values(env);
	buf_init(&out, BUF_UNBOUNDED);
	conf_dump(env->s, changed, &out);
	return print_buf(&out);
}

static int run_conf_explain(const struct command_env *env)
{
	const struct conf_param *p = env->argc == 2 ? conf_find(env->argv[1]) : NULL;
	struct buf out;

	if (env->argc != 2)
		return command_fail(EX_USAGE, "conf explain takes one name of a setting");
	if (p == NULL)
		return no_such_setting(env->argv[1]);
	buf_init(&out, BUF_UNBOUNDED);
	buf_putf(&out, "%s = ", p->name);
	conf_value(env->s, p, &out);
	buf_putf(&out, "%s\ndefault: %s\n", conf_is_default(env->s, p) ? "  (the default)" : "", p->def);
	if (p->type == CONF_T_CHOICE)
		buf_putf(&out, "one of: %s\n", p->min);
	else if (p->min != NULL)
		buf_putf(&out, "from %s to %s\n", p->min, p->max != NULL ? p->max : "any");
	buf_putf(&out, "\n%s\n", p->prose);
	return print_buf(&out);
}

/* Lists that are read word by word where they are needed: a word that is no network would only be without effect there. */
static int check_networks(const struct settings *s, struct err *e)
{
	const struct { const char *name, *list; } lists[] = {
		{ "plaintext_login_from", s->plaintext_login_from }, { "proxy_protocol_from", s->proxy_protocol_from }, { "drac_never", s->drac_never },
	};
	struct net_prefix net;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct slice rest = slice_of(lists[i].list), word;

		while (conf_word(&rest, &word))
			if (net_prefix_parse(word, &net) != 0)
				return err_set(e, ERR_SYNTAX, 0, "%s in %s: \"%.*s\" is not a network like 192.0.2.0/24 (host bits must be 0)", lists[i].name, s->path, SLICE_FMT(word));
	}
	return 0;
}

static int run_check(const struct command_env *env)
{
	struct settings *s = NULL;
	struct buf warnings;
	struct err e = ERR_INIT;
	int status = EX_OK;

	buf_init(&warnings, BUF_UNBOUNDED);
	if (conf_load(&s, env->settings_path, env->overrides, &warnings, &e) < 0 || check_networks(s, &e) < 0 || policy_lint(s, &warnings, &e) < 0 ||
	    pop3_uidl_check(s, &e) < 0 || core_check(s, &e) < 0 || peer_conf_check(s, &warnings, &e) < 0)
		status = command_fail(EX_CONFIG, "%s%s", buf_str(&warnings), e.text);
	else {
		check_machine(s, &warnings);
		printf("%s%s: fine\n", buf_str(&warnings), env->settings_path);
	}
	conf_free(&s);
	buf_done(&warnings);
	return status;
}

static const struct command rows[] = {
	{ "conf", run_conf, "[-n | NAME ...]", "Prints all settings with their values, with -n those that differ from the default, or the named ones.", true },
	{ "conf explain", run_conf_explain, "NAME", "Says what a setting means, its default, its bounds and its value now.", true },
	{ "check", run_check, "", "Reads the settings, the maps of smtpd and the files of dracd and says what is wrong, with file and line; also whether strangers could relay. Warns of a certificate that is missing, unreadable, expired or another host's, of secrets that others may read, and where there is no account. Run it before a reload; the daemons do it themselves too.", false },
};

const struct command_table cmd_conf_table = { "Settings", rows, sizeof(rows) / sizeof(rows[0]) };
