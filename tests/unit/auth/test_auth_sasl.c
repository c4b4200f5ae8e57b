/*
 * The dialogues of AUTH against the client side of Cyrus SASL, an independent peer for SCRAM, and against what a hostile client would send.
 */
#include <sasl/sasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/auth_cache.h"
#include "auth/auth_sasl.h"

#define CALLBACK(fn) ((int (*)(void))(void (*)(void))(fn))

struct fix {
	char dir[64];
	struct users *users;
	struct auth_sasl *lib;
};

struct client {
	const char *user, *password, *authzid;
	sasl_secret_t *secret;
};

/* Row 27: what the library itself has is exactly ours, so that a hole in another plug-in is not one of ours. */
static void library_has_no_other_mechanism(void)
{
	const char **list = sasl_global_listmech();
	unsigned known = 0, n = 0;

	for (; list[n] != NULL; n++)
		known += strcmp(list[n], "PLAIN") == 0 || strcmp(list[n], "LOGIN") == 0 || strncmp(list[n], "SCRAM-SHA-", 10) == 0 || strcmp(list[n], "EXTERNAL") == 0;
	assert_int_equal(known, n);
	assert_true(n >= 3);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct arena *a = arena_new(0);
	struct user u = { .name = SLICE("u1@office.example") };
	struct err e = ERR_INIT;

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_sasl.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	const char *path = arena_printf(a, "%s/users.db", f->dir);
	assert_int_equal(users_hash_password(SLICE("secret"), a, &u, &e), 0);
	assert_int_equal(users_set(path, NULL, &u, &e), 0);
	assert_int_equal(users_open(&f->users, path, &e), 0);
	assert_int_equal(auth_sasl_init(&f->lib, f->users, "office.example", &e), 0);
	library_has_no_other_mechanism();
	assert_int_equal(sasl_client_init(NULL), SASL_OK);
	arena_free(&a);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	char cmd[128];

	sasl_client_done();
	auth_sasl_done(&f->lib);
	users_close(&f->users);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static int simple_cb(void *context, int id, const char **result, unsigned *len)
{
	struct client *c = context;

	*result = id == SASL_CB_USER ? c->authzid : c->user;
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int secret_cb(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	struct client *c = context;
	size_t n = strlen(c->password);

	(void)conn;
	(void)id;
	c->secret = calloc(1, sizeof(*c->secret) + n + 1);
	c->secret->len = n;
	memcpy(c->secret->data, c->password, n);
	*secret = c->secret;
	return SASL_OK;
}

struct run {
	const char *mech, *user, *password, *authzid;
	const char *client_cb, *server_cb;                            /* NULL: none on that side */
	const char *client_type, *server_end_point;                   /* NULL: tls-exporter; none */
	bool no_initial;
};

/* Runs a whole dialogue; returns the last step of the server, and whether the client believes the server. */
static enum auth_step dialogue(struct fix *f, const struct run *r, char user_out[256], bool *client_ok_out)
{
	struct client c = { r->user, r->password, r->authzid ? r->authzid : "", NULL };
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_USER, CALLBACK(simple_cb), &c }, { SASL_CB_AUTHNAME, CALLBACK(simple_cb), &c },
		{ SASL_CB_PASS, CALLBACK(secret_cb), &c }, { SASL_CB_LIST_END, NULL, NULL },
	};
	sasl_channel_binding_t cb = { .name = r->client_type ? r->client_type : "tls-exporter", .critical = 1 };
	struct auth_dialogue_spec spec = { .mechanism = slice_of(r->mech), .tls = true, .plus_offered = r->server_cb != NULL,
		.cb_type = r->server_cb ? SLICE("tls-exporter") : SLICE_NONE, .cb_data = slice_of(r->server_cb),
		.cb_end_point = slice_of(r->server_end_point) };
	struct auth_dialogue *d = auth_dialogue_new(f->lib, &spec);
	sasl_conn_t *conn = NULL;
	const char *out = NULL, *chosen = NULL;
	unsigned n = 0;
	struct slice challenge = SLICE_NONE;
	enum auth_step step;
	int rc;

	assert_non_null(d);
	assert_int_equal(sasl_client_new("posthouse", "localhost", NULL, NULL, callbacks, SASL_SUCCESS_DATA, &conn), SASL_OK);
	sasl_ssf_t ssf = 128;
	assert_int_equal(sasl_setprop(conn, SASL_SSF_EXTERNAL, &ssf), SASL_OK);
	if (r->client_cb != NULL) {
		cb.data = (const unsigned char *)r->client_cb;
		cb.len = strlen(r->client_cb);
		assert_int_equal(sasl_setprop(conn, SASL_CHANNEL_BINDING, &cb), SASL_OK);
	}
	rc = sasl_client_start(conn, r->mech, NULL, &out, &n, &chosen);
	if (rc != SASL_OK && rc != SASL_CONTINUE)
		fail_msg("%s", sasl_errdetail(conn));
	struct slice initial = slice_mem(out, n);
	if (r->no_initial || out == NULL) {
		step = auth_dialogue_start(d, NULL, &challenge);
		assert_int_equal(step, AUTH_STEP_MORE);
		if (out != NULL && !slice_starts(challenge, SLICE("User")))
			step = auth_dialogue_step(d, initial, &challenge);
	} else
		step = auth_dialogue_start(d, &initial, &challenge);
	while (step == AUTH_STEP_MORE && (rc = sasl_client_step(conn, challenge.p, (unsigned)challenge.n, NULL, &out, &n)) >= 0)
		step = auth_dialogue_step(d, slice_mem(out, n), &challenge);
	if (step == AUTH_STEP_MORE)
		fail_msg("the client stopped: %s", sasl_errdetail(conn));
	if (step == AUTH_STEP_PROVED && challenge.n != 0)
		rc = sasl_client_step(conn, challenge.p, (unsigned)challenge.n, NULL, &out, &n);
	*client_ok_out = rc == SASL_OK;
	snprintf(user_out, 256, "%.*s %.*s", SLICE_FMT(auth_dialogue_user(d)), SLICE_FMT(auth_dialogue_password(d)));
	auth_dialogue_free(&d);
	sasl_dispose(&conn);
	free(c.secret);
	return step;
}

