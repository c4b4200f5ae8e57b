/*
 * conf/rows_mail.c - mailboxes, pop3d, imapd.
 */
#include "conf/tables.h"

static const struct conf_param rows[] = {
	CONF_LIST(listen_pop3, "0.0.0.0:110 [::]:110",
	    "Where POP3 with STLS is served, as ADDRESS:PORT. Empty for nowhere."),
	CONF_LIST(listen_pop3s, "0.0.0.0:995 [::]:995",
	    "Where POP3 with TLS from the first octet is served."),
	CONF_LIST(listen_imap, "0.0.0.0:143 [::]:143",
	    "Where IMAP with STARTTLS is served."),
	CONF_LIST(listen_imaps, "0.0.0.0:993 [::]:993",
	    "Where IMAP with TLS from the first octet is served."),
	CONF_SIZE(quota_storage, "0", "0", "16T",
	    "How much mail a user may keep, where the account does not say otherwise. 0 for any amount."),
	CONF_NUMBER(quota_messages, "0", "0", NULL,
	    "How many messages a user may keep, where the account does not say otherwise. 0 for any number."),
	CONF_SECS(over_quota_grace, "1d", "0", "30d",
	    "How long mail for a full mailbox is put off (452 4.2.2 to other servers, which try again) before it is refused (552 5.2.2) and the sender hears of it. "
	    "It begins anew when the user removes something. 0 refuses at once."),
	CONF_STRING(mail_spool_directory, "",
	    "Where other programs (procmail, cron, an old MDA) leave mail as one mbox file a user, /var/mail say. At the login of a user of default_domain the messages of "
	    "the file of that name are moved into INBOX, under its lock file and fcntl, before the session begins. Daemons that root starts join the group of the directory "
	    "for that; under systemd give posthouse-imapd and posthouse-pop3d SupplementaryGroups=mail and ReadWritePaths=/var/mail. Empty means that nobody looks there."),
	CONF_LIST(special_folders, "Drafts Sent Junk Trash Archive",
	    "Folders that every user has from the first login, marked for their use (RFC 6154)."),
	CONF_STRING(pop3_uidl_format, "dovecot",
	    "The unique-id of a message in POP3, as the server before this one made it, so that users who come from there fetch nothing twice: dovecot, courier, cyrus, uw, "
	    "qpopper (the X-UIDL field of messages that came along), or a format in which %u is the UID, %v the UIDVALIDITY of the mailbox, %f both as in its file name; "
	    "a width and x for hexadecimal go between. A change makes everybody fetch everything again."),
	CONF_SECS(pop3_timeout, "10m", "1s", "1d",
	    "How long a POP3 client may be silent; RFC 1939 asks for ten minutes."),
	CONF_SECS(imap_timeout, "30m", "1s", "1d",
	    "How long an IMAP client may be silent; RFC 3501 asks for thirty minutes. A client in IDLE is not silent."),
	CONF_SECS(imap_park_after, "1m", "1s", "1d",
	    "After how long in IDLE a connection is handed back to the front, so that it costs no process."),
	CONF_NUMBER(mail_user_connection_limit, "50", "1", "10000",
	    "How many connections one user may have at the same time, for each of POP3 and IMAP."),
	CONF_SECS(login_timeout, "1m", "1s", "1h",
	    "How long a client may take to log in."),
	CONF_NUMBER(login_client_limit, "500", "0", "1000000",
	    "How many connections of one address (IPv6: of one /64) pop3d holds before they have logged in, and imapd as many; 0 is no limit."),
	CONF_NUMBER(login_limit, "10000", "10", "1000000",
	    "How many connections a front process of pop3d or imapd holds before they have logged in. Over it the one that has waited longest is closed, so that "
	    "silent clients keep nobody out."),
};

const struct conf_table conf_mail_table = CONF_TABLE("Mailboxes, POP3 and IMAP", rows);
