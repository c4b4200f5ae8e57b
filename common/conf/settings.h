/*
 * conf/settings.h - every setting, as the programs read it. The rows (names, defaults, bounds, prose) are in conf/rows_*.c, a file a group;
 * the order here is the order there. Strings are never NULL; "" is off. Seconds and octets unless a comment says otherwise.
 */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct arena;

struct settings {
	struct arena *arena;                                          /* owns all of it */
	const char *path;                                             /* the file it came from, for messages; "" when there was none */
	const char *settings_directory;                               /* where that file is, absolute */
	const char *system_hostname;                                  /* gethostname(2) at load */
	const int *lines;                                             /* for conf_where() */

	/* rows_site.c: who and where we are */
	const char *myhostname;                                       /* default: the machine's name */
	const char *mydomain;
	const char *myorigin;
	const char *mail_owner;                                       /* user that everything runs as when started as root: "posthouse" */
	const char *config_directory;                                 /* maps and certificates; default: the settings file's directory */
	const char *state_directory;                                  /* /var/lib/posthouse */
	const char *runtime_directory;                                /* /run/posthouse */
	const char *mail_directory;                                   /* $state_directory/mail */
	const char *spool_directory;                                  /* $state_directory/spool */
	const char *users_db;                                         /* $state_directory/secret/users.db */
	const char *accounts_db;                                      /* $state_directory/accounts/accounts.db: for routers, no secrets */
	const char *log_target;                                       /* syslog, journal, stderr or a path */
	const char *log_level;                                        /* choice: error warn info debug */
	const char *tls_cert_file;
	const char *tls_key_file;
	const char *tls_ca_file;                                      /* "" : the system's store */
	uint32_t front_processes;                                     /* 0: one a core */
	const char *proxy_protocol_from;                              /* networks whose connections begin with a PROXY header (io/proxy.h) */
	const char *resolv_conf;                                      /* "/etc/resolv.conf"; tests give their own */
	const char *dns_server;                                       /* "ADDR@PORT" overrides resolv_conf; "" */

	/* rows_auth.c: accounts and login */
	const char *passdb;                                           /* list: "users", "users pam" */
	const char *pam_service;                                      /* "posthouse" */
	uint32_t pam_timeout;
	const char *sasl_mechanisms;                                  /* "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" */
	const char *plaintext_login_from;                             /* networks that may log in without TLS: "127.0.0.0/8 ::1" only in tests */
	uint32_t auth_processes;
	uint32_t auth_cache_time;
	uint32_t auth_failure_delay;                                  /* seconds before the first refusal is said */
	const char *default_domain;                                   /* for logins without @: first of mydestination when "" */

	/* rows_smtpd.c: receiving */
	const char *listen_smtp, *listen_submission, *listen_submissions, *listen_lmtp;
	const char *mydestination, *mynetworks, *relay_domains;
	const char *relayhost;                                        /* "", "[host]:port", "domain" */
	const char *always_bcc;
	const char *recipient_delimiter;
	uint64_t message_size_limit;
	uint64_t queue_minfree;                                       /* octets kept free in the spool */
	uint32_t smtpd_timeout;
	uint32_t smtpd_recipient_limit;
	uint32_t smtpd_client_connection_limit;                       /* of one address; 0: none */
	uint32_t smtpd_connection_limit;                              /* of one front */
	bool smtpd_auth_on_port_25;
	bool accept_unresolvable_domains;
	bool check_header_from;
	const char *access_map, *alias_maps, *virtual_alias_maps, *transport_maps, *generic_maps;   /* files in config_directory */
	const char *local_host_names, *relay_domains_file;

	/* rows_queue.c: queue and sending */
	uint32_t minimal_backoff_time, maximal_backoff_time, maximal_queue_lifetime, bounce_queue_lifetime, delay_warning_time;
	uint64_t journal_segment_size;
	uint32_t checkpoint_interval;
	uint32_t deliver_processes;
	uint32_t client_connection_limit, client_destination_limit;
	const char *client_tls;                                       /* choice: none may encrypt verify */
	uint32_t client_connect_timeout, client_timeout;
	uint32_t client_port;                                         /* 25; tests give the sink's */
	const char *client_bind_address;                              /* "" */

	/* rows_drac.c */
	bool drac;                                                    /* pop3d and imapd grant, smtpd asks */
	const char *drac_socket;                                      /* $runtime_directory/dracd.sock */
	const char *listen_drac_udp, *listen_drac_tcp, *listen_drac_tls;
	const char *drac_peers, *drac_tls_peers;                      /* HOST:PORT ...; names and fingerprints, "": the hosts of drac_peers */
	const char *drac_tls_ca_file, *drac_tls_cert_file, *drac_tls_key_file;
	bool drac_rpcbind;
	const char *drac_table;                                       /* $state_directory/drac/dracd.db */
	const char *drac_allow;                                       /* the allow file */
	const char *drac_never;                                       /* networks that are never authorised */
	const char *drac_never_file;                                  /* more of them */
	const char *drac_trust_v1;                                    /* callers whose v1/v2 grants count although they name no user */
	bool drac_match_sender;
	uint32_t drac_lifetime, drac_max_age;
	uint32_t drac_users_per_address, drac_addresses_per_user;
	const char *drac_ipv6_keys;

	/* rows_mail.c: mailboxes, pop3d, imapd */
	const char *listen_pop3, *listen_pop3s, *listen_imap, *listen_imaps;
	uint64_t quota_storage;                                       /* default of a user; 0: none */
	uint32_t quota_messages;
	uint32_t over_quota_grace;                                    /* seconds: a full mailbox is "try again" so long, then a refusal */
	const char *mail_spool_directory;                             /* "" is off */
	const char *special_folders;                                  /* "Drafts Sent Junk Trash Archive" */
	const char *pop3_uidl_format;
	uint32_t pop3_timeout, imap_timeout, imap_park_after;
	uint32_t mail_user_connection_limit;
	uint32_t login_timeout;
	uint32_t login_client_limit, login_limit;                     /* connections of one address, and in all, of a front before login */
};

#endif