static void every_mechanism(void **state)
{
	static const struct { struct run run; enum auth_step step; const char *user; } cases[] = {
		{ { .mech = "PLAIN", .user = "u1", .password = "x" }, AUTH_STEP_CLAIMED, "u1@office.example x" },
		{ { .mech = "PLAIN", .user = "U1@Office.example", .password = "x", .no_initial = true }, AUTH_STEP_CLAIMED, "u1@office.example x" },
		{ { .mech = "PLAIN", .user = "u1", .password = "x", .authzid = "u1@office.example" }, AUTH_STEP_CLAIMED, "u1@office.example x" },
		{ { .mech = "PLAIN", .user = "u1", .password = "x", .authzid = "u2" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "LOGIN", .user = "u1", .password = "x" }, AUTH_STEP_CLAIMED, "u1@office.example x" },
		{ { .mech = "PLAIN", .user = "../u1", .password = "x" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "secret" }, AUTH_STEP_PROVED, "u1@office.example " },
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "secret", .no_initial = true }, AUTH_STEP_PROVED, "u1@office.example " },
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "wrong" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256", .user = "nobody", .password = "secret" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "secret", .authzid = "u2@office.example" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_cb = "0123456789abcdef", .server_cb = "0123456789abcdef" }, AUTH_STEP_PROVED, "u1@office.example " },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_cb = "0123456789abcdef", .server_cb = "man in the middl" }, AUTH_STEP_DENIED, NULL },
		/* a client that knows only the certificate's hash */
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_type = "tls-server-end-point", .client_cb = "hash", .server_cb = "0123456789abcdef",
		    .server_end_point = "hash" }, AUTH_STEP_PROVED, "u1@office.example " },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_type = "tls-server-end-point", .client_cb = "hash", .server_end_point = "hash" },
		    AUTH_STEP_PROVED, "u1@office.example " },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_type = "tls-server-end-point", .client_cb = "other", .server_cb = "0123456789abcdef",
		    .server_end_point = "hash" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_type = "tls-server-end-point", .client_cb = "0123456789abcdef",
		    .server_cb = "0123456789abcdef", .server_end_point = "hash" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256-PLUS", .user = "u1", .password = "secret", .client_type = "tls-server-end-point", .client_cb = "hash",
		    .server_cb = "0123456789abcdef" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "secret", .server_cb = "0123456789abcdef" }, AUTH_STEP_PROVED, "u1@office.example " },
		/* the client has a binding but was shown a list without -PLUS by someone between */
		{ { .mech = "SCRAM-SHA-256", .user = "u1", .password = "secret", .client_cb = "0123456789abcdef", .server_cb = "0123456789abcdef" }, AUTH_STEP_DENIED, NULL },
		{ { .mech = "scram-sha-256", .user = "u1", .password = "secret" }, AUTH_STEP_PROVED, "u1@office.example " },
	};
	char user[256];
	bool client_ok;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum auth_step step = dialogue(*state, &cases[i].run, user, &client_ok);
		if (step != cases[i].step)
			fail_msg("case %zu: step %d instead of %d", i, (int)step, (int)cases[i].step);
		if (cases[i].user != NULL) {
			assert_string_equal(user, cases[i].user);
			assert_true(client_ok);
		}
	}
}

