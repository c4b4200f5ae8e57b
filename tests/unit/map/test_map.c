/*
 * Each kind of map: what it finds, what it says when the text is broken, what foreign files look like, and the locks.
 */
#include <db.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "map/map.h"
#include "map/map_text.h"

/* Berkeley DB 5.3 loses some memory when it meets a damaged page; map_db.c therefore meets each damage once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:__os_malloc\n";
}

struct fix {
	char dir[64];
	struct arena *a;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_map.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->a = arena_new(0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	arena_free(&f->a);
	free(f);
	return 0;
}

static const char *at(struct fix *f, const char *name)
{
	return arena_printf(f->a, "%s/%s", f->dir, name);
}

static void write_text(struct fix *f, const char *name, const char *text)
{
	struct err e;

	assert_int_equal(file_replace(at(f, name), slice_of(text), 0644, &e), 0);
}

static struct map *open_map(struct fix *f, const char *kind, const char *name)
{
	struct map *m = NULL;
	struct err e = ERR_INIT;

	if (map_open(&m, arena_printf(f->a, "%s%s", kind, at(f, name)), &e) != 0)
		fail_msg("%s", e.text);
	return m;
}

static void expect(struct fix *f, struct map *m, const char *key, const char *value, const char *where)
{
	struct slice v = SLICE_NONE;
	struct err e = ERR_INIT;
	int rc = map_get(m, slice_of(key), f->a, &v, &e);

	if (value == NULL) {
		assert_int_equal(rc, 0);
		return;
	}
	if (rc != 1)
		fail_msg("%s: rc %d %s", key, rc, e.text);
	assert_string_equal(arena_str(f->a, v), value);
	if (where != NULL)
		assert_string_equal(map_where(m), where);
}

static void text_is_read(void **state)
{
	struct fix *f = *state;

	write_text(f, "access", "# comment\nConnect:192.0.2\tRELAY\n\n\"From:a b@c\" OK\nTo:long\n  550 no\n# x\n  such\nEXAMPLE.org. REJECT\r\nlast OK");
	struct map *m = open_map(f, "", "access");
	expect(f, m, "connect:192.0.2", "RELAY", "access:2");
	expect(f, m, "CONNECT:192.0.2", "RELAY", "access:2");
	expect(f, m, "from:a b@c", "OK", "access:4");
	expect(f, m, "to:long", "550 no such", "access:5");
	expect(f, m, "example.ORG", "REJECT", "access:9");
	expect(f, m, "example.org.", "REJECT", "access:9");
	expect(f, m, "last", "OK", "access:10");
	expect(f, m, "nothere", NULL, NULL);
	expect(f, m, "", NULL, NULL);
	assert_non_null(strstr(map_warning(m), "access:9: the trailing dot of 'EXAMPLE.org.'"));
	map_close(&m);
	assert_int_equal(access(at(f, "access.db"), F_OK), 0);
}

static void broken_text_keeps_what_was(void **state)
{
	struct fix *f = *state;
	struct err e = ERR_INIT;

	write_text(f, "access", "a OK\n");
	struct map *m = open_map(f, "", "access"), *n = NULL;
	unsigned g = map_generation(m);
	write_text(f, "access", "a REJECT\nb\n");
	assert_int_equal(map_refresh(m, &e), 0);
	expect(f, m, "a", "OK", NULL);
	assert_non_null(strstr(map_warning(m), "access:2: 'b' has no value"));
	n = open_map(f, "", "access");                                    /* a new process: the image answers */
	expect(f, n, "a", "OK", "access.db");
	assert_non_null(strstr(map_warning(n), "access:2:"));
	map_close(&n);
	write_text(f, "access", "a REJECT\n");
	assert_int_equal(map_refresh(m, &e), 0);
	expect(f, m, "a", "REJECT", "access:1");
	assert_string_equal(map_warning(m), "");
	assert_int_not_equal(map_generation(m), g);
	map_close(&m);
	unlink(at(f, "access.db"));
	write_text(f, "access", "b\n");
	assert_int_equal(map_open(&n, at(f, "access"), &e), -1);
	assert_non_null(strstr(e.text, "access:1: 'b' has no value"));
}

static void doubles_are_told(void **state)
{
	struct fix *f = *state;
	struct map *m = NULL;
	struct err e = ERR_INIT;

	write_text(f, "t", "a 1\nb 2\nA 1\n");
	m = open_map(f, "", "t");
	map_close(&m);
	write_text(f, "u", "a 1\nb 2\nA 3\n");
	assert_int_equal(map_open(&m, at(f, "u"), &e), -1);
	assert_int_equal(e.kind, ERR_EXISTS);
	assert_non_null(strstr(e.text, "u:3: 'A' is there already, in line 1"));
}

