/*
 * Front, auth process and PAM process over real channels in one loop: verdicts, delays, cache, cancel, death; PAM is the machine's Linux-PAM with
 * service files of our own (pam_wrapper turns /etc/pam.d to them; the program starts itself anew under it).
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

#include "auth/auth.h"
#include "auth/auth_pam.h"
#include "auth/auth_server.h"
#include "auth/users.h"
#include "base/clock.h"
#include "base/file.h"
#include "conf/conf.h"

#define WRAPPER "/usr/lib/x86_64-linux-gnu/libpam_wrapper.so"
#define MATRIX "/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so"

struct fix {
	char dir[64];
	struct arena *a;
	struct settings *s;
	struct loop *loop;
	struct auth_client *client;
	struct auth_server *server;
	struct auth_pam *pam;
	struct auth_server_hooks hooks;
	struct auth_ticket *ticket;                                   /* of a grant not answered yet */
	unsigned grants, forgets, vouched;
	int vouch_rc;
	bool has_ticket;                                              /* in the answer: the one that on_vouch drew */
	/* the answer */
	int result;
	char text[256], user[256], method[64], challenge[512];
	int64_t took_ms;
};

static void on_grant(void *ctx, struct auth_ticket *t, const struct auth_login_fact *fact)
{
	struct fix *f = ctx;

	assert_true(slice_eqs(fact->service, "imap") && fact->addr.len == 4);
	f->grants++;
	f->ticket = t;
}

static void on_forget(void *ctx, struct auth_ticket *t)
{
	struct fix *f = ctx;

	assert_ptr_equal(t, f->ticket);
	f->ticket = NULL;
	f->forgets++;
}

static int on_vouch(void *ctx, const struct auth_login_fact *fact, uint8_t ticket_out[AUTH_TICKET_SIZE], uint32_t *generation_out)
{
	struct fix *f = ctx;

	assert_true(slice_eqs(fact->user, "u1@office.example"));
	memset(ticket_out, 'T', AUTH_TICKET_SIZE);
	*generation_out = 3;
	f->vouched++;
	return f->vouch_rc;
}

static uint32_t on_failed(void *ctx, const struct auth_login_fact *fact, int64_t wall_us)
{
	(void)ctx;
	(void)fact;
	(void)wall_us;
	return 200;
}

static void put_file(struct fix *f, const char *name, const char *text)
{
	struct err e;

	assert_int_equal(file_replace(arena_printf(f->a, "%s/%s", f->dir, name), slice_of(text), 0644, &e), 0);
}