static struct slice first_challenge(struct auth_dialogue *d, const char *text)
{
	struct slice initial = slice_of(text), challenge;

	assert_int_equal(auth_dialogue_start(d, &initial, &challenge), AUTH_STEP_MORE);
	return challenge;
}

/* A user who does not exist is shown the same kind of challenge, with the same salt each time. */
static void nobody_looks_like_somebody(void **state)
{
	struct fix *f = *state;
	struct auth_dialogue_spec spec = { .mechanism = SLICE("SCRAM-SHA-256") };
	char salt[3][64];
	size_t n[3];
	static const char *const first[] = { "n,,n=u1,r=abc", "n,,n=ghost,r=abc", "n,,n=ghost,r=abc" };

	for (int i = 0; i < 3; i++) {
		struct auth_dialogue *d = auth_dialogue_new(f->lib, &spec);
		struct slice c = first_challenge(d, first[i]);
		ptrdiff_t at = slice_find(c, SLICE(",s="));
		assert_true(at > 0);
		snprintf(salt[i], sizeof(salt[i]), "%.*s", SLICE_FMT(slice_from(c, (size_t)at)));
		n[i] = c.n;
		auth_dialogue_free(&d);
	}
	assert_int_equal(n[0], n[1]);
	assert_string_equal(salt[1], salt[2]);
	assert_string_not_equal(salt[0], salt[1]);
	assert_non_null(strstr(salt[1], ",i=4096"));
}

