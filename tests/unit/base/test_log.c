#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

static char dir[] = "/tmp/test_log.XXXXXX";

static int make_dir(void **state UNUSED)
{
	return mkdtemp(dir) == NULL ? -1 : chdir(dir);
}

static int drop_dir(void **state UNUSED)
{
	log_close();
	unlink("log");
	unlink("log.1");
	unlink("socket");
	return rmdir(dir);
}

static void read_log(const char *path, struct buf *b)
{
	struct err e = ERR_INIT;

	buf_reset(b);
	assert_int_equal(file_read(path, b, &e), 0);
}

static void file_lines_have_time_host_and_process(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf b;
	char want[100];
	struct slice line, rest;

	buf_init(&b, 100000);
	log_name("posthouse/smtpd");
	assert_string_equal(log_process_name(), "posthouse/smtpd");
	assert_int_equal(log_open("log", LOG_L_INFO, &e), 0);
	log_info("peer said %s", "a\r\nforged\xff \xc3\xa9 \\x");
	log_debug("not at this level");
	log_warn("w");
	log_error("e");
	read_log("log", &b);
	rest = buf_view(&b);
	assert_true(slice_next(&rest, '\n', &line));
	assert_int_equal(line.p[10], 'T');
	snprintf(want, sizeof(want), " posthouse/smtpd[%ld]: peer said a\\x0d\\x0aforged\\xff \xc3\xa9 \\x", (long)getpid());
	assert_true(slice_ends(line, slice_of(want)));
	assert_true(slice_next(&rest, '\n', &line) && slice_ends(line, SLICE(": warning: w")));
	assert_true(slice_next(&rest, '\n', &line) && slice_ends(line, SLICE(": error: e")));
	assert_int_equal(rest.n, 0);
	buf_done(&b);
}

static void reopen_follows_logrotate(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf b;

	buf_init(&b, 100000);
	unlink("log");
	assert_int_equal(log_open("log", LOG_L_DEBUG, &e), 0);
	log_debug("first");
	assert_int_equal(rename("log", "log.1"), 0);
	log_info("still first");
	log_reopen();
	log_info("second");
	read_log("log.1", &b);
	assert_true(slice_find(buf_view(&b), SLICE("debug: first")) > 0);
	assert_true(slice_ends(buf_view(&b), SLICE("still first\n")));
	read_log("log", &b);
	assert_true(slice_ends(buf_view(&b), SLICE("second\n")));
	assert_true(slice_find(buf_view(&b), SLICE("first")) < 0);
	buf_done(&b);
}

static void endless_lines_are_cut(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf b;
	static char text[20000];

	memset(text, 1, sizeof(text) - 1);
	buf_init(&b, 100000);
	unlink("log");
	assert_int_equal(log_open("log", LOG_L_INFO, &e), 0);
	log_info("%s", text);
	read_log("log", &b);
	assert_true(b.len < 9000);
	assert_true(slice_ends(buf_view(&b), SLICE("...\n")));
	buf_done(&b);
}

static void expect_log(const char *const *endings, size_t n)
{
	struct buf b;
	struct slice rest, line;

	buf_init(&b, 100000);
	read_log("log", &b);
	rest = buf_view(&b);
	for (size_t i = 0; i < n; i++)
		assert_true(slice_next(&rest, '\n', &line) && slice_ends(line, slice_of(endings[i])));
	assert_int_equal(rest.n, 0);
	buf_done(&b);
}

