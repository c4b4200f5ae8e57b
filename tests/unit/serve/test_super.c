/*
 * A whole daemon in miniature: a front that listens, a worker that it talks to. The test is the client, the admin and the cruel hand.
 *
 * A line to the front: "who" gives generation and pids "G FRONT WORKER"; "crash" makes the worker die, "evil" makes it be killed by seccomp;
 * "fds" counts the front's open descriptors.
 */
#include "serve/super.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "io/net.h"
#include "serve/listeners.h"
#include "serve/sandbox.h"
#include "serve/systemd.h"

enum { WHO = 1, CRASH, EVIL, STUCK };

/*
 * The daemon
 */

struct worker { struct proc *p; struct chan *front; };

static void worker_on_msg(void *ctx, struct msg *m)
{
	struct worker *w = ctx;
	struct msg out;

	if (m->type == CRASH)
		_exit(3);
	if (m->type == EVIL)
		execl("/bin/true", "true", (char *)NULL);
	msg_init(&out, WHO);
	msg_put_u32(&out, (uint32_t)getpid());
	chan_send(w->front, &out);
}

static void worker_on_close(void *ctx)
{
	struct worker *w = ctx;

	chan_free(&w->front);
}

static const struct chan_ops worker_ops = { worker_on_msg, worker_on_close, NULL };

static void worker_on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct worker *w = ctx;

	(void)index;
	if (strcmp(role, "front") != 0)
		abort();
	chan_free(&w->front);
	w->front = chan_new(proc_loop(w->p), fd, &worker_ops, w);
}

static void worker_on_retire(void *ctx)
{
	loop_stop(proc_loop(((struct worker *)ctx)->p));
}

static void worker_run(struct proc *p)
{
	static const struct proc_events ev = { worker_on_link, worker_on_retire };
	struct sandbox sb = { .needs = 0 };
	struct worker w = { .p = p };
	struct err e = ERR_INIT;

	if (strcmp(proc_settings(p)->mydomain, "broken.test") == 0)
		log_fatal("the worker finds no coal");
	if (sandbox_enter(&sb, &e) < 0)
		log_fatal("%s", e.text);
	proc_start(p, &ev, &w);
	proc_ready(p);
	loop_run(proc_loop(p));
	chan_free(&w.front);
}

struct front { struct proc *p; struct loop_fd watch; struct chan *worker; int client; unsigned links; };

static void front_say(struct front *f, const char *text)
{
	if (f->client >= 0)
		(void)!write(f->client, text, strlen(text));
	if (f->client >= 0)
		close(f->client);
	f->client = -1;
}

static void front_on_msg(void *ctx, struct msg *m)
{
	struct front *f = ctx;
	char text[100];

	snprintf(text, sizeof(text), "%u %d %u\n", proc_generation(f->p), (int)getpid(), msg_get_u32(m));
	front_say(f, text);
}

static void front_on_worker_gone(void *ctx)
{
	struct front *f = ctx;

	chan_free(&f->worker);
	front_say(f, "worker gone\n");
}

static const struct chan_ops front_ops = { front_on_msg, front_on_worker_gone, NULL };

static void front_on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct front *f = ctx;

	log_info("generation %u has link %u", proc_generation(f->p), ++f->links);

	(void)role;
	(void)index;
	if (f->worker != NULL)                                        /* a daemon that holds several requests would keep the old link to its end */
		front_on_worker_gone(f);
	f->worker = chan_new(proc_loop(f->p), fd, &front_ops, f);
}

static void front_on_retire(void *ctx)
{
	struct front *f = ctx;

	loop_fd_del(proc_loop(f->p), &f->watch);
	if (strcmp(proc_settings(f->p)->mydomain, "lingers.test") == 0 && !proc_is_stopping(f->p)) {
		log_info("a front lingers");                          /* as one that still has sessions */
		return;
	}
	loop_stop(proc_loop(f->p));
}

static void front_ask(struct front *f, uint32_t type)
{
	struct msg m;

	if (f->worker == NULL) {
		front_say(f, "no worker\n");
		return;
	}
	msg_init(&m, type);
	chan_send(f->worker, &m);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 3;
}

static void front_on_client(void *ctx, unsigned events)
{
	struct front *f = ctx;
	const struct proc_socket *socks;
	struct net_addr peer;
	char line[32] = "";
	ssize_t n;

	(void)events;
	if (proc_sockets(f->p, &socks) != 1)
		abort();
	f->client = net_accept(socks[0].fd, &peer);
	if (f->client < 0)
		return;
	fcntl(f->client, F_SETFL, 0);
	n = read(f->client, line, sizeof(line) - 1);
	line[n > 0 ? n - 1 : 0] = '\0';
	if (strcmp(line, "who") == 0)
		front_ask(f, WHO);
	else if (strcmp(line, "crash") == 0)
		front_ask(f, CRASH);
	else if (strcmp(line, "evil") == 0)
		front_ask(f, EVIL);
	else if (strcmp(line, "fds") == 0) {
		snprintf(line, sizeof(line), "%d\n", count_fds());
		front_say(f, line);
	}
}

