/*
 * reply/codes.c - the table, and the three ways to write a reply by it.
 *
 * `meaning` says what happened in words for whoever got the reply in a bounce; `cure` what to do about it, first there, then here.
 */
#include "reply/codes.h"

#include <stdlib.h>
#include <string.h>

static const struct code_row rows[CODES] = {
	/* relaying */
	[CODE_RELAY_DENIED] = { "R01", "550 5.7.1", "Relaying denied",
	    "The recipient is not here, and nothing says that this client may send elsewhere through this server: it has not logged in, its address and name "
	    "are in no list, and nobody has fetched mail from its address within the last half hour.",
	    "Log in to send: port 587 or 465, with the user name and password of the mailbox. Where the mail program can't, fetch mail by POP3 or IMAP first. "
	    "The admin lets a network in by mynetworks, or by a line \"Connect:ADDRESS RELAY\" in the access map." },
	[CODE_RELAY_FORGED] = { "R02", "550 5.7.1", "Relaying denied, name may be forged",
	    "As R01; besides, DNS has a name for the client's address, but that name does not lead back to the address. Such a name counts for nothing.",
	    "Log in to send. Who owns the network makes the name's A or AAAA record hold the address; a line in /etc/hosts of the server is believed, too." },
	[CODE_RELAY_NAMELESS] = { "R03", "550 5.7.1", "Relaying denied, no name",
	    "As R01; besides, the client's address has no name in DNS, so no list of names can speak for it.",
	    "Log in to send, or fetch mail first. The admin lets the network in by mynetworks." },
	[CODE_RELAY_NOT_OWNER] = { "R04", "550 5.7.1", "Relaying denied, another user's grant",
	    "Somebody has just fetched mail from this address, but the sender address of this message belongs to somebody else. A grant is good for its own user only, "
	    "so that those who share an address by NAT can't send in each other's name.",
	    "Send with an address of the user who fetched mail, or log in to send. The classic behaviour is drac_match_sender = no." },
	[CODE_MUST_LOGIN] = { "R05", "530 5.7.0", "Log in first",
	    "Ports 587 and 465 are for users of this server, even when the recipient is here.",
	    "Switch on \"my server requires authentication\" in the mail program, or fetch mail first. Other servers deliver on port 25." },
	[CODE_RELAY_BARRED] = { "R06", "550 5.7.1", "This account may not send outside",
	    "The login is fine, but the admin lets this account write to recipients of this server only.",
	    "Ask the admin, who allows it with posthouse user." },
	[CODE_LMTP_ONLY_OURS] = { "R07", "550 5.7.1", "LMTP is for mailboxes here",
	    "LMTP hands over mail for final delivery; this recipient is not local.",
	    "Use SMTP for other recipients, or add the domain to mydestination or virtusertable." },
	[CODE_RELAY_NO_DRAC] = { "R08", "450 4.7.1", "Can't tell now who may relay",
	    "Only the table of addresses that have just fetched mail could let this message through, and dracd did not answer in time.",
	    "Try again. The admin starts dracd; drac_match_sender = no reads its published table instead." },
	[CODE_RELAY_NO_DNS] = { "R09", "450 4.4.0", "Can't tell now what the client is called",
	    "Names may relay here, but DNS did not say in time what the client's address is called.",
	    "Try again. The admin looks at the resolver: dns_server, resolv_conf." },
	/* the access map */
	[CODE_ACCESS_DENIED] = { "A01", "550 5.7.1", "Access denied",
	    "An entry of the access map refuses this client or this sender with REJECT.",
	    "Write to postmaster, who can always be reached. The admin finds the entry in the log, by file and line, and with posthouse explain." },
	[CODE_ACCESS_RCPT] = { "A02", "550 5.2.1", "Recipient refused by the access map",
	    "An entry To: of the access map refuses mail for this recipient with REJECT.",
	    "The admin finds the entry in the log and with posthouse explain." },
	[CODE_ACCESS_WORDS] = { "A03", "550 5.7.1", "Refused in the admin's words",
	    "An entry of the access map refuses with a status and a text of its own; both stand in the reply.",
	    "Do what the text says. The admin finds the entry in the log and with posthouse explain." },
	[CODE_ACCESS_DEFER] = { "A04", "450 4.7.1", "Not now, says the access map",
	    "An entry of the access map puts this client, sender or recipient off with DEFER.",
	    "Try again. The admin finds the entry in the log and with posthouse explain." },
	[CODE_ACCESS_BROKEN] = { "A05", "451 4.3.5", "An entry of the access map is not understood",
	    "The entry that decides here has a value which is no word of the access map, so mail waits until it is mended: a typing error closes rather than opens.",
	    "The admin runs posthouse check, which names file and line." },
	/* the sender */
	[CODE_SENDER_SYNTAX] = { "S01", "501 5.1.7", "The sender is no address",
	    "What stands in MAIL FROM can't be read as an address; the reply says where it goes wrong.",
	    "Correct the sender address in the mail program." },
	[CODE_SENDER_NO_DOMAIN] = { "S02", "553 5.5.4", "The sender lacks its domain",
	    "An address without @ and domain means something only inside; this client is not inside and has not logged in.",
	    "Write the whole address, or log in." },
	[CODE_NEEDS_UTF8] = { "S03", "553 5.6.7", "An address that needs SMTPUTF8",
	    "The address has letters beyond ASCII, which only a transaction with SMTPUTF8 may carry.",
	    "Use a mail program that knows SMTPUTF8, or an address in ASCII." },
	[CODE_SENDER_NOWHERE] = { "S04", "553 5.1.8", "The sender's domain does not exist",
	    "DNS knows neither MX nor address of the domain in MAIL FROM, so no bounce could ever reach it.",
	    "Correct the sender address. The admin takes such mail with accept_unresolvable_domains = yes, or from one domain with \"From:DOMAIN OK\" in the access map." },
	[CODE_SENDER_DNS] = { "S05", "451 4.1.8", "The sender's domain can't be looked up now",
	    "DNS did not answer for the domain in MAIL FROM.",
	    "Try again. Where it lasts, look at the name servers of that domain, then at the resolver here." },
	[CODE_SENDER_NOT_YOURS] = { "S06", "553 5.7.1", "Not an address of this user",
	    "Who logs in sends with addresses that lead to the own mailbox: the address itself, aliases and virtual addresses.",
	    "Choose the own address as sender. The admin adds an alias that leads to the user." },
	[CODE_FROM_NOT_YOURS] = { "S07", "550 5.7.1", "From: is not an address of this user",
	    "As S06, for the header that readers see.",
	    "Choose the own address in From. The admin switches the check off with check_header_from = no." },
	/* the recipient */
	[CODE_NO_USER] = { "U01", "550 5.1.1", "No such mailbox",
	    "The domain is here, but no mailbox, alias or virtual user of that name, or an alias that leads nowhere.",
	    "Check the spelling. The admin adds it with posthouse user add, or in aliases or virtusertable; posthouse explain shows where an address leads." },
	[CODE_RCPT_SYNTAX] = { "U02", "501 5.1.3", "The recipient is no address",
	    "What stands in RCPT TO can't be read as an address; the reply says where it goes wrong.",
	    "Correct the address." },
	[CODE_RCPT_NOWHERE] = { "U15", "550 5.1.2", "The recipient's domain does not exist",
	    "DNS knows neither MX nor address of the domain behind the @, or says that it takes no mail; the message could only come back.",
	    "Check the spelling of the domain. The admin takes such mail all the same with accept_unresolvable_domains = yes, or gives the domain a route in mailertable." },
	[CODE_ALIAS_NO_ADDRESS] = { "U03", "553 5.1.3", "An alias leads to no address",
	    "An alias or virtual user names something that is no address.",
	    "The admin runs posthouse check, which names file and line." },
	[CODE_USER_MOVED] = { "U04", "551 5.1.6", "The user has moved",
	    "The mailbox is gone; the reply says where to write instead.",
	    "Write to the new address." },
	[CODE_USER_DISABLED] = { "U05", "550 5.2.1", "The mailbox is disabled",
	    "The account exists, but its admin has switched it off.",
	    "The admin enables it with posthouse user." },
	[CODE_ALIAS_LOOP] = { "U06", "554 5.4.6", "Aliases go round in circles",
	    "Following the aliases of this address comes back to where it was, or does not end, and no mailbox is on the way.",
	    "The admin runs posthouse check, which names file and line." },
	[CODE_MAP_ENTRY_BROKEN] = { "U07", "451 4.3.5", "An alias, virtual user or route is not understood",
	    "The entry for this address in aliases, virtusertable or mailertable can't be read, so mail waits until it is mended.",
	    "The admin runs posthouse check, which names file and line." },
	[CODE_MAP_WORDS] = { "U08", "550 5.1.1", "Refused in the admin's words",
	    "An entry error: in virtusertable, aliases or mailertable refuses this recipient; status and text are the admin's.",
	    "Do what the text says. posthouse explain shows the entry." },
	[CODE_LIST_PROGRAM] = { "U09", "550 5.7.1", "A list may not name a program or file",
	    "A file that an alias includes names a program or a file to write to, which only the aliases file itself may do.",
	    "The admin writes the target into aliases." },
	[CODE_LIST_UNREADABLE] = { "U10", "451 4.2.4", "A list can't be read now",
	    "The file that an alias names with :include: can't be read.",
	    "The admin puts it into the configuration directory or /etc/mail and makes it readable." },
	[CODE_TOO_MANY_RCPTS] = { "U11", "452 4.5.3", "Too many recipients for one message",
	    "One transaction takes smtpd_recipient_limit recipients; those before this one are taken.",
	    "Servers send to the rest in a further transaction by themselves. The admin raises smtpd_recipient_limit." },
	[CODE_FULL_NOW] = { "U12", "452 4.2.2", "The mailbox is full",
	    "The mailbox, or each of those that the address leads to, has no room for this message under its quota. Its owner may make room, so for over_quota_grace "
	    "the message is only put off.",
	    "Servers try again by themselves. The owner removes mail, which counts at once. The admin sees the use with posthouse quota and allows more with posthouse user set." },
	[CODE_FULL] = { "U13", "552 5.2.2", "The mailbox has been full for long",
	    "As U12, and nothing was removed for over_quota_grace.",
	    "Tell the owner another way. The admin allows more with posthouse user set." },
	[CODE_FULL_ALWAYS] = { "U14", "552 5.2.3", "Larger than the whole mailbox may be",
	    "The message is larger than all that the mailbox may hold, so it would not fit even if that were empty.",
	    "Send large files another way. The admin allows more with posthouse user set." },
	[CODE_ALIAS_PROGRAM] = { "U16", "550 5.3.5", "An alias leads to a program or a file",
	    "All that the alias leads to are programs (|command) or files (/path), which this server does not deliver to.",
	    "The admin lets the alias lead to a mailbox that the program reads by IMAP or POP3, or sends the address by mailertable to a server that runs it; "
	    "posthouse check lists such aliases." },
	/* login and TLS */
	[CODE_LOGIN_WRONG] = { "L01", "535 5.7.8", "User name or password is wrong",
	    "There is no such user, or not with this password; which of the two is not said.",
	    "Type both again; the name is the whole address, or its part before the @. The admin sets a password with posthouse user passwd." },
	[CODE_LOGIN_NOT_NOW] = { "L02", "454 4.7.0", "Logins can't be checked now",
	    "The process or service that knows the passwords did not answer.",
	    "Try again in a minute. The admin reads the log: smtpd's auth process, PAM." },
	[CODE_LOGIN_NEEDS_TLS] = { "L03", "538 5.7.11", "Login needs encryption",
	    "A password is not taken over an open connection.",
	    "Switch on STARTTLS (587) or SSL/TLS (465) in the mail program. The admin configures tls_cert_file and tls_key_file." },
	[CODE_LOGIN_NOT_HERE] = { "L04", "503 5.5.1", "No login on this port",
	    "Port 25 is where servers deliver; users log in on 587 or 465.",
	    "Set the port to 587 or 465. The admin allows it on 25 with smtpd_auth_on_port_25 = yes." },
	[CODE_LOGIN_CANCELLED] = { "L05", "501 5.7.0", "Login cancelled",
	    "The client broke the login off.", "Nothing, unless the mail program does so by itself: choose another method of authentication there." },
	[CODE_LOGIN_GARBLED] = { "L06", "501 5.5.2", "Login not understood",
	    "What the client sent is no base64, or nothing that the mechanism knows.", "Choose another method of authentication in the mail program." },
	[CODE_LOGIN_MECHANISM] = { "L07", "504 5.5.4", "That way to log in is not offered",
	    "The reply lists the mechanisms that are.", "Choose one of them; \"normal password\" is PLAIN." },
	[CODE_LOGIN_TOO_MANY] = { "L08", "421 4.7.0", "Too many failed logins",
	    "After a few wrong passwords the connection ends.", "Correct the password stored in the mail program." },
	[CODE_NO_TLS] = { "L09", "454 4.7.0", "TLS is not available",
	    "The server has no certificate, or can't read it.", "The admin sets tls_cert_file and tls_key_file." },
	/* the message */
	[CODE_TOO_LARGE] = { "M01", "552 5.3.4", "The message is too large",
	    "The message, or its header, is larger than the server takes.", "Send large files another way. The admin raises message_size_limit." },
	[CODE_LINE_ENDS] = { "M02", "550 5.5.2", "A line does not end in CRLF",
	    "A bare CR, a bare LF or a NUL in the message is how one message is smuggled inside another, so such a message is refused and the connection ended.",
	    "The program that sent it must end lines in CRLF, as RFC 5321 2.3.8 wants it. The reply names the line." },
	[CODE_LINE_TOO_LONG] = { "M03", "552 5.5.2", "A line of the message is too long",
	    "RFC 5321 allows 998 octets in a line; the server takes far more, but not any.", "The program that sent it must encode the text (quoted-printable, base64)." },
	[CODE_TOO_MANY_HOPS] = { "M04", "554 5.4.6", "The message goes in circles",
	    "It has been through so many servers that it must be going round.", "The admins of the servers in its Received lines find who forwards it back." },
	/* the protocol */
	[CODE_UNKNOWN_COMMAND] = { "P01", "500 5.5.1", "Unknown command", "The line does not begin with a command of SMTP.", "HELP lists those that are known." },
	[CODE_UNREADABLE_LINE] = { "P02", "500 5.5.2", "A line that can't be read",
	    "The command line is empty, too long, holds a NUL, or does not end in CRLF.", "The client must send lines as RFC 5321 2.3.8 wants them." },
	[CODE_WRONG_ORDER] = { "P03", "503 5.5.1", "Not at this point", "The command comes at the wrong time; the reply says what comes first.",
	    "The order is EHLO, MAIL, RCPT, DATA." },
	[CODE_SYNTAX] = { "P04", "501 5.5.2", "Syntax error", "The command can't be read.", "The reply shows how it is written." },
	[CODE_ARGUMENT] = { "P05", "501 5.5.4", "Wrong argument", "An argument or parameter of the command is wrong, there twice, or missing.", "The reply says which." },
	[CODE_UNKNOWN_PARAMETER] = { "P06", "555 5.5.4", "Unknown parameter", "MAIL or RCPT has a parameter that EHLO did not offer.",
	    "The client must use only what EHLO offers." },
	[CODE_BINARYMIME] = { "P07", "555 5.6.1", "BINARYMIME is not offered", "The client wants to send a binary message.", "The client must use what EHLO offers: 8BITMIME." },
	[CODE_HELO] = { "P08", "501 5.0.0", "No host name in EHLO", "The name after EHLO or HELO is missing, or has characters that no name has.",
	    "The client must send its host name, or its address in brackets." },
	[CODE_COMMAND_OFF] = { "P09", "502 5.7.0", "This command is off", "Who exists here is not told to strangers.", "Send, and you will see." },
	/* the connection */
	[CODE_OPEN_RELAY] = { "C01", "421 4.3.5", "The configuration would relay for strangers",
	    "The settings or maps would make this server an open relay, so it takes no mail at all.",
	    "The admin runs posthouse check, which names the line to blame." },
	[CODE_TOO_MANY_CONNECTIONS] = { "C02", "421 4.3.2", "Too many connections", "All connections that the server takes at once are in use.",
	    "Come again. The admin raises smtpd_connection_limit." },
	[CODE_TOO_MANY_YOURS] = { "C03", "421 4.7.0", "Too many connections from your address",
	    "One address (IPv6: one /64) has as many connections as it may have.",
	    "Use fewer at once. The admin raises smtpd_client_connection_limit, or lists the network in mynetworks." },
	[CODE_CLOSING] = { "C04", "421 4.3.2", "The server closes", "It restarts, or can't serve just now.", "Come again." },
	[CODE_TIMEOUT] = { "C05", "421 4.4.2", "Too slow", "Nothing complete came for smtpd_timeout.", "Come again; look at the network between." },
	[CODE_TOO_MANY_ERRORS] = { "C06", "421 4.7.0", "Too many errors", "The client made so many mistakes that it is no mail client, or a broken one.", "Mend the client." },
	[CODE_TOO_MANY_REFUSED] = { "C07", "421 4.7.0", "Too many refused recipients", "The client seems to be guessing addresses.", "Clean the list of recipients." },
	[CODE_ENDLESS_LINE] = { "C08", "421 4.5.2", "A line without end", "A command line of more than a million octets.", "The client is broken, or speaks no SMTP." },
	[CODE_EARLY_TALKER] = { "C09", "521 5.5.1", "Talked before the greeting", "A client must wait for the greeting; one that does not is hardly a mail server.",
	    "The client must wait for 220." },
	[CODE_OUT_OF_STEP] = { "C10", "521 5.5.1", "Talked out of turn", "The client sent on where it must wait for a reply.", "The client must wait where RFC 2920 says so." },
	[CODE_TLS_TOO_EARLY] = { "C11", "521 5.5.1", "TLS without STARTTLS", "The client began with TLS on a port where one begins with STARTTLS.",
	    "Set STARTTLS for ports 25 and 587, SSL/TLS for 465." },
	[CODE_BROWSER] = { "C12", "521 5.5.1", "This is a mail server", "The client speaks HTTP.", "Point it at a web server." },
	[CODE_AFTER_STARTTLS] = { "C13", "554 5.5.1", "Data behind STARTTLS", "Commands behind STARTTLS, in the open, are how somebody in between injects his own.",
	    "The client must wait for 220 before it goes on." },
	[CODE_FALSE_PROXY] = { "C14", "521 5.7.1", "PROXY header not permitted", "The connection began with a PROXY header, and its address is not listed as a proxy's.",
	    "The admin lists proxies in proxy_protocol_from, and nobody else." },
	/* trouble here */
	[CODE_NO_SPACE] = { "T01", "452 4.3.1", "No space", "The spool's reserve of free space is reached.", "Try again. The admin makes room in spool_directory." },
	[CODE_NOT_STORED] = { "T02", "451 4.3.0", "Not stored", "The message could not be made durable, so it was not taken.", "Try again. The admin reads the log: the disk." },
	[CODE_QUEUE_NOT_READY] = { "T03", "451 4.3.0", "The queue is not ready", "The queue process is starting, or gone.", "Try again in a minute." },
	[CODE_DISK_FAILS] = { "T04", "421 4.3.0", "The disk fails", "Writing to the spool failed twice over; no mail can be taken until it works again.",
	    "The admin reads the log and looks at the disk." },
	[CODE_MAPS_UNREADABLE] = { "T05", "451 4.3.0", "The maps can't be read", "A table that this decision needs can't be read now.",
	    "Try again. The admin runs posthouse check and reads the log." },
	[CODE_NO_MEMORY] = { "T06", "451 4.3.0", "Out of room for this message", "The message came faster than it could be put away.", "Try again." },
};