static void start_all(struct fix *f, const char *const *overrides)
{
	struct err e = ERR_INIT;
	struct buf warnings;
	int fds[2];

	buf_init(&warnings, BUF_UNBOUNDED);
	if (conf_load(&f->s, NULL, overrides, &warnings, &e) != 0)
		fail_msg("%s", e.text);
	buf_done(&warnings);
	f->loop = loop_new();
	f->hooks = (struct auth_server_hooks){ .grant = on_grant, .forget = on_forget, .failed = on_failed };
	if (auth_server_new(&f->server, f->loop, f->s, &f->hooks, f, &e) != 0)
		fail_msg("%s", e.text);
	f->client = auth_client_new(f->loop, f->s);
	assert_int_equal(chan_pair(fds, &e), 0);
	auth_client_link(f->client, 0, fds[0]);
	auth_server_front(f->server, fds[1]);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct user u = { .name = SLICE("u1@office.example") };
	struct err e = ERR_INIT;

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_auths.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->a = arena_new(0);
	const char *db = arena_printf(f->a, "%s/users.db", f->dir);
	assert_int_equal(users_hash_password(SLICE("secret"), f->a, &u, &e), 0);
	assert_int_equal(users_set(db, NULL, &u, &e), 0);
	u.name = SLICE("closed@office.example");
	u.flags = USER_DISABLED;
	assert_int_equal(users_set(db, NULL, &u, &e), 0);
	u.name = SLICE("broken@office.example");
	u.hash = SLICE("!");
	u.flags = 0;
	assert_int_equal(users_set(db, NULL, &u, &e), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	char cmd[128];

	auth_client_free(&f->client);
	auth_server_free(&f->server);
	auth_pam_free(&f->pam);
	if (f->loop)
		loop_free(&f->loop);
	if (f->s)
		conf_free(&f->s);
	arena_free(&f->a);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static void start_plain(struct fix *f)
{
	const char *const o[] = { arena_printf(f->a, "users_db=%s/users.db", f->dir), "default_domain=office.example", "auth_failure_delay=1s", NULL };

	start_all(f, o);
}

static void on_answer(void *ctx, const struct auth_answer *a)
{
	struct fix *f = ctx;

	f->result = (int)a->result;
	snprintf(f->text, sizeof(f->text), "%s", a->text ? a->text : "");
	f->has_ticket = slice_eqs(a->ticket, "TTTTTTTTTTTTTTTT") && a->generation == 3;
	assert_true(f->has_ticket || a->ticket.n == 0);
	snprintf(f->user, sizeof(f->user), "%.*s", SLICE_FMT(a->user));
	snprintf(f->method, sizeof(f->method), "%.*s", SLICE_FMT(a->method));
	snprintf(f->challenge, sizeof(f->challenge), "%.*s", SLICE_FMT(a->challenge));
	loop_stop(f->loop);
}

static struct auth_peer peer_of(bool tls, bool grant)
{
	struct auth_peer p = { .service = "imap", .tls = tls, .session = "s1", .grant = grant };

	p.addr.len = 4;
	memcpy(p.addr.octets, "\xc0\x00\x02\x07", 4);
	return p;
}

static void never(void *ctx)
{
	(void)ctx;
	fail_msg("no answer within 20 s");
}

static void wait_answer(struct fix *f)
{
	struct loop_timer t = { 0 };
	int64_t t0 = clock_mono_ms();

	f->result = -1;
	loop_timer_start(f->loop, &t, 20000, never, NULL);
	loop_run(f->loop);
	loop_timer_stop(f->loop, &t);
	f->took_ms = clock_mono_ms() - t0;
}

static int login(struct fix *f, const char *user, const char *password)
{
	struct auth_peer p = peer_of(true, false);

	auth_login(f->client, slice_of(user), slice_of(password), &p, on_answer, f);
	wait_answer(f);
	return f->result;
}

static void verdicts(void **state)
{
	struct fix *f = *state;
	char known[256];

	start_plain(f);
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	assert_string_equal(f->user, "u1@office.example");
	assert_true(f->took_ms < 190);
	assert_int_equal(login(f, "U1@OFFICE.example", "secret"), AUTH_OK);
	assert_int_equal(login(f, "u1", "wrong"), AUTH_DENIED);
	assert_true(f->took_ms >= 200);
	assert_string_equal(f->text, "wrong password");
	memcpy(known, f->text, sizeof(known));
	assert_int_equal(login(f, "ghost", "secret"), AUTH_DENIED);
	assert_true(f->took_ms >= 200);
	assert_string_equal(f->user, "ghost@office.example");
	assert_int_equal(login(f, "a/../b", "secret"), AUTH_DENIED);
	assert_int_equal(login(f, "", ""), AUTH_DENIED);
	assert_int_equal(login(f, "u1", ""), AUTH_DENIED);
	assert_int_equal(login(f, "closed", "secret"), AUTH_DENIED);
	assert_int_equal(login(f, "broken", "secret"), AUTH_TEMP);
	assert_non_null(strstr(f->text, "password store unreadable"));
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
}

static void no_password_in_clear(void **state)
{
	struct fix *f = *state;
	struct auth_peer p = peer_of(false, false);
	struct slice plain = SLICE("\0u1\0secret");
	struct arena *a = f->a;

	start_plain(f);
	auth_login(f->client, SLICE("u1"), SLICE("secret"), &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_SYNTAX);
	auth_start(f->client, SLICE("PLAIN"), &plain, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_SYNTAX);
	assert_string_equal(auth_mechanisms(f->s, false, &p.addr, a), "SCRAM-SHA-256");
	assert_string_equal(auth_mechanisms(f->s, true, &p.addr, a), "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
	const char *const o[] = { "plaintext_login_from=192.0.2.0/24", NULL };
	struct settings *s = NULL;
	struct buf w;
	buf_init(&w, BUF_UNBOUNDED);
	assert_int_equal(conf_load(&s, NULL, o, &w, NULL), 0);
	assert_string_equal(auth_mechanisms(s, false, &p.addr, a), "SCRAM-SHA-256 PLAIN LOGIN");
	buf_done(&w);
	conf_free(&s);
}

static void dialogues(void **state)
{
	struct fix *f = *state;
	struct auth_peer p = peer_of(true, false);
	struct slice plain = SLICE("\0u1\0secret"), bad = SLICE("\0u1\0wrong"), scram = SLICE("n,,n=u1,r=abcdefgh");

	start_plain(f);
	auth_start(f->client, SLICE("plain"), &plain, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_OK);
	assert_string_equal(f->method, "PLAIN");
	auth_start(f->client, SLICE("PLAIN"), &bad, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_DENIED);
	struct auth_request *r = auth_start(f->client, SLICE("LOGIN"), NULL, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_MORE);
	auth_continue(r, SLICE("u1"));
	wait_answer(f);
	assert_int_equal(f->result, AUTH_MORE);
	auth_continue(r, SLICE("secret"));
	wait_answer(f);
	assert_int_equal(f->result, AUTH_OK);
	assert_string_equal(f->method, "LOGIN");
	r = auth_start(f->client, SLICE("SCRAM-SHA-256"), &scram, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_MORE);
	assert_non_null(strstr(f->challenge, "r=abcdefgh"));
	auth_continue(r, SLICE("c=biws,r=abcdefgh,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
	wait_answer(f);
	assert_int_equal(f->result, AUTH_DENIED);
	assert_true(f->took_ms >= 200);
	auth_start(f->client, SLICE("CRAM-MD5"), NULL, &p, on_answer, f);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_SYNTAX);
	for (int i = 0; i < 200; i++) {
		r = auth_start(f->client, SLICE("SCRAM-SHA-256"), &scram, &p, on_answer, f);
		auth_cancel(r);
	}
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	assert_int_equal(auth_server_busy(f->server), 0);
}

static void cache_is_dropped_with_the_file(void **state)
{
	struct fix *f = *state;
	struct user u = { .name = SLICE("u1@office.example") };
	struct err e;
	int64_t t0;

	start_plain(f);
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	t0 = clock_mono_ms();
	for (int i = 0; i < 100; i++)
		assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	assert_true(clock_mono_ms() - t0 < 500);                          /* a hundred slow hashes take more than a second */
	assert_int_equal(users_hash_password(SLICE("other"), f->a, &u, &e), 0);
	assert_int_equal(users_set(arena_printf(f->a, "%s/users.db", f->dir), NULL, &u, &e), 0);
	assert_int_equal(login(f, "u1", "secret"), AUTH_DENIED);
	assert_int_equal(login(f, "u1", "other"), AUTH_OK);
}

static void grant_comes_before_the_answer(void **state)
{
	struct fix *f = *state;
	struct auth_peer p = peer_of(true, true);
	struct loop_timer t = { 0 };

	start_plain(f);
	struct auth_request *r = auth_login(f->client, SLICE("u1"), SLICE("secret"), &p, on_answer, f);
	f->result = -1;
	loop_timer_start(f->loop, &t, 300, (void (*)(void *))loop_stop, f->loop);
	loop_run(f->loop);
	assert_int_equal(f->result, -1);
	assert_int_equal(f->grants, 1);
	assert_non_null(f->ticket);
	auth_server_granted(f->ticket);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_OK);
	r = auth_login(f->client, SLICE("u1"), SLICE("secret"), &p, on_answer, f);
	f->result = -1;
	loop_timer_start(f->loop, &t, 100, (void (*)(void *))loop_stop, f->loop);
	loop_run(f->loop);
	assert_int_equal(f->grants, 2);
	auth_cancel(r);
	loop_timer_start(f->loop, &t, 50, (void (*)(void *))loop_stop, f->loop);
	loop_run(f->loop);
	assert_int_equal(f->forgets, 1);
	assert_int_equal(login(f, "u1", "wrong"), AUTH_DENIED);
	assert_int_equal(f->grants, 2);
}

static void the_spawner_hears_before_the_front(void **state)
{
	struct fix *f = *state;

	start_plain(f);
	f->hooks.vouch = on_vouch;
	assert_int_equal(login(f, "u1", "wrong"), AUTH_DENIED);
	assert_int_equal(login(f, "closed", "secret"), AUTH_DENIED);
	assert_int_equal(f->vouched, 0);
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);              /* a service without one */
	assert_int_equal(f->vouched, 1);
	assert_false(f->has_ticket);
	f->vouch_rc = 1;
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	assert_true(f->has_ticket);
	f->vouch_rc = -1;
	assert_int_equal(login(f, "u1", "secret"), AUTH_TEMP);
	assert_false(f->has_ticket);
	assert_int_equal(f->vouched, 3);
}

static void a_dead_process_is_temporary(void **state)
{
	struct fix *f = *state;
	struct auth_peer p = peer_of(true, true);
	struct err e;
	int fds[2];

	start_plain(f);
	auth_login(f->client, SLICE("u1"), SLICE("secret"), &p, on_answer, f);
	auth_server_free(&f->server);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_TEMP);
	auth_login(f->client, SLICE("u1"), SLICE("secret"), &p, on_answer, f);       /* waits for the next process */
	assert_int_equal(auth_server_new(&f->server, f->loop, f->s, &(struct auth_server_hooks){ .grant = NULL }, f, &e), 0);
	assert_int_equal(chan_pair(fds, &e), 0);
	auth_client_link(f->client, 0, fds[0]);
	auth_server_front(f->server, fds[1]);
	wait_answer(f);
	assert_int_equal(f->result, AUTH_OK);
}

static void start_pam(struct fix *f, const char *service)
{
	struct err e;
	int fds[2];
	const char *const o[] = { arena_printf(f->a, "users_db=%s/users.db", f->dir), "default_domain=office.example", "auth_failure_delay=1s",
		"passdb=users pam", arena_printf(f->a, "pam_service=%s", service), "pam_timeout=2s", NULL };

	start_all(f, o);
	f->pam = auth_pam_new(f->loop, service, 2000);
	assert_int_equal(chan_pair(fds, &e), 0);
	auth_server_pam(f->server, fds[0]);
	auth_pam_link(f->pam, fds[1]);
}

static bool no_pam(void)
{
	if (getenv("PAM_WRAPPER") != NULL)
		return false;
	print_message("skipped: no pam_wrapper on this machine (Debian: libpam-wrapper)\n");
	return true;
}

static void pam_decides_last(void **state)
{
	struct fix *f = *state;

	if (no_pam())
		skip();
	start_pam(f, "posthouse-matrix");
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);              /* users.db */
	assert_int_equal(login(f, "sysuser", "syspass"), AUTH_OK);
	assert_string_equal(f->user, "sysuser@office.example");
	assert_int_equal(login(f, "sysuser", "wrong"), AUTH_DENIED);
	assert_true(f->took_ms >= 200);
	assert_int_equal(login(f, "u1", "syspass"), AUTH_DENIED);
	assert_int_equal(login(f, "ghost", "syspass"), AUTH_DENIED);
	assert_int_equal(login(f, "root", "rootpass"), AUTH_DENIED);
	assert_non_null(strstr(f->text, "root"));
	assert_int_equal(login(f, "sysuser", ""), AUTH_DENIED);
	assert_int_equal(login(f, "other@elsewhere.example", "syspass"), AUTH_DENIED);
}