static void large_text_goes_through_the_image(void **state)
{
	struct fix *f = *state;
	struct buf b;
	struct err e = ERR_INIT;

	buf_init(&b, BUF_UNBOUNDED);
	for (int i = 0; i < 60000; i++)
		buf_putf(&b, "user%d@example.org mailbox%d\n", i, i);
	assert_true(b.len > MAP_MEMORY_MAX);
	assert_int_equal(file_replace(at(f, "big"), buf_view(&b), 0644, &e), 0);
	struct map *m = open_map(f, "", "big");
	expect(f, m, "user59999@example.org", "mailbox59999", "big.db");
	buf_putf(&b, "more x\n");
	assert_int_equal(file_replace(at(f, "big"), buf_view(&b), 0644, &e), 0);
	assert_int_equal(map_refresh(m, &e), 0);
	expect(f, m, "more", "x", "big.db");
	map_close(&m);
	buf_done(&b);
}

static void missing_is_empty_and_found_later(void **state)
{
	struct fix *f = *state;
	struct err e = ERR_INIT;
	static const char *const kinds[] = { "", "text:", "aliases:", "list:", "btree:", "hash:", "cidr:", "regexp:" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct map *m = open_map(f, kinds[i], "nowhere");
		expect(f, m, "x", NULL, NULL);
		map_close(&m);
	}
	struct map *m = open_map(f, "", "late");
	write_text(f, "late", "x y\n");
	assert_int_equal(map_refresh(m, &e), 0);
	expect(f, m, "x", "y", "late:1");
	map_close(&m);
	assert_int_equal(map_open(&m, "ldap:/x", &e), -1);
	assert_int_equal(map_open(&m, "text:x", &e), -1);
}

static void aliases_and_lists(void **state)
{
	struct fix *f = *state;
	struct err e = ERR_INIT;

	write_text(f, "aliases", "Postmaster: root\nall: a, b,\n\tc\n\"odd:name\": |\"/bin/x y\"\n");
	struct map *m = open_map(f, "aliases:", "aliases");
	expect(f, m, "postmaster", "root", "aliases:1");
	expect(f, m, "all", "a, b, c", "aliases:2");
	expect(f, m, "odd:name", "|\"/bin/x y\"", "aliases:4");
	map_close(&m);
	write_text(f, "bad", "name target\n");
	assert_int_equal(map_open(&m, arena_printf(f->a, "aliases:%s", at(f, "bad")), &e), -1);
	assert_non_null(strstr(e.text, "bad:1: an alias is written"));
	write_text(f, "lhn", "one.example # ours\n  two.example.\n\n");
	m = open_map(f, "list:", "lhn");
	expect(f, m, "One.Example", "", "lhn:1");
	expect(f, m, "two.example", "", "lhn:2");
	map_close(&m);
	write_text(f, "lhn", "one two\n");
	assert_int_equal(map_open(&m, arena_printf(f->a, "list:%s", at(f, "lhn")), &e), -1);
}

static void networks(void **state)
{
	struct fix *f = *state;
	struct map *m;
	struct err e = ERR_INIT;
	static const char *const bad[] = { "10.0.0.0/33 x", "10.1.0.0/8 x", "10.0.0/8 x", "host x", "::/129 x", "10.0.0.0/ x" };

	write_text(f, "net", "192.0.2.7 first\n192.0.2.0/25 second\n2001:db8::/33 six\n0.0.0.0/0 all\n");
	m = open_map(f, "cidr:", "net");
	expect(f, m, "192.0.2.7", "first", "net:1");
	expect(f, m, "192.0.2.127", "second", "net:2");
	expect(f, m, "192.0.2.128", "all", "net:4");
	expect(f, m, "::ffff:192.0.2.7", "first", "net:1");
	expect(f, m, "2001:db8:7fff::1", "six", "net:3");
	expect(f, m, "2001:db8:8000::1", NULL, NULL);
	expect(f, m, "example.org", NULL, NULL);
	map_close(&m);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_text(f, "net", bad[i]);
		assert_int_equal(map_open(&m, arena_printf(f->a, "cidr:%s", at(f, "net")), &e), -1);
		assert_non_null(strstr(e.text, "net:1: "));
	}
}

