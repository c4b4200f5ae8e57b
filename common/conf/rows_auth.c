/*
 * conf/rows_auth.c - accounts and login.
 */
#include "conf/tables.h"

static const struct conf_param rows[] = {
	CONF_LIST(passdb, "users",
	    "Where passwords are checked, in this order: users is users_db, pam is PAM. The first source that knows the user decides."),
	CONF_STRING(pam_service, "posthouse",
	    "The name that PAM is asked under: the file in /etc/pam.d that says how."),
	CONF_SECS(pam_timeout, "15s", "1s", "5m",
	    "How long PAM may take for one login. After that the login fails for now, and the client is told to try again."),
	CONF_LIST(sasl_mechanisms, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
	    "The ways to log in that are offered. Those that show the password to us are offered only under TLS, or to plaintext_login_from."),
	CONF_LIST(plaintext_login_from, "",
	    "Networks that may send a password without TLS, such as 127.0.0.0/8. Empty means that nobody may."),
	CONF_NUMBER(auth_processes, "2", "1", "64",
	    "How many processes of each daemon check passwords. One check of a password hash keeps a processor busy for a good part of a second, on purpose."),
	CONF_SECS(auth_cache_time, "5m", "0", "1d",
	    "How long a password that was right is remembered (as a keyed hash, in memory), so that a mail program that logs in each minute costs little. "
	    "A change of users_db forgets them all. 0 switches it off."),
	CONF_SECS(auth_failure_delay, "2s", "0", "1m",
	    "How long the first wrong password waits for its answer. Further ones from the same address or for the same user wait longer."),
	CONF_STRING(default_domain, "",
	    "The domain of a user who logs in without one. Empty means the first of mydestination."),
};

const struct conf_table conf_auth_table = CONF_TABLE("Accounts and login", rows);
