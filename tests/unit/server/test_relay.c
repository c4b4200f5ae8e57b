/*
 * The relay decision: every combination of the facts against a model written down independently, and whole policies over real maps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "conf/conf.h"
#include "server/policy.h"

/* ---- facts: all of them ---- */

/* The rules as an admin would tell them, not as relay.c goes about it. */
static enum relay_answer model(const struct relay_facts *f)
{
	bool mailbox_here = !f->rcpt_routed && (f->rcpt_class == ROUTE_LOCAL || f->rcpt_class == ROUTE_VIRTUAL);
	bool pass_on = !f->rcpt_routed && (f->rcpt_class == ROUTE_RELAY || (f->rcpt_class == ROUTE_REMOTE && f->to_relay));
	bool trusted_client = f->in_mynetworks || f->in_relay_networks || f->connect_addr || (f->name_ours && f->name == RELAY_NAME_OK);

	if (f->lmtp)
		return mailbox_here ? RELAY_YES : RELAY_NO;
	if (f->login && (mailbox_here || pass_on || !f->login_barred))
		return RELAY_YES;
	if (f->login)
		return RELAY_NO;
	if (!f->must_login && (mailbox_here || pass_on || trusted_client))
		return RELAY_YES;
	if (f->drac == RELAY_DRAC_LIVE)
		return RELAY_YES;
	if (f->drac == RELAY_DRAC_NOT_ASKED)
		return RELAY_ASK_DRAC;
	if (f->drac == RELAY_DRAC_DOWN)
		return RELAY_LATER;
	if (!f->must_login && f->drac != RELAY_DRAC_OTHERS && f->name == RELAY_NAME_TEMP && f->name_ours)
		return RELAY_LATER;
	return RELAY_NO;
}

static void test_every_fact(void **state)
{
	unsigned n = 0, yes = 0;

	(void)state;
	for (unsigned bits = 0; bits < 1u << 10; bits++)
		for (int class = ROUTE_LOCAL; class <= ROUTE_REMOTE; class++)
			for (int name = RELAY_NAME_OK; name <= RELAY_NAME_TEMP; name++)
				for (int drac = RELAY_DRAC_OFF; drac <= RELAY_DRAC_DOWN; drac++) {
					const struct relay_facts f = {
						.rcpt_class = (enum route_class)class, .name = (enum relay_name)name, .drac = (enum relay_drac)drac,
						.rcpt_routed = bits & 1, .to_relay = bits & 2, .login = bits & 4, .login_barred = bits & 8, .in_mynetworks = bits & 16,
						.in_relay_networks = bits & 32, .connect_addr = bits & 64, .name_ours = bits & 128, .must_login = bits & 256, .lmtp = bits & 512,
					};
					struct relay_verdict v = relay_decide(&f);

					n++;
					yes += v.answer == RELAY_YES;
					if (v.answer != model(&f))
						fail_msg("bits %x class %d name %d drac %d: %d, the model says %d", bits, class, name, drac, v.answer, model(&f));
					if (v.answer == RELAY_NO || v.answer == RELAY_LATER) {
						assert_true(code_row(relay_reply_code(v.rule))->status[0] == (v.answer == RELAY_NO ? '5' : '4'));
						assert_true(relay_reply_text(v.rule)[0] != '\0');
					}
				}
	assert_true(n >= 90000 && yes > 1000);
	print_message("%u combinations of facts, %u may relay\n", n, yes);
}

/* ---- whole policies over maps on disk ---- */

static char dir[] = "/tmp/test_relay.XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (file_replace(path, slice_of(text), 0644, &e) != 0)
		fail_msg("%s", e.text);
}

static struct settings *settings(const char *networks, const char *relay_domains)
{
	static char words[8][300];
	const char *list[9] = { NULL };
	struct settings *s = NULL;
	struct err e = ERR_INIT;
	const char *fmt[] = { "config_directory=%s", "state_directory=%s/state", "accounts_db=%s/accounts.db" };

