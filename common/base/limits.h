/*
 * base/limits.h - the size of everything that a peer controls, on one page.
 *
 * Octets unless the name says otherwise. Limits that an admin may want to move are settings (conf/); these are the outer walls.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* What a listed proxy may send before its client's octets (io/proxy.h) */
#define LIMIT_PROXY_HEADER       2048        /* version 2 with what it may carry besides (TLS, names), which is skipped */
#define LIMIT_PROXY_WAITING      4096        /* connections that wait for their header; more are closed */

/* SMTP (RFC 5321 4.5.3.1 gives minima; these are ours) */
#define LIMIT_SMTP_LINE          2048        /* command line with CRLF; AUTH lines below */
#define LIMIT_AUTH_LINE          12288       /* RFC 4954 section 4 */
#define LIMIT_SMTP_BODY_LINE     (1u << 20)  /* a line of the message; RFC says 1000, the world sends more */
#define LIMIT_SMTP_RCPTS         1000
#define LIMIT_SMTP_BAD_COMMANDS  20
#define LIMIT_SMTP_BAD_RCPTS     100
#define LIMIT_SMTP_MEMORY_BODY   (1u << 20)  /* a larger message goes to spool/large */
#define LIMIT_RECEIVED_LINES     50          /* hop count */
#define LIMIT_PATH               512         /* 255 + 1 + 255 */
#define LIMIT_LOCAL_PART         255         /* RFC 5321 says 64, but the senders of lists (VERP, SRS) are longer */
#define LIMIT_DOMAIN             255
#define LIMIT_REPLY_LINE         4096        /* of a remote server */
#define LIMIT_REPLY_LINES        128

/* POP3, IMAP */
#define LIMIT_POP3_LINE          512         /* RFC 2449 section 4: 255; AUTH lines LIMIT_AUTH_LINE */
#define LIMIT_IMAP_LINE          65536       /* after login, without literals */
#define LIMIT_IMAP_LINE_PRELOGIN 8192
#define LIMIT_IMAP_LITERAL_PRELOGIN 4096
#define LIMIT_IMAP_LITERAL       (64u << 10) /* of anything but APPEND */
#define LIMIT_IMAP_DEPTH         32          /* parentheses */
#define LIMIT_IMAP_KEYWORDS      256         /* that one command names; more than the folder may have is its answer to give */
#define LIMIT_IMAP_BAD_COMMANDS_PRELOGIN 20
#define LIMIT_IMAP_BAD_COMMANDS  50
#define LIMIT_FOLDER_NAME        240         /* as stored */
#define LIMIT_FOLDER_DEPTH       16
#define LIMIT_FOLDERS            10000       /* of a user */
#define LIMIT_KEYWORDS           64          /* of a folder: bits of a fixed record (store/mbox.h) */
#define LIMIT_KEYWORD            64

/* Messages */
#define LIMIT_MESSAGE_FILE       (2ull << 30) /* what other programs put into a Maildir; message_size_limit goes as far */
#define LIMIT_HEADER             (1u << 20)
#define LIMIT_MIME_DEPTH         100
#define LIMIT_MIME_PARTS         10000
#define LIMIT_MIME_PARAMS        100
#define LIMIT_ADDRESSES          1024        /* of one header in ENVELOPE */

/* Between processes */
#define LIMIT_CHAN_MESSAGE       (128u << 10)
#define LIMIT_USER_LOCAL         64          /* of an account of ours, before the @ */
#define LIMIT_USER_NAME          255
#define LIMIT_PASSWORD           1024

/* From another server, by posthouse import imap */
#define LIMIT_IMPORT_MESSAGE     (1u << 30)

/* DRAC */
#define LIMIT_DRAC_CALL          2048
#define LIMIT_DRAC_REPLY         (64u << 10)

#endif