static void front_run(struct proc *p)
{
	static const struct proc_events ev = { front_on_link, front_on_retire };
	const struct proc_socket *socks;
	struct front f = { .p = p, .client = -1 };

	if (proc_sockets(p, &socks) != 1 || strcmp(socks[0].name, "lmtp") != 0 || socks[0].kind != 7)
		abort();
	loop_fd_add_shared(proc_loop(p), &f.watch, socks[0].fd, front_on_client, &f);
	proc_start(p, &ev, &f);
	proc_ready(p);
	loop_run(proc_loop(p));
	loop_fd_del(proc_loop(p), &f.watch);
	chan_free(&f.worker);
}

static unsigned one(const struct settings *s)
{
	(void)s;
	return 1;
}

static const char *lmtp_addrs(const struct settings *s)
{
	return s->listen_lmtp;
}

static const struct super_listener listeners[] = { { "lmtp", 7, lmtp_addrs } };
static const struct proc_row rows[] = {
	{ "front", "testd", one, PROC_AS_POSTHOUSE, true, "worker", front_run },
	{ "worker", "worker", one, PROC_AS_POSTHOUSE, false, "", worker_run },
};
static const struct daemon_table table = { .name = "testd", .listeners = listeners, .n_listeners = 1, .rows = rows, .n_rows = 2 };

/*
 * The test's side
 */

static char dir[] = "/tmp/ph-super-XXXXXX";
static char conf[64], sock[64], log_file[64], errors[64], pid_file[64];

static void write_conf_at(const char *socket_path, const char *extra)
{
	FILE *f = fopen(conf, "w");

	assert_non_null(f);
	fprintf(f, "runtime_directory = %s/run\nstate_directory = %s/state\nlisten_lmtp = %s\nlog_target = %s\nlog_level = debug\nmail_owner = nobody\n%s",
	    dir, dir, socket_path, log_file, extra);
	fclose(f);
}

static void write_conf(const char *extra)
{
	write_conf_at(sock, extra);
}

static pid_t start(const char *arg)
{
	char *argv[] = { (char[]){ "testd" }, (char[]){ "-C" }, conf, (char[32]){ 0 }, NULL };
	pid_t pid;

	snprintf(argv[3], 32, "%s", arg);
	pid = fork();
	if (pid == 0) {
		int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		close_range(3, ~0u, 0);                               /* whatever the test was started with */
		exit(super_main(&table, 4, argv));
	}
	return pid;
}

static void nap(void)
{
	usleep(10000);
}

/* What the front answers; "" where nobody does. */
static const char *ask(const char *line, char out[100])
{
	struct sockaddr_un un;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n = -1;

	assert_int_equal(net_unix_addr(sock, &un, NULL), 0);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && write(fd, line, strlen(line)) > 0)
		n = read(fd, out, 99);
	out[n > 0 ? n : 0] = '\0';
	close(fd);
	return out;
}

struct who { unsigned generation; int front, worker; };

static struct who ask_who(void)
{
	struct who w = { 0, 0, 0 };
	char text[100];

	for (int i = 0; i < 500; i++) {
		if (sscanf(ask("who\n", text), "%u %d %d", &w.generation, &w.front, &w.worker) == 3)
			return w;
		nap();
	}
	fail_msg("nobody answers");
	return w;
}

/* After a reload the old front may still take a connection or two: it lets the socket go when it has heard of it. */
static struct who ask_newer(int old_front)
{
	struct who w = ask_who();

	for (int i = 0; i < 500 && w.front == old_front; i++) {
		nap();
		w = ask_who();
	}
	return w;
}