static void patterns(void **state)
{
	struct fix *f = *state;
	struct map *m;
	struct err e = ERR_INIT;
	struct slice v;

	write_text(f, "re", "/^spam(.*)@ex\\/ample/ REJECT not $1 for $$5 ${1}!\n/^Case$/i OK\n!/@/ no at\n/(a+)+$/ slow\n");
	m = open_map(f, "regexp:", "re");
	expect(f, m, "SPAMmer@ex/ample", "REJECT not mer for $5 mer!", "re:1");
	expect(f, m, "Case", "OK", "re:2");
	expect(f, m, "case", "no at", "re:3");
	expect(f, m, "x@y", NULL, NULL);
	map_close(&m);
	write_text(f, "re", "/^(x+)+$/ slow\n");
	m = open_map(f, "regexp:", "re");
	assert_int_equal(map_get(m, SLICE("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx!"), f->a, &v, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	map_close(&m);
	write_text(f, "re", "/(/ x\n");
	assert_int_equal(map_open(&m, arena_printf(f->a, "regexp:%s", at(f, "re")), &e), -1);
	write_text(f, "re", "/x/q y\n");
	assert_int_equal(map_open(&m, arena_printf(f->a, "regexp:%s", at(f, "re")), &e), -1);
	write_text(f, "re", "x y\n");
	assert_int_equal(map_open(&m, arena_printf(f->a, "regexp:%s", at(f, "re")), &e), -1);
}

/* As sendmail's makemap and postmap write them: hash or btree, without and with the NUL counted. */
static void foreign(struct fix *f, const char *name, DBTYPE type, unsigned nul, const char *key, const char *value)
{
	DB *db;
	DBT k, v;
	union { const char *in; void *out; } ku = { .in = key }, vu = { .in = value };

	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, at(f, name), NULL, type, DB_CREATE, 0644), 0);
	k.data = ku.out;
	k.size = (u_int32_t)(strlen(key) + nul);
	v.data = vu.out;
	v.size = (u_int32_t)(strlen(value) + nul);
	assert_int_equal(db->put(db, NULL, &k, &v, 0), 0);
	assert_int_equal(db->close(db, 0), 0);
}

static void foreign_files_are_read(void **state)
{
	struct fix *f = *state;
	struct err e = ERR_INIT;

	foreign(f, "h0.db", DB_HASH, 0, "192.0.2.5", "1795313621");
	foreign(f, "h1.db", DB_HASH, 1, "192.0.2.5", "1795313621");
	foreign(f, "b1", DB_BTREE, 1, "192.0.2.5", "1795313621");
	static const char *const specs[] = { "hash:", "h0", "hash:", "h1", "btree:", "b1", "", "h1" };
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i += 2) {
		struct map *m = open_map(f, specs[i], specs[i + 1]);
		expect(f, m, "192.0.2.5", "1795313621", NULL);
		expect(f, m, "192.0.2.6", NULL, NULL);
		map_close(&m);
	}
	struct map *m = open_map(f, "btree:", "b1");                      /* in place, by another program */
	foreign(f, "b1", DB_BTREE, 1, "192.0.2.6", "7");
	expect(f, m, "192.0.2.6", "7", NULL);
	unlink(at(f, "b1"));
	assert_int_equal(map_refresh(m, &e), 0);
	expect(f, m, "192.0.2.6", NULL, NULL);
	map_close(&m);
}