	for (int i = 0; i < 3; i++) {
		snprintf(words[i], sizeof(words[i]), fmt[i][0] == 'c' ? "config_directory=%s" : fmt[i][0] == 's' ? "state_directory=%s/state" : "accounts_db=%s/accounts.db", dir);
		list[i] = words[i];
	}
	list[3] = "mydestination=office.test localhost";
	list[4] = "myhostname=mx.office.test";
	snprintf(words[5], sizeof(words[5]), "mynetworks=%s", networks);
	snprintf(words[6], sizeof(words[6]), "relay_domains=%s", relay_domains);
	list[5] = words[5];
	list[6] = words[6];
	list[7] = "accept_unresolvable_domains=yes";
	if (conf_load(&s, NULL, list, NULL, &e) != 0)
		fail_msg("%s", e.text);
	return s;
}

static void add_user(const char *name)
{
	char path[256], accounts[256];
	struct err e = ERR_INIT;
	struct user u = { .name = slice_of(name), .hash = SLICE("*"), .scram = SLICE("") };

	snprintf(path, sizeof(path), "%s/users.db", dir);
	snprintf(accounts, sizeof(accounts), "%s/accounts.db", dir);
	if (users_set(path, accounts, &u, &e) != 0)
		fail_msg("%s", e.text);
}

struct client { const char *addr, *name; enum relay_name state; };
static const struct client clients[] = {
	{ "127.0.0.1", "localhost", RELAY_NAME_OK }, { "10.1.2.3", "", RELAY_NAME_FAIL }, { "192.0.2.7", "pc.partner.test", RELAY_NAME_OK },
	{ "192.0.2.7", "pc.partner.test", RELAY_NAME_FORGED }, { "192.0.2.8", "pc.friend.test", RELAY_NAME_OK }, { "192.0.2.8", "", RELAY_NAME_TEMP },
	{ "198.51.100.9", "", RELAY_NAME_FAIL }, { "198.51.100.200", "x.stranger.test", RELAY_NAME_OK }, { "203.0.113.5", "friend.test", RELAY_NAME_FORGED },
	{ "2001:db8::5", "", RELAY_NAME_FAIL }, { "2001:db8:1::5", "mx.office.test", RELAY_NAME_OK }, { "::1", "localhost", RELAY_NAME_OK },
	{ "203.0.113.77", "", RELAY_NAME_FAIL },
};
static const char *const logins[] = { "", "u1@office.test", "u2@office.test" };
static const char *const senders[] = { "", "u1@office.test", "u2@office.test", "boss@office.test", "x@stranger.test", "x@partner.test" };
static const char *const rcpts[] = {
	"u1@office.test", "nobody@office.test", "u1@localhost", "boss@office.test", "sales@shop.test", "none@shop.test", "x@backup.test", "x@sub.backup.test",
	"x@stranger.test", "x@listed.test", "x@sub.listed.test", "x@partner.test", "u1%stranger.test@office.test", "\"x@stranger.test\"@office.test",
	"stranger.test!x@office.test", "x@[127.0.0.1]", "postmaster@office.test", "blocked@office.test",
};

static bool one_of(const char *s, const char *a, const char *b, const char *c)
{
	return strcmp(s, a) == 0 || strcmp(s, b) == 0 || strcmp(s, c) == 0;
}