static void nonsense_is_refused(void **state)
{
	struct fix *f = *state;
	static const struct { const char *mech; struct slice in; } cases[] = {
		{ "PLAIN", SLICE_INIT("") }, { "PLAIN", SLICE_INIT("no nul") }, { "PLAIN", SLICE_INIT("\0u1") }, { "PLAIN", SLICE_INIT("\0\0\0") },
		{ "PLAIN", SLICE_INIT("\0u1\0a\0b") }, { "PLAIN", SLICE_INIT("\0u\t1\0x") }, { "PLAIN", SLICE_INIT("\0u1@a@b\0x") },
		{ "PLAIN", SLICE_INIT("\0" "a/../b\0x") }, { "SCRAM-SHA-256", SLICE_INIT("") }, { "SCRAM-SHA-256", SLICE_INIT("x,,n=u1,r=abc") },
		{ "SCRAM-SHA-256", SLICE_INIT("p=tls-exporter,,n=u1,r=abc") }, { "SCRAM-SHA-256", SLICE_INIT("n,,m=1,n=u1,r=abc") },
		{ "SCRAM-SHA-256", SLICE_INIT("n,,n=u1") }, { "SCRAM-SHA-256", SLICE_INIT("n,,n=u1,r=a\0c") }, { "SCRAM-SHA-256", SLICE_INIT("n,,n=,r=abcdef") },
		{ "SCRAM-SHA-256-PLUS", SLICE_INIT("n,,n=u1,r=abcdef") }, { "SCRAM-SHA-256-PLUS", SLICE_INIT("p=tls-unique,,n=u1,r=abcdef") },
		{ "SCRAM-SHA-256-PLUS", SLICE_INIT("p=tls-exporter") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_dialogue_spec spec = { .mechanism = slice_of(cases[i].mech), .cb_type = SLICE("tls-exporter"), .cb_data = SLICE("0123456789abcdef") };
		struct auth_dialogue *d = auth_dialogue_new(f->lib, &spec);
		struct slice challenge;
		enum auth_step step = auth_dialogue_start(d, &cases[i].in, &challenge);
		if (step != AUTH_STEP_DENIED && step != AUTH_STEP_SYNTAX)
			fail_msg("case %zu: step %d", i, (int)step);
		assert_true(auth_dialogue_why(d)[0] != '\0');
		auth_dialogue_free(&d);
	}
	static const char *const not_ours[] = { "", "CRAM-MD5", "DIGEST-MD5", "NTLM", "ANONYMOUS", "EXTERNAL", "SCRAM-SHA-1", "SCRAM-SHA-512", "GSSAPI", "PLAIN-PLUS", "PLAINX" };
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++) {
		struct auth_dialogue_spec spec = { .mechanism = slice_of(not_ours[i]) };
		assert_null(auth_dialogue_new(f->lib, &spec));
	}
}

/* CVE-2017-15132: a thousand dialogues broken off leak nothing (LeakSanitizer looks). */
static void aborted_dialogues_leave_nothing(void **state)
{
	struct fix *f = *state;
	struct auth_dialogue_spec spec = { .mechanism = SLICE("SCRAM-SHA-256") };

	for (int i = 0; i < 1000; i++) {
		struct auth_dialogue *d = auth_dialogue_new(f->lib, &spec);
		first_challenge(d, "n,,n=u1,r=abc");
		auth_dialogue_free(&d);
	}
}

static void cache_remembers_and_forgets(void **state)
{
	struct auth_cache *c = auth_cache_new(1000);
	char name[32];

	(void)state;
	auth_cache_put(c, SLICE("a"), SLICE("pw"), 5000);
	assert_true(auth_cache_has(c, SLICE("a"), SLICE("pw"), 5999));
	assert_false(auth_cache_has(c, SLICE("a"), SLICE("pw"), 6000));
	assert_false(auth_cache_has(c, SLICE("a"), SLICE("px"), 5000));
	assert_false(auth_cache_has(c, SLICE("b"), SLICE("pw"), 5000));
	auth_cache_put(c, SLICE("a"), SLICE("new"), 5000);
	assert_false(auth_cache_has(c, SLICE("a"), SLICE("pw"), 5001));
	auth_cache_clear(c);
	assert_false(auth_cache_has(c, SLICE("a"), SLICE("new"), 5001));
	for (unsigned i = 0; i <= AUTH_CACHE_USERS; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		auth_cache_put(c, slice_of(name), SLICE("x"), 0);
	}
	assert_false(auth_cache_has(c, SLICE("u0"), SLICE("x"), 1));
	assert_true(auth_cache_has(c, slice_of(name), SLICE("x"), 1));
	auth_cache_free(&c);
	c = auth_cache_new(0);
	auth_cache_put(c, SLICE("a"), SLICE("pw"), 5000);
	assert_false(auth_cache_has(c, SLICE("a"), SLICE("pw"), 5000));
	auth_cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mechanism),
		cmocka_unit_test(nobody_looks_like_somebody),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(aborted_dialogues_leave_nothing),
		cmocka_unit_test(cache_remembers_and_forgets),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