static void a_lock_held_too_long_is_temporary(void **state)
{
	struct fix *f = *state;
	struct slice v;
	struct err e = ERR_INIT;

	foreign(f, "x.db", DB_HASH, 0, "a", "b");
	struct map *m = open_map(f, "hash:", "x");
	int fd = open(at(f, "x.db"), O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(map_get(m, SLICE("a"), f->a, &v, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	assert_int_equal(map_get(m, SLICE("a"), f->a, &v, &e), -1);
	close(fd);
	expect(f, m, "a", "b", "x.db");
	map_close(&m);
}

static void damage_fails_closed(void **state)
{
	struct fix *f = *state;
	struct map *m = NULL;
	struct err e = ERR_INIT;
	struct slice v;

	write_text(f, "bad.db", "this is no database at all, but long enough to be looked at as one, page after page after page");
	assert_int_equal(map_open(&m, arena_printf(f->a, "btree:%s", at(f, "bad")), &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	foreign(f, "cut.db", DB_BTREE, 0, "a", "b");
	assert_int_equal(truncate(at(f, "cut.db"), 700), 0);
	if (map_open(&m, arena_printf(f->a, "btree:%s", at(f, "cut")), &e) == 0) {
		assert_int_equal(map_get(m, SLICE("a"), f->a, &v, &e), -1);
		map_close(&m);
	}
}

static void db_config_of_the_cwd_is_not_read(void **state)
{
	struct fix *f = *state;
	char old[4096];

	assert_non_null(getcwd(old, sizeof(old)));
	write_text(f, "DB_CONFIG", "this would be an error if it were read\n");
	write_text(f, "t", "a b\n");
	assert_int_equal(chdir(f->dir), 0);
	struct map *m = open_map(f, "", "t");
	expect(f, m, "a", "b", NULL);
	map_close(&m);
	m = open_map(f, "hash:", "t");
	expect(f, m, "a", "b", "t.db");
	map_close(&m);
	assert_int_equal(chdir(old), 0);
}

static void checked_image_tells_a_flipped_bit(void **state)
{
	struct fix *f = *state;
	struct map_build *b;
	struct err e = ERR_INIT;
	unsigned char octet;
	unsigned seen = 0, wrong = 0;

	assert_int_equal(map_build_new(&b, at(f, "c.db"), MAP_DB_CHECKED, 512, 0600, &e), 0);
	assert_int_equal(map_build_put(b, SLICE("key"), SLICE("value"), &e), 0);
	assert_int_equal(map_build_put(b, SLICE("key"), SLICE("other"), &e), -1);
	assert_int_equal(e.kind, ERR_EXISTS);
	assert_int_equal(map_build_commit(&b, &e), 0);
	int fd = open(at(f, "c.db"), O_RDWR);
	for (off_t i = 0; i < 1024; i += 7) {
		struct map *m = NULL;
		struct slice v = SLICE_NONE;
		assert_int_equal(pread(fd, &octet, 1, i), 1);
		octet ^= 4;
		assert_int_equal(pwrite(fd, &octet, 1, i), 1);
		int rc = map_open(&m, arena_printf(f->a, "btree:%s", at(f, "c.db")), &e);
		if (rc == 0)
			rc = map_get(m, SLICE("key"), f->a, &v, &e);
		seen += rc == -1;
		wrong += rc == 1 && !slice_eq(v, SLICE("value"));
		map_close(&m);
		octet ^= 4;
		assert_int_equal(pwrite(fd, &octet, 1, i), 1);
	}
	close(fd);
	assert_int_equal(wrong, 0);
	assert_true(seen > 100);
}

static void make_image(struct fix *f, const char *name, const char *key, const char *value)
{
	struct map_build *b;
	struct err e = ERR_INIT;

	assert_int_equal(map_build_new(&b, at(f, name), MAP_DB_CHECKED, 0, 0600, &e), 0);
	assert_int_equal(map_build_put(b, slice_of(key), slice_of(value), &e), 0);
	assert_int_equal(map_build_commit(&b, &e), 0);
}

/* No answer outlives the file that gave it, nor does the answer that there is none; and nobody's lock is waited for. */
static void snapshot_answers_from_the_file_that_is_there(void **state)
{
	struct fix *f = *state;
	struct map *m = open_map(f, "snapshot:", "s.db");
	struct slice v;
	struct err e = ERR_INIT;
	char name[40];
	int fd;

	expect(f, m, "u1", NULL, NULL);
	make_image(f, "s.db", "u1", "one");
	expect(f, m, "u1", "one", NULL);
	expect(f, m, "u2", NULL, NULL);
	fd = open(at(f, "s.db"), O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	expect(f, m, "u1", "one", NULL);
	close(fd);
	for (unsigned i = 0; i < 5000; i++) {                         /* more names than are remembered */
		snprintf(name, sizeof(name), "stranger%u", i);
		assert_int_equal(map_get(m, slice_of(name), f->a, &v, &e), 0);
	}
	make_image(f, "s.db", "u2", "two");
	expect(f, m, "u1", NULL, NULL);
	expect(f, m, "u2", "two", NULL);
	expect(f, m, "u2", "two", NULL);
	assert_int_equal(unlink(at(f, "s.db")), 0);
	expect(f, m, "u2", NULL, NULL);
	map_close(&m);
}

static void reader_an_octet_more_each_time(void **state)
{
	static const char text[] = "a b\n c\n\"q r\" s\n# c\nlast x\n";
	struct map_text_reader r;
	struct slice k, v;
	struct err e;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = malloc(n + 1);                               /* exact size: the sanitizer sees a step too far */
		memcpy(copy, text, n);
		map_text_start(&r, MAP_TEXT_TABLE, slice_mem(copy, n));
		while (map_text_next(&r, "t", &k, &v, &e) == 1)
			assert_true(k.n > 0 && v.n > 0);
		map_text_done(&r);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(text_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_text_keeps_what_was, setup, teardown),
		cmocka_unit_test_setup_teardown(doubles_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(large_text_goes_through_the_image, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_is_empty_and_found_later, setup, teardown),
		cmocka_unit_test_setup_teardown(aliases_and_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(networks, setup, teardown),
		cmocka_unit_test_setup_teardown(patterns, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_files_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lock_held_too_long_is_temporary, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_fails_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(db_config_of_the_cwd_is_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(checked_image_tells_a_flipped_bit, setup, teardown),
		cmocka_unit_test_setup_teardown(snapshot_answers_from_the_file_that_is_there, setup, teardown),
		cmocka_unit_test(reader_an_octet_more_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