/* What the maps below mean, worked out by hand. */
static int model_policy(const struct client *c, const char *login, const char *sender, const char *rcpt, enum relay_drac drac, enum smtp_listener_kind kind)
{
	const char *domain = strrchr(rcpt, '@') + 1;
	bool ours = one_of(domain, "office.test", "localhost", "shop.test");
	bool exists = one_of(rcpt, "u1@office.test", "u1@localhost", "boss@office.test") || one_of(rcpt, "sales@shop.test", "postmaster@office.test", "blocked@office.test");
	bool routed = strpbrk(rcpt, "%!\"") != NULL;
	bool relay = one_of(domain, "backup.test", "sub.backup.test", "listed.test") || strcmp(domain, "sub.listed.test") == 0 || strcmp(domain, "friend.test") == 0;
	bool net = one_of(c->addr, "127.0.0.1", "10.1.2.3", "198.51.100.9") || strcmp(c->addr, "2001:db8:1::5") == 0 || strcmp(c->addr, "::1") == 0;
	bool name = c->state == RELAY_NAME_OK && one_of(c->name, "pc.friend.test", "pc.partner.test", "pc.partner.test");
	bool boss = strcmp(sender, "boss@office.test") == 0;
	bool owns = sender[0] == '\0' || strcmp(sender, login) == 0 || (boss && strcmp(login, "u1@office.test") == 0);
	bool vouched = drac == RELAY_DRAC_LIVE && (strcmp(sender, "u1@office.test") == 0 || boss);
	bool must_login = kind == SMTP_ON_587;

	if (strcmp(rcpt, "blocked@office.test") == 0)
		return 5;
	if (login[0] == '\0' && (must_login || !((ours && !routed) || relay || net || name))) {
		if (drac == RELAY_DRAC_DOWN)
			return 4;
		if (!vouched && c->state == RELAY_NAME_TEMP && !must_login && drac != RELAY_DRAC_LIVE)
			return 4;
		if (!vouched)
			return 5;
	}
	if (ours && !exists)
		return 5;
	if (strncmp(rcpt, "postmaster@", 11) == 0)
		return 2;
	if (login[0] != '\0' && !owns)
		return 5;
	if (login[0] == '\0' && strcmp(c->addr, "198.51.100.200") == 0)
		return 5;
	return 2;
}

static int ask(struct policy *p, const struct client *c, const char *login, const char *sender, const char *rcpt, enum relay_drac drac,
    enum smtp_listener_kind kind, struct arena *a)
{
	struct drac_grant grant = { .verdict = drac == RELAY_DRAC_DOWN ? DRAC_UNREACHABLE : drac == RELAY_DRAC_LIVE ? DRAC_LIVE : DRAC_NO_GRANT,
	    .n_users = 1, .users = { SLICE("u1@office.test") } };
	struct policy_client client;
	struct policy_sender from;
	struct policy_verdict v;
	struct policy_ask q = { .listener = smtp_listener_of((int)kind), .client = &client, .sender = &from, .drac = RELAY_DRAC_NOT_ASKED };
	struct path s = { .is_null = true }, r;
	struct net_addr addr;
	struct err e = ERR_INIT;
	struct slice user;

	arena_reset(a);
	assert_int_equal(net_addr_parse(slice_of(c->addr), &addr), 0);
	assert_true(sender[0] == '\0' || path_from_text(slice_of(sender), a, &s) == 0);
	assert_int_equal(path_from_text(slice_of(rcpt), a, &r), 0);
	q.rcpt = &r;
	if (policy_client_init(p, &client, &addr, slice_of(c->name), c->state, a, &e) != 0 || policy_sender_init(p, &from, &client, &s, slice_of(login), a, &e) != 0 ||
	    policy_rcpt(p, &q, a, &v, &e) != 0)
		fail_msg("%s", e.text);
	if (v.answer == POLICY_ASK_DRAC) {
		q.drac = policy_judge_drac(p, &grant, &s, a, &user);
		if (policy_rcpt(p, &q, a, &v, &e) != 0)
			fail_msg("%s", e.text);
	}
	assert_true(v.answer != POLICY_ASK_DRAC);
	return v.answer == POLICY_YES ? 2 : v.reply.p[0] - '0';
}

#define N(list) (sizeof(list) / sizeof((list)[0]))