static void pam_accounts_and_delays(void **state)
{
	struct fix *f = *state;

	if (no_pam())
		skip();
	start_pam(f, "posthouse-expired");
	assert_int_equal(login(f, "sysuser", "syspass"), AUTH_DENIED);
	assert_non_null(strstr(f->text, "pam_acct_mgmt"));
}

static void pam_delay_is_ours(void **state)
{
	struct fix *f = *state;
	struct auth_pam_verdict v;
	struct net_addr addr = { .len = 0 };

	if (no_pam())
		skip();
	int64_t t0 = clock_mono_ms();
	auth_pam_ask("posthouse-delay", "sysuser", "wrong", &addr, &v);
	assert_int_equal(v.result, AUTH_DENIED);
	assert_true(clock_mono_ms() - t0 < 1000);                         /* PAM itself did not sleep */
	assert_true(v.delay_ms >= 1000);
	(void)f;
}

static void pam_that_hangs_is_cut_off(void **state)
{
	struct fix *f = *state;

	if (no_pam())
		skip();
	start_pam(f, "posthouse-hang");
	assert_int_equal(login(f, "sysuser", "syspass"), AUTH_TEMP);
	assert_true(f->took_ms >= 1900 && f->took_ms < 4000);
	assert_non_null(strstr(f->text, "pam_timeout"));
	assert_int_equal(login(f, "u1", "secret"), AUTH_OK);
	assert_int_equal(auth_pam_busy(f->pam), 0);
}

