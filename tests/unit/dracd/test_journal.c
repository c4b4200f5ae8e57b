/*
 * What the journal brings back: after kill -9, torn, damaged, rewritten, without space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "conf/conf.h"
#include "dracd/core.h"
#include "dracd/jrecord.h"
#include "tests/unit/dracd/dracd_test.h"

static void journal_survives(void **state)
{
	char dir[] = "/tmp/test_dracd.XXXXXX", cmd[64], table_o[96], journal[96];
	struct settings *s;
	struct core *c = NULL;
	struct err e = ERR_INIT;
	size_t lost;
	uint32_t retry;
	bool sync = false;
	struct drac_entry en;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(table_o, sizeof(table_o), "drac_table=%s/dracd.db", dir);
	snprintf(journal, sizeof(journal), "%s/dracd.db.journal", dir);
	const char *const o[] = { "drac_allow=/nonexistent/x", table_o, NULL };
	s = settings_with(o);
	assert_int_equal(core_new(&c, s, at(0), &lost, &e), 0);
	struct drac_grant_args g1 = grant_of("192.0.2.7", "u1@x", 0), g2 = grant_of("2001:db8::7", "u2@x", 0), g3 = grant_of("192.0.2.9", "u3@x", 0);
	assert_int_equal(core_grant(c, &g1, at(0), &retry, &sync), DRAC3_OK);
	assert_true(sync);
	assert_int_equal(core_grant(c, &g2, at(5), &retry, &sync), DRAC3_OK);
	assert_int_equal(core_grant(c, &g3, at(5), &retry, &sync), DRAC3_OK);
	core_revoke(c, &g3.addr, SLICE_NONE, at(0));
	assert_int_equal(core_sync(c), 0);
	core_free(&c);                                                    /* as after kill -9: nothing more is written */
	assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(table_count(core_table(c)), 2);
	assert_int_equal(core_query(c, &g2.addr, at(1805), &en), DRAC3_OK);
	assert_true(slice_eqs(en.vouchers[0].who.user, "u2@x") && slice_eqs(en.vouchers[0].who.session, "s"));
	assert_int_equal(core_query(c, &g2.addr, at(1806), &en), DRAC3_NOTFOUND);
	core_free(&c);
	/* a torn tail, then damage in the middle */
	struct buf b;
	buf_init(&b, 1u << 20);
	assert_int_equal(file_read(journal, &b, &e), 0);
	size_t whole = b.len;
	assert_int_equal(truncate(journal, (off_t)whole - 3), 0);
	assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
	assert_true(lost != 0);
	assert_int_equal(table_count(core_table(c)), 1);
	core_free(&c);
	for (size_t i = 0; i < whole; i += 5) {
		b.p[i] = (char)(b.p[i] ^ 0x10);
		assert_int_equal(file_replace(journal, buf_view(&b), 0600, &e), 0);
		assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
		assert_true(lost != 0 && table_count(core_table(c)) < 2);
		core_free(&c);
		b.p[i] = (char)(b.p[i] ^ 0x10);
	}
	buf_done(&b);
	conf_free(&s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

/*
 * The file by itself: a table, its journal, and what a second table reads from it.
 */

struct place {
	char dir[32], path[64];
	struct table *t;
	struct journal *j;
};

static void place_open(struct place *p)
{
	struct err e = ERR_INIT;
	size_t lost;

	strcpy(p->dir, "/tmp/test_dracj.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/j", p->dir);
	p->t = table_new(&policy);
	assert_int_equal(journal_open(&p->j, p->path, p->t, at(0), &lost, &e), 0);
}

static void place_close(struct place *p)
{
	char cmd[64];

	journal_close(&p->j);
	table_free(&p->t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", p->dir);
	assert_int_equal(system(cmd), 0);
}

static void give(struct place *p, unsigned i)
{
	char addr[32], user[32];
	struct table_grant r;

	snprintf(addr, sizeof(addr), "10.0.%u.%u", i / 256, i % 256);
	snprintf(user, sizeof(user), "u%u@x", i);
	struct drac_grant_args g = grant_of(addr, user, 0);
	table_grant(p->t, &g, at(0), &r);
	journal_grant(p->j, &g.addr, &g.who, r.login_at, r.expires_at);
}

/* How many addresses a start at this moment would find. */
static size_t read_again(const char *path, size_t *lost_out)
{
	struct table *t = table_new(&policy);
	struct err e = ERR_INIT;
	struct buf b;

	buf_init(&b, 1u << 24);
	assert_int_equal(file_read(path, &b, &e), 0);
	*lost_out = jrecord_apply_all(buf_view(&b), t, at(1));
	size_t n = table_count(t);

	buf_done(&b);
	table_free(&t);
	return n;
}

static void wait_for(pid_t pid, struct journal *j)
{
	int status = -1;

	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
	journal_rewritten(j, true);
}

static void written_anew_while_grants_come(void **state)
{
	struct place p;
	struct err e = ERR_INIT;
	struct net_addr a = addr_of("10.0.0.5");
	size_t lost;

	(void)state;
	place_open(&p);
	for (unsigned i = 0; i < 20; i++)
		give(&p, i);
	assert_int_equal(journal_sync(p.j, &e), 0);
	assert_true(journal_begin(p.j) == false && journal_end(p.j, &e) == 0);    /* nothing waits */
	give(&p, 20);
	assert_true(journal_begin(p.j));                                  /* this flush runs when the child is forked */
	journal_rewrite(p.j);
	pid_t pid = fork();
	if (pid == 0)
		_exit(journal_write_new(p.j, p.t) != 0);
	assert_false(journal_wants_rewrite(p.j));
	journal_work(p.j);
	assert_int_equal(journal_end(p.j, &e), 0);
	give(&p, 21);
	table_revoke(p.t, &a, SLICE_NONE, NULL, NULL);
	journal_revoke(p.j, &a, SLICE_NONE);
	assert_int_equal(journal_sync(p.j, &e), 0);
	assert_int_equal(read_again(p.path, &lost), 21);                  /* kill -9 here: the old file has it all */
	wait_for(pid, p.j);
	give(&p, 22);
	assert_int_equal(read_again(p.path, &lost), 21);
	assert_int_equal(journal_sync(p.j, &e), 0);
	assert_int_equal(read_again(p.path, &lost), 22);                  /* and here the new one */
	assert_int_equal(lost, 0);
	give(&p, 23);
	assert_int_equal(journal_sync(p.j, &e), 0);
	assert_int_equal(read_again(p.path, &lost), 23);
	place_close(&p);
}

static void damage_costs_the_record_that_it_hit(void **state)
{
	struct place p;
	struct err e = ERR_INIT;
	struct buf b;
	size_t lost;

	(void)state;
	place_open(&p);
	for (unsigned i = 0; i < 10; i++)
		give(&p, i);
	assert_int_equal(journal_sync(p.j, &e), 0);
	buf_init(&b, 1u << 20);
	assert_int_equal(file_read(p.path, &b, &e), 0);
	for (size_t i = 12; i < b.len; i++) {
		b.p[i] = (char)(b.p[i] ^ 0x41);
		assert_int_equal(file_replace(p.path, buf_view(&b), 0600, &e), 0);
		if (read_again(p.path, &lost) != 9 || lost == 0)
			fail_msg("octet %zu", i);
		b.p[i] = (char)(b.p[i] ^ 0x41);
	}
	buf_puts(&b, "garbage at the end, as after a power cut");
	assert_int_equal(file_replace(p.path, buf_view(&b), 0600, &e), 0);
	assert_int_equal(read_again(p.path, &lost), 10);
	assert_int_equal(lost, 40);
	buf_done(&b);
	place_close(&p);
}

/* A limit on the size of files stands for a disk that is full: the write is cut short. */
static void without_space(void **state)
{
	struct place p;
	struct err e = ERR_INIT;
	struct rlimit was, tight;
	struct stat st;
	size_t lost;

	(void)state;
	place_open(&p);
	for (unsigned i = 0; i < 10; i++)
		give(&p, i);
	assert_int_equal(journal_sync(p.j, &e), 0);
	assert_int_equal(stat(p.path, &st), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = (rlim_t)st.st_size + 50;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	give(&p, 10);
	assert_int_equal(journal_sync(p.j, &e), -1);
	assert_false(journal_wants_rewrite(p.j));
	assert_int_equal(read_again(p.path, &lost), 10);
	assert_int_equal(lost, 0);                                        /* cut back to the last whole flush */
	give(&p, 11);
	assert_int_equal(journal_sync(p.j, &e), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	give(&p, 12);
	assert_int_equal(journal_sync(p.j, &e), 0);                       /* what failed comes with it */
	assert_int_equal(read_again(p.path, &lost), 13);
	place_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(journal_survives),
		cmocka_unit_test(written_anew_while_grants_come),
		cmocka_unit_test(damage_costs_the_record_that_it_hit),
		cmocka_unit_test(without_space),
	};

	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
