/*
 * dracd.db is the file that the original wrote, with the spellings of IPv6 that its readers look up.
 */
#include <db.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dracd/publish.h"
#include "map/map.h"
#include "tests/unit/dracd/dracd_test.h"

static void count_key(void *ctx, const struct net_addr *a, int64_t expires)
{
	(void)a;
	*(int64_t *)ctx += expires;
}

static void published_file_is_the_originals(void **state)
{
	char dir[] = "/tmp/test_dracp.XXXXXX", cmd[256], path[64], line[256];
	struct table *t = table_new(&policy);
	struct drac_grant_args g = grant_of("127.0.0.1", "u1@x", 0);
	struct table_grant r;
	struct err e = ERR_INIT;
	static const char wanted[] = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=512\nHEADER=END\n 127.0.0.1\n 1795313621\nDATA=END\n";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dracd.db", dir);
	table_grant(t, &g, at(0), &r);
	assert_int_equal(publish_write(t, path, PUBLISH_PLAIN, &e), 0);
	snprintf(cmd, sizeof(cmd), "db5.3_dump -p %s && db5.3_verify %s", path, path);
	if (system("command -v db5.3_dump >/dev/null") == 0) {
		FILE *f = popen(cmd, "r");                                /* drac.md 1.6 */
		size_t n = fread(line, 1, sizeof(line) - 1, f);
		line[n] = '\0';
		pclose(f);
		assert_true(strncmp(line, wanted, sizeof(wanted) - 1) == 0);
	}
	g = grant_of("2001:db8::1:0:0:77", "u1@x", 0);
	table_grant(t, &g, at(0), &r);
	assert_int_equal(publish_write(t, path, PUBLISH_PLAIN | PUBLISH_SENDMAIL | PUBLISH_SENDMAIL_FOLDED | PUBLISH_EXIM | PUBLISH_EXIM_NET, &e), 0);
	static const char *const keys[] = { "127.0.0.1", "2001:db8::1:0:0:77", "IPv6:2001:db8:0:0:1:0:0:77", "ipv6:2001:db8:0:0:1:0:0:77", "2001:0db8:0000:0000:0001:0000:0000:0077",
		"2001.0db8.0000.0000.0001.0000.0000.0077" };
	DB *db;
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, DB_BTREE, DB_RDONLY, 0), 0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		DBT k, v;
		union { const char *in; void *out; } u = { .in = keys[i] };
		memset(&k, 0, sizeof(k));
		memset(&v, 0, sizeof(v));
		k.data = u.out;
		k.size = (u_int32_t)strlen(keys[i]);
		assert_int_equal(db->get(db, NULL, &k, &v, 0), 0);
		assert_int_equal(v.size, 10);
		assert_memory_equal(v.data, "1795313621", 10);
	}
	db->close(db, 0);
	int64_t sum = 0;
	table_each(t, count_key, &sum);
	assert_int_equal(sum, 2 * (int64_t)1795313621);
	table_free(&t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_file_is_the_originals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