static void test_policies(void **state)
{
	static const enum relay_drac dracs[] = { RELAY_DRAC_NONE, RELAY_DRAC_LIVE, RELAY_DRAC_DOWN };
	static const enum smtp_listener_kind kinds[] = { SMTP_ON_25, SMTP_ON_587 };
	struct settings *s = settings("127.0.0.0/8 ::1 10.0.0.0/8 2001:db8:1::/48", "backup.test");
	struct arena *a = arena_new(0);
	struct policy *p;
	struct err e = ERR_INIT;
	unsigned n = 0, bad = 0;

	(void)state;
	put("access", "# the office\nConnect:friend.test\tRELAY\npartner.test RELAY\nTo:partner.test SKIP\nConnect:198.51.100.9 relay\nConnect:198.51.100 ERROR:5.7.1:550 not from there\n"
	    "To:listed.test RELAY\nTo:blocked@office.test REJECT\nFrom:nobody@ REJECT\nConnect:10.3 OK\n");
	put("aliases", "boss: u1, u2@elsewhere.test\nblocked: u1\nroot: u2\nall: u1, u2\n");
	put("virtusertable", "sales@shop.test u2\n");
	add_user("u1@office.test");
	add_user("u2@office.test");
	if (policy_new(&p, s, &e) != 0)
		fail_msg("%s", e.text);
	if (policy_is_closed(p, &e) != 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < N(clients) * N(logins) * N(senders) * N(rcpts) * N(dracs) * N(kinds); i++) {
		size_t at = i;
		const struct client *c = &clients[at % N(clients)];
		const char *login = logins[(at /= N(clients)) % N(logins)], *sender = senders[(at /= N(logins)) % N(senders)], *rcpt = rcpts[(at /= N(senders)) % N(rcpts)];
		enum relay_drac drac = dracs[(at /= N(rcpts)) % N(dracs)];
		enum smtp_listener_kind kind = kinds[(at /= N(dracs)) % N(kinds)];
		int got = ask(p, c, login, sender, rcpt, drac, kind, a), want = model_policy(c, login, sender, rcpt, drac, kind);

		n++;
		if (got != want && bad++ < 20)
			print_error("client %s (%s, %d) login \"%s\" from <%s> to <%s> drac %d port %d: %d, the model says %d\n", c->addr, c->name, c->state, login, sender, rcpt, drac, kind, got, want);
	}
	print_message("%u policies\n", n);
	assert_int_equal(bad, 0);
	assert_true(n >= 10000);
	policy_free(&p);
	arena_free(&a);
	conf_free(&s);
}

