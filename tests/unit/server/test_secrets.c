/*
 * What a process that was taken over can open: a child enters the very sandbox of each process of smtpd, with the default places of everything, and
 * tries. No password's hash, no key; but the names of the accounts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/users.h"
#include "base/file.h"
#include "client/client.h"
#include "conf/conf.h"
#include "deliver/deliver.h"
#include "queue/queue.h"
#include "serve/accounts.h"
#include "serve/landlock.h"
#include "server/front.h"

enum { OPENED_USERS = 1, OPENED_KEY = 2, NO_ACCOUNTS = 4, OPENED_LOCK = 8, NO_SANDBOX = 16 };

typedef void (*sandbox_of)(const struct settings *s, struct arena *a, struct sandbox *out);

static char dir[] = "/tmp/ph-secrets-XXXXXX";
static struct settings *conf;

static bool opens(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Which account there is, by the table as a router reads it. */
static bool knows(const char *path, const char *name)
{
	struct arena *a = arena_new(0);
	struct users *u = NULL;
	struct user got;
	struct err e = ERR_INIT;
	bool found = users_open(&u, path, &e) == 0 && users_get(u, slice_of(name), a, &got, &e) == 1;

	assert_true(!found || (got.hash.n == 0 && got.scram.n == 0));
	users_close(&u);
	arena_free(&a);
	return found;
}

/* In a child: what it could do, as bits. The last lines are plain calls, as an intruder's would be. */
static int evil(sandbox_of of)
{
	struct arena *a = arena_new(0);
	struct sandbox sb;
	struct err e = ERR_INIT;
	const char *lock = arena_printf(a, "%s.lock", conf->users_db);
	int got = 0;

	of(conf, a, &sb);
	if (sandbox_enter(&sb, &e) != 0)
		return NO_SANDBOX;
	got |= opens(conf->users_db) ? OPENED_USERS : 0;
	got |= opens(conf->tls_key_file) ? OPENED_KEY : 0;
	got |= opens(lock) ? OPENED_LOCK : 0;
	got |= opens(conf->accounts_db) && knows(conf->accounts_db, "u1@office.test") ? 0 : NO_ACCOUNTS;
	return got;
}

static int in_child(sandbox_of of)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(evil(of));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void set_up(void)
{
	struct user u = { .name = SLICE("u1@office.test"), .hash = SLICE("$y$hash"), .scram = SLICE("4096:salt:a:b"), .quota_storage = 5000 };
	static char words[5][200];
	const char *list[6] = { words[0], words[1], words[2], "mail_owner=", "drac_match_sender=no", NULL };
	struct err e = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	snprintf(words[0], sizeof(words[0]), "config_directory=%s/etc", dir);
	snprintf(words[1], sizeof(words[1]), "state_directory=%s/state", dir);
	snprintf(words[2], sizeof(words[2]), "runtime_directory=%s/run", dir);
	assert_int_equal(conf_load(&conf, NULL, list, NULL, &e), 0);
	assert_int_equal(accounts_make_directories(conf, &e), 0);
	const char *const made[] = { conf->config_directory, conf->runtime_directory, conf->mail_directory };

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(file_mkdirs(made[i], 0700, &e), 0);
	snprintf(words[4], sizeof(words[4]), "%s/large", conf->spool_directory);
	assert_int_equal(file_mkdirs(words[4], 0700, &e), 0);
	snprintf(words[4], sizeof(words[4]), "%s/drac", conf->state_directory);
	assert_int_equal(file_mkdirs(words[4], 0755, &e), 0);
	assert_int_equal(users_set(conf->users_db, conf->accounts_db, &u, &e), 0);
	assert_int_equal(file_replace(conf->tls_key_file, SLICE("-----BEGIN PRIVATE KEY-----\n"), 0600, &e), 0);
}

static int group_set_up(void **state)
{
	(void)state;
	set_up();
	return 0;
}

static int group_tear_down(void **state)
{
	char command[100];

	(void)state;
	conf_free(&conf);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void secrets_are_the_owners(void **state)
{
	struct stat st;
	char *secret = strdup(conf->users_db);

	(void)state;
	*strrchr(secret, '/') = '\0';
	assert_int_equal(stat(secret, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(conf->users_db, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(opens(conf->users_db) && opens(conf->tls_key_file));  /* so that what follows is the sandbox's doing */
	free(secret);
}

static void the_table_of_accounts_has_no_secret(void **state)
{
	struct buf b;
	struct err e = ERR_INIT;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(file_read(conf->users_db, &b, &e), 0);
	assert_true(slice_find(buf_view(&b), SLICE("$y$hash")) >= 0);
	buf_reset(&b);
	assert_int_equal(file_read(conf->accounts_db, &b, &e), 0);
	assert_true(slice_find(buf_view(&b), SLICE("quota_storage 5000")) >= 0);
	assert_true(slice_find(buf_view(&b), SLICE("$y$hash")) < 0 && slice_find(buf_view(&b), SLICE("4096:")) < 0);
	assert_true(slice_find(buf_view(&b), SLICE("!secret")) < 0);
	buf_done(&b);
}

static void front(void **state)
{
	(void)state;
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(in_child(smtpd_front_sandbox), 0);
}

static void queue(void **state)
{
	(void)state;
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(in_child(smtpd_queue_sandbox), 0);
}

static void deliver(void **state)
{
	(void)state;
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(in_child(smtpd_deliver_sandbox), 0);
}

static void client(void **state)
{
	(void)state;
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(in_child(smtpd_client_sandbox), NO_ACCOUNTS);   /* it has no business with them either */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_the_owners), cmocka_unit_test(the_table_of_accounts_has_no_secret),
		cmocka_unit_test(front), cmocka_unit_test(queue), cmocka_unit_test(deliver), cmocka_unit_test(client),
	};

	return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