static void in_child(void (*fn)(void))
{
	int status;
	pid_t child;

	child = fork();
	if (child == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void say_and_flush(void)
{
	log_info("of the child");
	log_flush();
}

static void say_and_abort(void)
{
	(void)log_hold(true);
	log_info("the last words");
	abort();
}

static void held_lines_wait_and_never_get_lost(void **state UNUSED)
{
	static const char *const words[] = { ": one", ": two", ": warning: three", ": of the child", ": five", ": the last words" };
	struct err e = ERR_INIT;

	unlink("log");
	assert_int_equal(log_open("log", LOG_L_INFO, &e), 0);
	assert_false(log_hold(true));
	log_info("one");
	log_info("two");
	expect_log(words, 0);
	log_warn("three");                                            /* somebody should see it now, with what led to it */
	expect_log(words, 3);
	in_child(say_and_flush);
	log_info("five");
	expect_log(words, 4);
	assert_true(log_hold(false));
	expect_log(words, 5);
	in_child(say_and_abort);
	expect_log(words, 6);
}

static int listen_here(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void take(int fd, char *room, size_t size)
{
	ssize_t n = recv(fd, room, size - 1, MSG_DONTWAIT);

	room[n > 0 ? n : 0] = '\0';
}

static void syslog_datagrams_survive_a_restart(void **state UNUSED)
{
	struct err e = ERR_INIT;
	char got[1000], want[1000];
	int fd = listen_here("socket");

	log_name("posthouse/queue");
	assert_int_equal(log_open_socket("socket", false, &e), 0);
	log_info("hello");
	take(fd, got, sizeof(got));
	snprintf(want, sizeof(want), "<22>posthouse/queue[%ld]: hello", (long)getpid());
	assert_string_equal(got, want);
	close(fd);
	log_info("into the void");
	log_info("into the void");
	fd = listen_here("socket");
	log_error("back");
	take(fd, got, sizeof(got));
	assert_non_null(strstr(got, "<20>"));
	assert_non_null(strstr(got, "warning: 2 log lines were lost"));
	take(fd, got, sizeof(got));
	assert_non_null(strstr(got, "<19>"));
	assert_non_null(strstr(got, "error: back"));
	close(fd);
}

static void journal_gets_fields(void **state UNUSED)
{
	struct err e = ERR_INIT;
	char got[1000], want[1000];
	int fd = listen_here("socket");

	log_name("posthouse/imapd");
	assert_int_equal(log_open_socket("socket", true, &e), 0);
	log_warn("a=%s", "b\nPRIORITY=0");
	take(fd, got, sizeof(got));
	snprintf(want, sizeof(want), "MESSAGE=warning: a=b\\x0aPRIORITY=0\nPRIORITY=4\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=posthouse/imapd\n"
	    "SYSLOG_PID=%ld\n", (long)getpid());
	assert_string_equal(got, want);
	log_info("%s: from=<>", "4Zx9b2Qk1ABC");
	take(fd, got, sizeof(got));
	assert_non_null(strstr(got, "\nPOSTHOUSE_ID=4Zx9b2Qk1ABC\n"));
	log_info("NOQUEUE: reject");
	take(fd, got, sizeof(got));
	assert_null(strstr(got, "POSTHOUSE_ID"));
	close(fd);
}

static void what_cannot_be_opened_is_an_error(void **state UNUSED)
{
	struct err e = ERR_INIT;

	assert_int_equal(log_open("/nowhere/at/all", LOG_L_INFO, &e), -1);
	assert_string_equal(e.text, "log file /nowhere/at/all: No such file or directory");
	assert_int_equal(log_open_socket("no socket", false, &e), -1);
	assert_string_equal(e.text, "log socket no socket: No such file or directory");
}

static void fatal_exits_with_1(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf b;
	int status;
	pid_t child;

	unlink("log");
	assert_int_equal(log_open("log", LOG_L_INFO, &e), 0);
	child = fork();
	if (child == 0) {
		log_name("posthouse/x");
		log_fatal("no %s", "way");
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	buf_init(&b, 1000);
	read_log("log", &b);
	assert_true(slice_ends(buf_view(&b), SLICE("fatal: no way\n")));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_lines_have_time_host_and_process), cmocka_unit_test(reopen_follows_logrotate),
		cmocka_unit_test(endless_lines_are_cut), cmocka_unit_test(held_lines_wait_and_never_get_lost), cmocka_unit_test(syslog_datagrams_survive_a_restart),
		cmocka_unit_test(journal_gets_fields), cmocka_unit_test(what_cannot_be_opened_is_an_error), cmocka_unit_test(fatal_exits_with_1),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