/* Linux-PAM reads its own directory unless pam_wrapper points it elsewhere. */
static void under_wrapper(char **argv)
{
	char dir[] = "/tmp/test_pamd.XXXXXX";
	struct arena *a;

#ifdef __SANITIZE_ADDRESS__
	return;                                                           /* pam_wrapper needs RTLD_DEEPBIND, which the sanitizer refuses */
#endif
	if (getenv("PAM_WRAPPER") != NULL || access(WRAPPER, R_OK) != 0 || access(MATRIX, R_OK) != 0 || mkdtemp(dir) == NULL)
		return;
	a = arena_new(0);
	struct fix f = { .a = a };
	snprintf(f.dir, sizeof(f.dir), "%s", dir);
	put_file(&f, "passdb", "sysuser:syspass:posthouse-matrix\nsysuser:syspass:posthouse-expired\nsysuser:syspass:posthouse-delay\n"
	    "root:rootpass:posthouse-matrix\n");
	const char *matrix = arena_printf(a, MATRIX " passdb=%s/passdb", dir);
	put_file(&f, "posthouse-matrix", arena_printf(a, "auth required %s\naccount required %s\n", matrix, matrix));
	put_file(&f, "posthouse-expired", arena_printf(a, "auth required %s\naccount required pam_deny.so\n", matrix));
	put_file(&f, "posthouse-delay", arena_printf(a, "auth optional pam_faildelay.so delay=3000000\nauth required %s\naccount required %s\n", matrix, matrix));
	put_file(&f, "other", "auth required pam_deny.so\naccount required pam_deny.so\n");
	put_file(&f, "posthouse-hang", "auth required pam_exec.so /bin/sleep 30\naccount required pam_permit.so\n");
	setenv("PAM_WRAPPER", "1", 1);
	setenv("PAM_WRAPPER_SERVICE_DIR", dir, 1);
	setenv("LD_PRELOAD", WRAPPER, 1);
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(no_password_in_clear, setup, teardown),
		cmocka_unit_test_setup_teardown(dialogues, setup, teardown),
		cmocka_unit_test_setup_teardown(cache_is_dropped_with_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(grant_comes_before_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(the_spawner_hears_before_the_front, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dead_process_is_temporary, setup, teardown),
		cmocka_unit_test_setup_teardown(pam_decides_last, setup, teardown),
		cmocka_unit_test_setup_teardown(pam_accounts_and_delays, setup, teardown),
		cmocka_unit_test_setup_teardown(pam_delay_is_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(pam_that_hangs_is_cut_off, setup, teardown),
	};

	(void)argc;
	under_wrapper(argv);
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	if (getenv("PAM_WRAPPER_SERVICE_DIR") != NULL) {
		char cmd[128];
		snprintf(cmd, sizeof(cmd), "rm -rf %s", getenv("PAM_WRAPPER_SERVICE_DIR"));
		unsetenv("LD_PRELOAD");
		rc += system(cmd) == 0 ? 0 : 1;
	}
	return rc;
}
