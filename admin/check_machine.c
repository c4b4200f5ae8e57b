/*
 * admin/check_machine.c - see the header.
 */
#include "admin/check_machine.h"

#include <errno.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/users.h"
#include "base/attr.h"
#include "conf/conf.h"
#include "io/tls.h"
#include "serve/sandbox.h"

enum { CERTIFICATE_SOON_DAYS = 14 };

static bool has_word(const char *list, const char *wanted)
{
	struct slice rest = slice_of(list), word;

	while (conf_word(&rest, &word))
		if (slice_eqs(word, wanted))
			return true;
	return false;
}

/*
 * Who everything runs as
 */

static bool starts_as_another(const struct settings *s)
{
	return geteuid() == 0 && s->mail_owner[0] != '\0';
}

/* Is there somebody to become? */
static bool warn_owner(const struct settings *s, struct buf *out)
{
	const struct passwd *pw = s->mail_owner[0] != '\0' ? getpwnam(s->mail_owner) : NULL;

	if (geteuid() != 0)
		return true;
	if (s->mail_owner[0] == '\0')
		buf_puts(out, "mail_owner is empty: started by root everything stays with root, also what strangers talk to. Name a user that is for mail alone\n");
	else if (pw == NULL)
		buf_putf(out, "mail_owner = %s: there is no such user on this machine, so nothing will start: adduser --system --group --home %s %s\n", s->mail_owner,
		    s->state_directory, s->mail_owner);
	else if (pw->pw_uid == 0)
		buf_putf(out, "mail_owner = %s is root: nothing will start. Mail must belong to a user without power\n", s->mail_owner);
	return s->mail_owner[0] == '\0' || (pw != NULL && pw->pw_uid != 0);
}

/* What access(2) says to mail_owner: 0, or errno. */
static int owner_access(const struct settings *s, const char *path)
{
	struct err ignored = ERR_INIT;
	int status = 0;
	pid_t pid;

	if (!starts_as_another(s))
		return access(path, R_OK) == 0 ? 0 : errno;
	if ((pid = fork()) == 0)
		_exit(sandbox_become(s->mail_owner, "", &ignored) == 0 && access(path, R_OK) == 0 ? 0 : errno);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static const char *whose(const struct settings *s)
{
	return starts_as_another(s) ? s->mail_owner : "the user who starts the daemons";
}

/*
 * Secrets
 */

static bool is_below(const char *path, const char *directory)
{
	char real[PATH_MAX], top[PATH_MAX];
	size_t n;

	if (realpath(path, real) == NULL || realpath(directory, top) == NULL)
		return false;
	n = strlen(top);
	return strncmp(real, top, n) == 0 && real[n] == '/';
}

static void warn_secret(const struct settings *s, const char *name, const char *path, struct buf *out)
{
	struct stat st;

	if (path[0] == '\0' || stat(path, &st) != 0)
		return;
	if (st.st_mode & 0027)
		buf_putf(out, "%s %s may be read or changed by others (its mode is %04o): chmod 600 %s\n", name, path, (unsigned)(st.st_mode & 07777), path);
	if (is_below(path, s->config_directory))
		buf_putf(out, "%s %s lies in config_directory, which the processes that speak with strangers may read: move it to %s/secret and say so in the settings\n",
		    name, path, s->state_directory);
}

/*
 * Certificate and key
 */

static void warn_dates(const struct settings *s, X509 *cert, struct buf *out)
{
	int days = 0, seconds = 0;

	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		buf_putf(out, "tls_cert_file %s is not valid yet: is the clock right?\n", s->tls_cert_file);
	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
		return;
	if (days < 0 || seconds < 0)
		buf_putf(out, "tls_cert_file %s has expired: mail programs refuse it. Renew it, then posthouse reload\n", s->tls_cert_file);
	else if (days < CERTIFICATE_SOON_DAYS)
		buf_putf(out, "tls_cert_file %s expires in %d days: renew it, then posthouse reload\n", s->tls_cert_file, days);
}

static void warn_certificate(const struct settings *s, struct buf *out)
{
	FILE *f = fopen(s->tls_cert_file, "re");
	X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if (cert != NULL) {
		warn_dates(s, cert, out);
		if (X509_check_host(cert, s->myhostname, 0, 0, NULL) != 1)
			buf_putf(out, "tls_cert_file %s is not for myhostname = %s: mail programs that are told that name will complain\n", s->tls_cert_file, s->myhostname);
	}
	X509_free(cert);
	if (f != NULL)
		fclose(f);
}

static bool warn_unreadable(const struct settings *s, const char *name, const char *path, struct buf *out)
{
	int sys = owner_access(s, path);

	if (sys == 0)
		return false;
	buf_putf(out, "no TLS: %s %s, for %s: %s%s\n", name, path, whose(s), strerror(sys), sys == EACCES ? ". Give him a copy (README.md, For real)" : "");
	return true;
}

static void warn_tls(const struct settings *s, struct buf *out)
{
	struct tls_ctx *ctx = NULL;
	struct err e = ERR_INIT;

	if (s->tls_cert_file[0] == '\0' || s->tls_key_file[0] == '\0') {
		buf_putf(out, "no TLS: %s is empty\n", s->tls_cert_file[0] == '\0' ? "tls_cert_file" : "tls_key_file");
	} else if (!warn_unreadable(s, "tls_cert_file", s->tls_cert_file, out) && !warn_unreadable(s, "tls_key_file", s->tls_key_file, out)) {
		if (tls_server_ctx(&ctx, s->tls_cert_file, s->tls_key_file, NULL, &e) != 0)
			buf_putf(out, "no TLS: %s\n", e.text);
		warn_certificate(s, out);
		tls_ctx_unref(&ctx);
		return;
	}
	buf_puts(out, "  without TLS nobody can log in from elsewhere than plaintext_login_from\n");
}

/*
 * Accounts
 */

/* Where users.db was looked for in other years, or where a hand would put it. */
static bool left_behind(const struct settings *s, struct buf *out)
{
	const char *const places[] = { s->config_directory, s->state_directory, PATH_SYSCONF };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		int n = snprintf(path, sizeof(path), "%s/users.db", places[i]);
		if (n > 0 && (size_t)n < sizeof(path) && strcmp(path, s->users_db) != 0 && access(path, F_OK) == 0) {
			buf_putf(out, "users_db %s is not there, but %s is: its accounts cannot log in. Stop the daemons and mv %s %s\n", s->users_db, path, path, s->users_db);
			return true;
		}
	}
	return false;
}

