/*
 * conf/rows_queue.c - the queue, and sending to other servers.
 */
#include "conf/tables.h"

static const struct conf_param rows[] = {
	CONF_SECS(minimal_backoff_time, "5m", "1s", "1d",
	    "How long a message waits after its first attempt failed for now. Each further pause is twice as long."),
	CONF_SECS(maximal_backoff_time, "1h", "1s", "1d",
	    "The longest pause between two attempts."),
	CONF_SECS(maximal_queue_lifetime, "5d", "1s", "100d",
	    "When to give up: a message that could not be delivered for so long is returned to its sender."),
	CONF_SECS(bounce_queue_lifetime, "2d", "1s", "100d",
	    "The same for mail with the empty sender, such as returned mail. Then only postmaster here is told."),
	CONF_SECS(delay_warning_time, "4h", "0", "30d",
	    "When the sender is told that a message still waits. 0 for never."),
	CONF_SIZE(journal_segment_size, "16M", "1M", "1G",
	    "The size of one file of the journal that accepted mail is written to. Several exist, and they are used again and again."),
	CONF_SECS(checkpoint_interval, "5s", "1s", "10m",
	    "How often delivered mail is made durable in the mailboxes, so that the journal may forget it. After a crash the mail since then is delivered again "
	    "from the journal, and no message twice."),
	CONF_NUMBER(deliver_processes, "2", "1", "64",
	    "How many processes put mail into mailboxes."),
	CONF_NUMBER(client_connection_limit, "100", "1", "10000",
	    "How many connections to other servers are open at the same time."),
	CONF_NUMBER(client_destination_limit, "10", "1", "1000",
	    "How many of them go to one destination."),
	CONF_CHOICE(client_tls, "may", "none may encrypt verify",
	    "TLS with other servers: none, when they offer it (may), or never without it (encrypt); verify asks for a valid certificate too."),
	CONF_SECS(client_connect_timeout, "30s", "1s", "10m",
	    "How long another server may take to answer a connection before its next address is tried."),
	CONF_SECS(client_timeout, "5m", "1s", "1h",
	    "How long another server may be silent. After the end of a message it has twice as long, at least ten minutes (RFC 5321 4.5.3.2.6)."),
	CONF_NUMBER(client_port, "25", "1", "65535",
	    "The port of other servers, where no map and no relayhost says another."),
	CONF_STRING(client_bind_address, "",
	    "The own address to send from. Empty lets the system choose."),
};

const struct conf_table conf_queue_table = CONF_TABLE("The queue and sending", rows);