const struct code_row *code_row(enum code c)
{
	return c > CODE_NONE && c < CODES ? &rows[c] : NULL;
}

enum code code_find(struct slice name)
{
	ptrdiff_t open;

	name = slice_trim(name);
	open = slice_rchr(name, '[');
	if (open >= 0 && name.p[name.n - 1] == ']')
		name = slice_mem(name.p + open + 1, name.n - (size_t)open - 2);
	if (slice_istarts(name, SLICE(CODE_PREFIX)))
		name = slice_from(name, sizeof(CODE_PREFIX) - 1);
	for (unsigned c = CODE_NONE + 1; c < CODES; c++)
		if (slice_ieqs(name, rows[c].name))
			return (enum code)c;
	return CODE_NONE;
}

PRINTF_LIKE(4, 0)
static int put(struct buf *out, const char *status, enum code c, const char *fmt, va_list ap)
{
	size_t at = out->len;

	if ((c == CODE_NONE || buf_addf(out, "%s ", status) == 0) && buf_vaddf(out, fmt, ap) == 0 &&
	    (c == CODE_NONE || buf_addf(out, " [" CODE_PREFIX "%s]", rows[c].name) == 0))
		return 0;
	buf_cut(out, at);
	return -1;
}

int code_add(struct buf *out, enum code c, const char *fmt, va_list ap)
{
	return put(out, rows[c].status, c, fmt, ap);
}

PRINTF_LIKE(4, 0)
static const char *print(struct arena *a, const char *status, enum code c, const char *fmt, va_list ap)
{
	struct buf b;
	const char *text;

	buf_init(&b, BUF_UNBOUNDED);
	if (put(&b, status, c, fmt, ap) != 0)
		abort();
	text = arena_str(a, buf_view(&b));
	buf_done(&b);
	return text;
}

const char *code_reply_v(struct arena *a, enum code c, const char *fmt, va_list ap)
{
	return print(a, rows[c].status, c, fmt, ap);
}

const char *code_reply(struct arena *a, enum code c, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = code_reply_v(a, c, fmt, ap);
	va_end(ap);
	return text;
}

const char *code_reply_as(struct arena *a, const char *status, enum code c, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = print(a, status, c, fmt, ap);
	va_end(ap);
	return text;
}
