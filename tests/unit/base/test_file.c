#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[] = "/tmp/test_file.XXXXXX";

static int make_dir(void **state UNUSED)
{
	return mkdtemp(dir) == NULL ? -1 : chdir(dir);
}

static int drop_dir(void **state UNUSED)
{
	unlink("a/b/c/f");
	rmdir("a/b/c");
	rmdir("a/b");
	rmdir("a");
	unlink("f");
	return rmdir(dir);
}

static void replaces_and_reads(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct stat st;
	struct buf b;

	buf_init(&b, 6);
	assert_int_equal(file_replace("f", SLICE("first words"), 0644, &e), 0);
	assert_int_equal(file_replace("f", SLICE("second"), 0640, &e), 0);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_read("f", &b, &e), 0);                  /* just fits */
	assert_string_equal(buf_str(&b), "second");
	buf_done(&b);
	buf_init(&b, 5);
	assert_int_equal(file_read("f", &b, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(e.text, "f: larger than 5 octets");
	buf_done(&b);
}

static void says_what_failed(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(file_read("none", &b, &e), -1);
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_string_equal(e.text, "none: No such file or directory");
	assert_int_equal(file_read(".", &b, &e), -1);
	assert_int_equal(e.sys, EISDIR);
	assert_int_equal(file_replace("none/f", SLICE("x"), 0600, &e), -1);
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_int_equal(file_replace("a", SLICE("x"), 0600, &e), -1); /* a directory stands there */
	assert_int_equal(e.sys, EISDIR);
	assert_int_equal(access("a.tmp", F_OK), -1);
	buf_done(&b);
}

static void makes_all_directories(void **state UNUSED)
{
	struct err e = ERR_INIT;
	char path[100];

	assert_int_equal(file_mkdirs("a/b//c", 0755, &e), 0);
	assert_int_equal(file_mkdirs("a/b/c/", 0755, &e), 0);
	assert_int_equal(file_replace("a/b/c/f", SLICE("x"), 0600, &e), 0);
	assert_int_equal(file_mkdirs("a/b/c/f", 0755, &e), -1);
	assert_int_equal(e.sys, ENOTDIR);
	assert_int_equal(file_mkdirs("a/b/c/f/g", 0755, &e), -1);
	snprintf(path, sizeof(path), "%s/a/b", dir);
	assert_int_equal(file_mkdirs(path, 0755, &e), 0);
}

static void writes_all_and_closes_once(void **state UNUSED)
{
	int fd = open("f", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, SLICE("abc")), 0);
	file_close(&fd);
	assert_int_equal(fd, -1);
	file_close(&fd);
	assert_int_equal(file_write_all(-1, SLICE("abc")), -1);
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces_and_reads), cmocka_unit_test(makes_all_directories), cmocka_unit_test(says_what_failed),
		cmocka_unit_test(writes_all_and_closes_once),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