static void test_open_ones(void **state)
{
	static const struct { const char *networks, *relay_domains, *access, *list, *blame; } cases[] = {
		{ "0.0.0.0/0", "", "", "", "mynetworks" }, { "0.0.0.0/1 128.0.0.0/1", "", "", "", "mynetworks" }, { "::/0", "", "", "", "mynetworks" },
		{ "127.0.0.1", "com", "", "", "relay_domains: a whole" }, { "127.0.0.1", "", "", "# x\nnet\n", "relay-domains:2" },
		{ "127.0.0.1", "", "a.test OK\nConnect:1 OK\nTo:com RELAY\n", "", "access:3" }, { "127.0.0.1", "", "Connect:0.0.0.0/2 RELAY\n", "", "access:1" },
		{ "127.0.0.1", "", "net RELAY\n", "", "access:1" }, { "127.0.0.1", "", "", "64.0.0.0/2\n", "relay-domains:1" },
		{ "127.0.0.1", "", "Connect:1 RELAY\nConnect:8 RELAY\nConnect:77 RELAY\nConnect:93 RELAY\n", "", "open relay" },
		{ "::ffff:0.0.0.0/96", "", "", "", "0.0.0.0/0 in mynetworks" }, { "2000::/3", "", "", "", "2000::/3 in mynetworks" }, { "127.0.0.0/8 64.0.0.0/4", "", "", "", "64.0.0.0/4" },
		{ "127.0.0.1", "co.uk", "", "", "relay_domains" }, { "127.0.0.1", "", "x.test RELAY\nTo:com.cn RELAY\n", "", "access:2" }, { "127.0.0.1", "", "com. RELAY\n", "", "access:1" },
		{ "127.0.0.1", "", "", "office.test\n\nIPv6:2001\n", "relay-domains:3" }, { "127.0.0.1", "", "Connect:IPv6:2a00 relay\n", "", "access:1" },
		{ "127.0.0.1", "", "Connect:2000::/3 RELAY\n", "", "access:1" }, { "127.0.0.1", "", "0.0.0.0/0\tRelay\n", "", "access:1" },
		{ "127.0.0.1", "", "Connect:2 RELAY\nConnect:23 RELAY\nConnect:41 RELAY\n58 RELAY\n", "8\n151\n", "open relay" },
		{ "127.0.0.1", "", "Connect:xn--p1ai RELAY\n", "", "access:1" }, { "127.0.0.1", "", "To:\xd1\x80\xd1\x84 RELAY\n", "", "access:1" },
		/* what an honest office may have */
		{ "127.0.0.0/8 10.0.0.0/8 192.168.0.0/16 fd00::/8", "backup.test", "Connect:10 RELAY\nTo:x.test RELAY\n", "203.0.113\n", NULL },
		{ "127.0.0.0/8 ::1", "corp lan home", "Connect:IPv6:2001:db8 RELAY\nConnect:internal RELAY\nConnect:9 RELAY\nConnect:192.0.2.7 RELAY\nTo:partner.co.uk RELAY\n", "IPv6:2001:db8:7\npartner.test.\n", NULL },
		{ "", "", "From:com RELAY\nFrom:0.0.0.0/0 RELAY\ncom OK\nConnect:net REJECT\nTo:com REJECT\nConnect:0.0.0.0/0 OK\n", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct settings *s = settings(cases[i].networks, cases[i].relay_domains);
		struct policy *p;
		struct err e = ERR_INIT;
		int r;

		put("access", cases[i].access);
		put("relay-domains", cases[i].list);
		if (policy_new(&p, s, &e) != 0)
			fail_msg("%s", e.text);
		r = policy_is_closed(p, &e);
		print_message("%s\n", r == 0 ? "closed" : e.text);
		assert_int_equal(r, cases[i].blame == NULL ? 0 : -1);
		if (cases[i].blame != NULL && strstr(e.text, cases[i].blame) == NULL)
			fail_msg("\"%s\" does not blame %s", e.text, cases[i].blame);
		policy_free(&p);
		conf_free(&s);
	}
}

/* A list that believes anybody's word about addresses. */
static void test_open_proxies(void **state)
{
	struct settings *s = settings("127.0.0.1", "");
	struct policy *p;
	struct err e = ERR_INIT;

	(void)state;
	put("access", "");
	put("relay-domains", "");
	s->proxy_protocol_from = "10.0.0.5 0.0.0.0/0";
	assert_int_equal(policy_new(&p, s, &e), 0);
	assert_int_equal(policy_is_closed(p, &e), -1);
	assert_non_null(strstr(e.text, "proxy_protocol_from"));
	s->proxy_protocol_from = "10.0.0.0/24 203.0.113.7";
	assert_int_equal(policy_is_closed(p, &e), 0);
	policy_free(&p);
	conf_free(&s);
}

/* A text that is broken or gone hides nothing: what is judged is what answers. */
static void test_what_answers_is_judged(void **state)
{
	struct settings *s = settings("127.0.0.1", "");
	struct policy *p;
	struct err e = ERR_INIT;
	char access[300], image[300];

	(void)state;
	snprintf(access, sizeof(access), "%s/access", dir);
	snprintf(image, sizeof(image), "%s/access.db", dir);
	put("access", "Connect:0.0.0.0/1 RELAY\n");
	assert_int_equal(policy_new(&p, s, &e), 0);
	put("access", "Connect:0.0.0.0/1 RELAY\nnonsense\n");
	assert_int_equal(policy_refresh(p, &e), 0);
	assert_int_equal(policy_is_closed(p, &e), -1);
	assert_non_null(strstr(e.text, "as it is in use"));
	policy_free(&p);
	assert_int_equal(unlink(access), 0);
	assert_int_equal(policy_new(&p, s, &e), 0);
	assert_int_equal(policy_is_closed(p, &e), -1);
	policy_free(&p);
	assert_int_equal(unlink(image), 0);
	/* and a broken text with a good last content does not stop mail */
	put("access", "Connect:192.0.2.7 RELAY\n");
	assert_int_equal(policy_new(&p, s, &e), 0);
	put("access", "Connect:0.0.0.0/1 RELAY\nnonsense\n");
	assert_int_equal(policy_refresh(p, &e), 0);
	assert_int_equal(policy_is_closed(p, &e), 0);
	policy_free(&p);
	put("access", "");
	conf_free(&s);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_fact), cmocka_unit_test(test_policies), cmocka_unit_test(test_open_ones), cmocka_unit_test(test_open_proxies),
		cmocka_unit_test(test_what_answers_is_judged) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