static void slurp(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

	out[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static bool file_has(const char *path, const char *text)
{
	static char all[100000];

	slurp(path, all, sizeof(all));
	return strstr(all, text) != NULL;
}

static void expect_log(const char *text)
{
	for (int i = 0; i < 300; i++) {
		if (file_has(log_file, text))
			return;
		nap();
	}
	fail_msg("the log does not say \"%s\"", text);
}

static int reap(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static bool lives(int pid)
{
	return kill(pid, 0) == 0;
}

static void expect_gone(int pid)
{
	for (int i = 0; i < 300 && lives(pid); i++)
		nap();
	assert_false(lives(pid));
}

static int running_pid(void)
{
	char text[32];

	slurp(pid_file, text, sizeof(text));
	return atoi(text);
}

static int setup(void **state)
{
	(void)state;
	unlink(log_file);
	write_conf("");
	return 0;
}

static void test_life(void **state)
{
	struct who first, second, third, fourth;
	char text[100];
	int fds;
	pid_t pid = start("-f");

	(void)state;
	first = ask_who();
	assert_int_equal(first.generation, 0);
	assert_int_equal(running_pid(), pid);
	fds = atoi(ask("fds\n", text));
	assert_in_range(fds, 9, 11);                                  /* 0-2, log, socket, control, link, client, epoll, signals; nothing of others */

	ask("crash\n", text);                                         /* crash: restarted and linked again */
	second = ask_who();
	assert_int_equal(second.front, first.front);
	assert_int_not_equal(second.worker, first.worker);
	expect_log("ended with status 3");

	ask("evil\n", text);                                          /* again, after a pause, and in words */
	third = ask_who();
	assert_int_not_equal(third.worker, second.worker);
	expect_log("killed by seccomp");

	kill(third.front, SIGKILL);
	fourth = ask_who();
	assert_int_not_equal(fourth.front, third.front);
	assert_int_equal(fourth.worker, third.worker);

	write_conf("no_such_setting = 1\n");                          /* broken: nothing changes */
	kill(pid, SIGHUP);
	expect_log("nothing changes");
	second = ask_who();
	assert_int_equal(second.front, fourth.front);
	write_conf("");
	kill(pid, SIGHUP);                                            /* good: all new */
	expect_log("new settings in use");
	third = ask_newer(fourth.front);
	assert_int_equal(third.generation, 1);
	assert_int_not_equal(third.front, fourth.front);
	expect_gone(fourth.front);
	expect_gone(fourth.worker);
	assert_int_equal(atoi(ask("fds\n", text)), fds);              /* no descriptor more than at first */

	kill(pid, SIGTERM);
	assert_int_equal(reap(pid), 0);
	assert_false(lives(third.front));
	assert_false(lives(third.worker));
	assert_int_equal(access(pid_file, F_OK), -1);
}

static void test_children_die_with_the_supervisor(void **state)
{
	pid_t pid = start("-f");
	struct who w = ask_who();

	(void)state;
	kill(pid, SIGKILL);
	assert_int_equal(reap(pid), 1000 + SIGKILL);
	expect_gone(w.front);
	expect_gone(w.worker);
	pid = start("-f");                                            /* the stale socket and pid file are no obstacle */
	w = ask_who();
	kill(pid, SIGTERM);
	assert_int_equal(reap(pid), 0);
}

/* A front with sessions outlives a reload, is linked to the new worker, and goes when the daemon stops. */
static void test_old_fronts_finish_their_sessions(void **state)
{
	struct who old, now;
	pid_t pid;

	(void)state;
	write_conf("mydomain = lingers.test\n");
	pid = start("-f");
	old = ask_who();
	kill(pid, SIGHUP);
	expect_log("new settings in use");
	expect_log("generation 0 has link 2");
	now = ask_newer(old.front);
	assert_int_not_equal(now.front, old.front);
	assert_true(lives(old.front));
	kill(pid, SIGTERM);
	assert_int_equal(reap(pid), 0);
	assert_false(lives(old.front));
	assert_false(file_has(log_file, "killed"));
}

static void test_only_one_at_a_time(void **state)
{
	pid_t pid = start("-f"), second;

	(void)state;
	ask_who();
	second = start("-f");
	assert_int_equal(reap(second), 1);
	assert_true(file_has(errors, "runs already"));
	ask_who();
	kill(pid, SIGTERM);
	assert_int_equal(reap(pid), 0);
}

static void test_background(void **state)
{
	pid_t pid = start("");
	char text[100];
	struct who w;

	(void)state;
	assert_int_equal(reap(pid), 1);                               /* an empty word is no option */
	pid = start("-fT");
	assert_int_equal(reap(pid), 0);
	assert_true(file_has(errors, "are good"));
	pid = start("-omydomain=b.test");
	assert_int_equal(reap(pid), 0);                               /* back only when ready */
	assert_true(sscanf(ask("who\n", text), "%u %d %d", &w.generation, &w.front, &w.worker) == 3);
	pid = running_pid();
	assert_true(pid > 1);
	kill(pid, SIGTERM);
	expect_gone(pid);
	expect_gone(w.front);
}

static void test_failed_start_says_why(void **state)
{
	(void)state;
	write_conf("mydomain = broken.test\n");
	assert_int_equal(reap(start("-f")), 1);
	assert_true(file_has(errors, "no coal"));
	assert_int_equal(reap(start("-omyhostname=x.test")), 1);      /* the same from the background */
	assert_true(file_has(errors, "no coal"));
	write_conf_at("/nonexistent/socket", "");
	assert_int_equal(reap(start("-omyhostname=x.test")), 1);
	assert_true(file_has(errors, "/nonexistent/socket"));
	write_conf("no_such_setting = 1\n");
	assert_int_equal(reap(start("-T")), 1);
	assert_true(file_has(errors, "no_such_setting"));
}

static void test_listen_addresses(void **state)
{
	static const struct { const char *in; int port; } cases[] = {
		{ "127.0.0.1:25", 25 }, { "[2001:db8::1]:465", 465 }, { "0.0.0.0:0", 0 }, { "/run/x", -2 }, { "127.0.0.1", -1 }, { "::1:25", -1 },
		{ "[::1]", -1 }, { "127.0.0.1:65536", -1 }, { "*:25", -1 }, { ":25", -1 }, { "mail.test:25", -1 }, { "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listeners_addr a;
		struct err e = ERR_INIT;
		int rc = listeners_parse(slice_of(cases[i].in), &a, &e);

		assert_int_equal(rc, cases[i].port == -1 ? -1 : 0);
		if (rc == 0)
			assert_int_equal(a.is_unix ? -2 : a.addr.port, cases[i].port);
	}
}

static void test_systemd(void **state)
{
	struct systemd_socket given[SYSTEMD_SOCKETS_MAX];
	char path[80], text[64] = "";
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	assert_false(systemd_is_parent());
	assert_int_equal(systemd_sockets(given), 0);
	snprintf(path, sizeof(path), "%s/notify", dir);
	fd = net_listen_unix(path, SOCK_DGRAM, 0600, &e);
	setenv("NOTIFY_SOCKET", path, 1);
	assert_true(systemd_is_parent());
	systemd_notify("READY=1");
	assert_int_equal(read(fd, text, sizeof(text)), 7);
	assert_string_equal(text, "READY=1");
	close(fd);
	unsetenv("NOTIFY_SOCKET");
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "smtp:submission", 1);
	assert_int_equal(systemd_sockets(given), 0);                  /* meant for another */
	setenv("LISTEN_PID", text, 1);
	assert_int_equal(systemd_sockets(given), 2);
	assert_int_equal(given[1].fd, 4);
	assert_true(slice_eqs(given[1].name, "submission"));
	unsetenv("LISTEN_PID"), unsetenv("LISTEN_FDS"), unsetenv("LISTEN_FDNAMES");
}

/* Systemd's way of starting us: the socket is descriptor 3 already, named. */
static void test_socket_activation(void **state)
{
	char *argv[] = { (char[]){ "testd" }, (char[]){ "-C" }, conf, NULL };
	char text[32];
	struct err e = ERR_INIT;
	struct who w;
	pid_t pid;

	(void)state;
	write_conf_at("/nonexistent/not/used", "");
	pid = fork();
	if (pid == 0) {
		int fd = net_listen_unix(sock, SOCK_STREAM, 0666, &e);

		if (fd != 3 && dup2(fd, 3) == 3)
			close(fd);
		snprintf(text, sizeof(text), "%d", (int)getpid());
		setenv("LISTEN_PID", text, 1);
		setenv("LISTEN_FDS", "1", 1);
		setenv("LISTEN_FDNAMES", "lmtp", 1);
		exit(super_main(&table, 3, argv));                    /* stays in the foreground unasked */
	}
	w = ask_who();
	kill(pid, SIGHUP);
	expect_log("new settings in use");
	assert_int_not_equal(ask_newer(w.front).front, w.front);
	kill(pid, SIGTERM);
	assert_int_equal(reap(pid), 0);
}

static int make_dirs(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0)
		return -1;
	snprintf(conf, sizeof(conf), "%s/posthouse.conf", dir);
	snprintf(sock, sizeof(sock), "%s/lmtp", dir);
	snprintf(log_file, sizeof(log_file), "%s/log", dir);
	snprintf(errors, sizeof(errors), "%s/errors", dir);
	snprintf(pid_file, sizeof(pid_file), "%s/run/testd.pid", dir);
	return 0;
}

static int remove_dirs(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_addresses), cmocka_unit_test(test_systemd), cmocka_unit_test_setup(test_life, setup),
		cmocka_unit_test_setup(test_children_die_with_the_supervisor, setup), cmocka_unit_test_setup(test_old_fronts_finish_their_sessions, setup),
		cmocka_unit_test_setup(test_only_one_at_a_time, setup),
		cmocka_unit_test_setup(test_background, setup), cmocka_unit_test_setup(test_failed_start_says_why, setup),
		cmocka_unit_test_setup(test_socket_activation, setup),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
