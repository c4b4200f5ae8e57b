/*
 * conf/rows_site.c - who and where we are.
 */
#include "conf/tables.h"

static const struct conf_param rows[] = {
	CONF_STRING(myhostname, "$system_hostname",
	    "The full name of this machine. It stands in greetings, in HELO, in Received lines and in the names of delivered files."),
	CONF_STRING(mydomain, "$parent_domain",
	    "The domain of the office, for use as $mydomain in other settings, which is all it does; myorigin does so by default. "
	    "The default is myhostname without its first label, where at least two labels remain."),
	CONF_STRING(myorigin, "$mydomain",
	    "The domain that is added to an address without one, as in mail that programs on this machine send from root."),
	CONF_STRING(mail_owner, "posthouse",
	    "The user that every process runs as after a start by root. A start by any other user stays with that user, and this is not read. "
	    "Empty, everything stays with root: for a throwaway appliance only."),
	CONF_STRING(config_directory, "$settings_directory",
	    "Where maps and certificates are looked for when their names are not absolute; the processes that speak with strangers may read all of it, so no "
	    "secret belongs there. The default is the directory of the settings file."),
	CONF_STRING(state_directory, PATH_STATE,
	    "Where everything lies that must survive a restart: mail, the queue and the DRAC table."),
	CONF_STRING(runtime_directory, PATH_RUN,
	    "Where sockets and process ids lie. It may be empty at each boot."),
	CONF_STRING(mail_directory, "$state_directory/mail",
	    "The mailboxes, one Maildir for each user: DOMAIN/LOCALPART below this directory."),
	CONF_STRING(spool_directory, "$state_directory/spool",
	    "The queue. It should be on the same file system as mail_directory, so that one flush covers both."),
	CONF_STRING(users_db, "$state_directory/secret/users.db",
	    "The accounts that the posthouse user commands manage: hashes of passwords, never passwords, and quotas. Only the processes that check "
	    "passwords read it. Its directory belongs to mail_owner and holds secrets alone, outside config_directory."),
	CONF_STRING(accounts_db, "$state_directory/accounts/accounts.db",
	    "The names and quotas of users_db without the hashes, for the processes that only ask which accounts exist. The posthouse user commands "
	    "write it, and smtpd mends it when it starts. It has a directory of its own, which those processes may read."),
	CONF_STRING(log_target, "syslog",
	    "Where log lines go: syslog (facility mail), journal (with fields), stderr, or the path of a file that is appended to."),
	CONF_CHOICE(log_level, "info", "error warn info debug",
	    "How much is logged. The story of each message and each login needs info."),
	CONF_STRING(tls_cert_file, "$config_directory/cert.pem",
	    "The certificate in PEM, followed by the intermediate ones. When the file is missing TLS is not offered, and nobody but plaintext_login_from can log in."),
	CONF_STRING(tls_key_file, "$state_directory/secret/key.pem",
	    "The private key of the certificate, in PEM and without a pass phrase. Only mail_owner should be able to read it. It is read before a process "
	    "confines itself, and belongs outside config_directory, which the confined process may read."),
	CONF_STRING(tls_ca_file, "",
	    "The authorities, in PEM, that the certificates of other servers are checked with. Empty means those of the system."),
	CONF_NUMBER(front_processes, "0", "0", "256",
	    "How many processes of each daemon speak with clients. 0 means one for each processor core."),
	CONF_LIST(proxy_protocol_from, "",
	    "Networks of proxies that hand us connections with a PROXY header (version 1 or 2; not with TLS of their own). From them every connection must begin "
	    "with one, and the client is whom it names: in logs, limits, access rules and DRAC. A header from anywhere else is refused. The proxies' own addresses "
	    "never get a DRAC entry, since everybody sits behind them."),
	CONF_STRING(resolv_conf, "/etc/resolv.conf",
	    "The file that names the DNS servers to ask."),
	CONF_STRING(dns_server, "",
	    "One DNS server as ADDRESS@PORT, asked instead of those in resolv_conf. Empty for none."),
};

const struct conf_table conf_site_table = CONF_TABLE("Who and where we are", rows);