static int count_user(void *ctx, const struct user *user UNUSED)
{
	++*(unsigned *)ctx;
	return 0;
}

static void warn_table(const struct settings *s, struct buf *out)
{
	struct users *users = NULL;
	struct err e = ERR_INIT;
	unsigned n = 0;

	if (users_open(&users, s->users_db, &e) != 0 || users_each(users, count_user, &n, &e) != 0)
		buf_putf(out, "users_db, so nobody can log in: %s\n", e.text);
	else if (n == 0 && !has_word(s->passdb, "pam"))
		buf_puts(out, "there is no account yet: posthouse user add NAME\n");
	users_close(&users);
}

static void warn_users(const struct settings *s, struct buf *out)
{
	int sys = has_word(s->passdb, "users") ? owner_access(s, s->users_db) : 0;

	if (!has_word(s->passdb, "users") || (sys == ENOENT && left_behind(s, out)))
		return;
	if (sys == 0 || sys == ENOENT)
		warn_table(s, out);
	else
		buf_putf(out, "users_db %s, for %s: %s, so nobody can log in: chown -R %s %s/secret\n", s->users_db, whose(s), strerror(sys),
		    s->mail_owner[0] != '\0' ? s->mail_owner : "USER", s->state_directory);
}

static void warn_pam(const struct settings *s, struct buf *out)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "/etc/pam.d/%s", s->pam_service);

	if (has_word(s->passdb, "pam") && n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) != 0)
		buf_putf(out, "passdb names pam, but %s is not there: PAM takes /etc/pam.d/other, which may refuse everybody\n", path);
}

void check_machine(const struct settings *s, struct buf *warnings)
{
	if (!warn_owner(s, warnings))
		return;
	warn_secret(s, "tls_key_file", s->tls_key_file, warnings);
	warn_secret(s, "users_db", s->users_db, warnings);
	if (strcmp(s->drac_tls_key_file, s->tls_key_file) != 0)
		warn_secret(s, "drac_tls_key_file", s->drac_tls_key_file, warnings);
	warn_tls(s, warnings);
	warn_users(s, warnings);
	warn_pam(s, warnings);
}
