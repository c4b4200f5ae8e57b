/*
 * conf/rows_drac.c - relaying after a POP3 or IMAP login: dracd, and those who ask it.
 */
#include "conf/tables.h"

static const struct conf_param rows[] = {
	CONF_BOOL(drac, "yes",
	    "Whether a POP3 or IMAP login lets its address send mail for drac_lifetime. With no, pop3d and imapd tell dracd nothing and smtpd asks nothing."),
	CONF_STRING(drac_socket, "$runtime_directory/dracd.sock",
	    "The local socket of dracd, where our own daemons speak version 3 of the protocol."),
	CONF_LIST(listen_drac_udp, "127.0.0.1:0 [::1]:0",
	    "Where versions 1 and 2 are served by UDP, as ADDRESS:PORT. Port 0 takes a free one, which rpcbind tells to those who ask."),
	CONF_LIST(listen_drac_tcp, "127.0.0.1:0 [::1]:0",
	    "The same by TCP."),
	CONF_LIST(listen_drac_tls, "",
	    "Where version 3 is served to other hosts by TLS with certificates on both sides (drac_tls_peers), as ADDRESS:PORT. Empty for nowhere."),
	CONF_LIST(drac_peers, "",
	    "The other hosts of the site, as HOST:PORT of their listen_drac_tls. Each host fetches what the others grant and revoke, so each must name all others; "
	    "one that names itself is fine, so all can have the same line."),
	CONF_LIST(drac_tls_peers, "",
	    "Whose certificates are good between the hosts: names that they bear, or fingerprints as sha256:HEX. Empty for the hosts of drac_peers. "
	    "Who shows one may read and register everything, but not revoke."),
	CONF_STRING(drac_tls_ca_file, "",
	    "The certificate of the authority that signs for the hosts of drac_tls_peers (PEM). Not needed where all are listed by fingerprint."),
	CONF_STRING(drac_tls_cert_file, "$tls_cert_file",
	    "The certificate that dracd shows to other hosts, as server and as client (PEM, its chain behind it)."),
	CONF_STRING(drac_tls_key_file, "$tls_key_file",
	    "The private key of drac_tls_cert_file (PEM, without a passphrase)."),
	CONF_BOOL(drac_rpcbind, "yes",
	    "Whether dracd registers with rpcbind, which old clients ask for its port. It runs on without where there is no rpcbind."),
	CONF_STRING(drac_table, "$state_directory/drac/dracd.db",
	    "The table for other programs: a Berkeley DB btree with the address as key and the expiry in seconds since 1970 as value."),
	CONF_STRING(drac_allow, "dracd.allow",
	    "The file in config_directory that says who may register addresses: lines of NETMASK ADDRESS as before, or of ADDRESS/BITS. "
	    "Without the file only this machine may. Who calls may register any address: a file that lets a large part of the world call is refused "
    "where such a grant opens the relay (drac_match_sender = no, or drac_trust_v1)."),
	CONF_LIST(drac_never, "0.0.0.0/8 100.64.0.0/10 169.254.0.0/16 224.0.0.0/3 ::/128 fe80::/10 ff00::/8",
	    "Addresses that no login opens: those behind which many people sit (web mail, carriers), and those that are nobody's. "
	    "The networks of proxy_protocol_from are never opened either."),
	CONF_STRING(drac_never_file, "dracd.never",
	    "The same as a file in config_directory, one address or ADDRESS/BITS a line. The one that comes with Posthouse lists the mail services that fetch "
	    "mail for their users. It need not exist."),
	CONF_LIST(drac_trust_v1, "",
	    "Callers, by address, whose registrations in versions 1 and 2 count although these versions name no user. "
	    "With them the sender's address can not be checked; 127.0.0.1 is what an old poppassd or courier patch needs."),
	CONF_BOOL(drac_match_sender, "yes",
	    "Whether a DRAC entry opens relaying only for the sender addresses of the user who logged in. "
	    "With no any sender may, as with sendmail of old, and smtpd reads drac_table when dracd does not answer."),
	CONF_SECS(drac_lifetime, "30m", "1s", "1d",
	    "How long an address may send after the login. Each new login, and every third of this time a POP3 or IMAP session in use, begins it anew; sending does not. "
	    "A session is in use when its client has sent a command since the last time, or waits in IDLE. Hosts of drac_peers should all have the same value."),
	CONF_SECS(drac_max_age, "8h", "1s", "7d",
	    "The longest that one login can count, however often it is renewed by activity. It can not be less than drac_lifetime."),
	CONF_NUMBER(drac_users_per_address, "8", "1", "1000",
	    "How many users may vouch for one address. With more of them it is taken for a shared one and no longer opened."),
	CONF_NUMBER(drac_addresses_per_user, "8", "1", "1000",
	    "How many addresses one user may have open."),
	CONF_LIST(drac_ipv6_keys, "plain",
	    "The spellings of IPv6 addresses in drac_table: plain, sendmail, exim, exim-net. Give all that its readers need."),
};

const struct conf_table conf_drac_table = CONF_TABLE("Relaying after a login (DRAC)", rows);
