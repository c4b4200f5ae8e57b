#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

/*
 * The socket is opened once and the address rides with each datagram, so a restarted syslogd is found again with sendto(2) alone,
 * which every sandbox of ours allows. A logger that stands still costs us at most a second a line, and then the line; the next one
 * that gets through says how many were lost.
 */
#define LOG_TEXT 4096                        /* longest line before escaping */
#define LOG_LINE (2 * LOG_TEXT)
#define LOG_FACILITY_MAIL 2                  /* RFC 5424 section 6.2.1 */

enum sink_kind { SINK_STDERR, SINK_PATH, SINK_SYSLOG, SINK_JOURNAL };

struct sink {
	enum sink_kind kind;
	int fd;
	enum log_level level;
	unsigned lost;
	struct sockaddr_un to;
	char path[PATH_MAX], name[64], host[65];
	char last_error[256];
};

static struct sink sink = { .kind = SINK_STDERR, .fd = STDERR_FILENO, .level = LOG_L_INFO, .name = "posthouse" };

static const struct { const char *where, *socket; enum sink_kind kind; } sockets[] = {
	{ "syslog", "/dev/log", SINK_SYSLOG },
	{ "journal", "/run/systemd/journal/socket", SINK_JOURNAL },
};

static const struct { const char *prefix; int severity; } levels[] = {
	[LOG_L_ERROR] = { "error: ", 3 },
	[LOG_L_WARN] = { "warning: ", 4 },
	[LOG_L_INFO] = { "", 6 },
	[LOG_L_DEBUG] = { "debug: ", 7 },
};

int log_open_socket(const char *path, bool journal, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 1 };
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return err_set(e, ERR_SYNTAX, ENAMETOOLONG, "log socket %s", path);
	memcpy(to.sun_path, path, strlen(path));
	if (access(path, W_OK) < 0)
		return err_set(e, err_kind_of(errno), errno, "log socket %s", path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, ERR_TEMP, errno, "log socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	log_close();
	sink.kind = journal ? SINK_JOURNAL : SINK_SYSLOG;
	sink.fd = fd;
	sink.to = to;
	return 0;
}

static int open_path(const char *path, struct err *e)
{
	int fd;

	if (strlen(path) >= sizeof(sink.path))
		return err_set(e, ERR_SYNTAX, ENAMETOOLONG, "log file %s", path);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "log file %s", path);
	log_close();
	sink.kind = SINK_PATH;
	sink.fd = fd;
	memmove(sink.path, path, strlen(path) + 1);                   /* log_reopen() passes sink.path itself */
	return 0;
}

int log_open(const char *where, enum log_level level, struct err *e)
{
	tzset();                                                      /* reads its file now, before a sandbox forbids it */
	if (gethostname(sink.host, sizeof(sink.host) - 1) < 0)
		sink.host[0] = '\0';
	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets); i++)
		if (strcmp(where, sockets[i].where) == 0) {
			if (log_open_socket(sockets[i].socket, sockets[i].kind == SINK_JOURNAL, e) < 0)
				return -1;
			sink.level = level;
			return 0;
		}
	if (strcmp(where, "stderr") == 0)
		log_close();
	else if (open_path(where, e) < 0)
		return -1;
	sink.level = level;
	return 0;
}

void log_name(const char *process)
{
	snprintf(sink.name, sizeof(sink.name), "%s", process);
}

int log_fd(void)
{
	return sink.fd;
}

const char *log_process_name(void)
{
	return sink.name;
}

void log_close(void)
{
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink.kind = SINK_STDERR;
	sink.fd = STDERR_FILENO;
}

void log_reopen(void)
{
	struct err e = ERR_INIT;

	if (sink.kind == SINK_PATH && open_path(sink.path, &e) < 0)
		log_warn("going on with the old log: %s", e.text);
}

/* RFC 3339 with microseconds and zone: what rsyslog writes by default and pflogsumm, logwatch and fail2ban read. */
static void put_time(struct buf *b)
{
	int64_t now = clock_wall_us();
	time_t s = (time_t)(now / CLOCK_US_PER_S);
	struct tm tm;
	long east;

	localtime_r(&s, &tm);
	east = tm.tm_gmtoff / 60;
	buf_putf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%06d%c%02ld:%02ld ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(now % CLOCK_US_PER_S), east < 0 ? '-' : '+', labs(east) / 60, labs(east) % 60);
}

#define LOG_ID_MIN 10
#define LOG_ID_MAX 23

/* "ID: the rest": the queue id that a line of mail begins with, empty where it begins otherwise. */
static struct slice queue_id(struct slice text)
{
	size_t n = 0;

	while (n < text.n && n <= LOG_ID_MAX && ascii_is_alnum(text.p[n]))
		n++;
	return slice_head(text, n >= LOG_ID_MIN && n <= LOG_ID_MAX && slice_starts(slice_from(text, n), SLICE(": ")) ? n : 0);
}

static void put_journal(struct buf *b, int severity, const char *prefix, struct slice text)
{
	struct slice id = queue_id(text);

	buf_putf(b, "MESSAGE=%s%.*s\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%s\nSYSLOG_PID=%ld\n", prefix, SLICE_FMT(text), severity,
	    LOG_FACILITY_MAIL, sink.name, (long)getpid());
	if (id.n > 0)
		buf_putf(b, "POSTHOUSE_ID=%.*s\n", SLICE_FMT(id));
}

/* The record as the sink wants it; text is escaped already, so it holds no line end. */
static void put_record(struct buf *b, int severity, const char *prefix, struct slice text)
{
	int priority = LOG_FACILITY_MAIL * 8 + severity;

	switch (sink.kind) {
	case SINK_JOURNAL:
		put_journal(b, severity, prefix, text);
		return;
	case SINK_SYSLOG:
		buf_putf(b, "<%d>", priority);                        /* no time: syslogd stamps it on arrival, in its own form */
		break;
	case SINK_PATH:
		put_time(b);
		buf_putf(b, "%s ", sink.host[0] != '\0' ? sink.host : "localhost");
		break;
	case SINK_STDERR:
		break;
	}
	buf_putf(b, "%s[%ld]: %s%.*s", sink.name, (long)getpid(), prefix, SLICE_FMT(text));
	if (sink.kind != SINK_SYSLOG)
		buf_putc(b, '\n');
}

static bool deliver(struct slice record)
{
	ssize_t n;

	do
		n = sink.kind == SINK_SYSLOG || sink.kind == SINK_JOURNAL
		    ? sendto(sink.fd, record.p, record.n, MSG_NOSIGNAL, (const struct sockaddr *)&sink.to, sizeof(sink.to))
		    : write(sink.fd, record.p, record.n);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

static bool emit(int severity, const char *prefix, struct slice text)
{
	struct buf record;
	bool ok;

	buf_init(&record, BUF_UNBOUNDED);
	put_record(&record, severity, prefix, text);
	ok = deliver(buf_view(&record));
	buf_done(&record);
	return ok;
}

void log_escape(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = text_utf8_len(s);

		if (n == 0 || text_has_ctl(slice_head(s, 1))) {
			buf_putf(out, "\\x%02x", (unsigned char)s.p[0]);
			n = 1;
		} else {
			buf_put(out, slice_head(s, n));
		}
		s = slice_from(s, n);
	}
}

static void log_line(int severity, const char *prefix, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static void log_line(int severity, const char *prefix, const char *fmt, va_list ap)
{
	char raw[LOG_TEXT];
	int n = vsnprintf(raw, sizeof(raw), fmt, ap), saved = errno;
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	log_escape(slice_of(n < 0 ? "a log line that could not be formatted" : raw), &text);
	if (n >= (int)sizeof(raw) || text.len > LOG_LINE) {
		buf_cut(&text, text.len < LOG_LINE ? text.len : LOG_LINE);
		buf_puts(&text, "...");
	}
	if (sink.lost > 0) {
		char note[64];

		snprintf(note, sizeof(note), "%u log lines were lost", sink.lost);
		if (emit(levels[LOG_L_WARN].severity, levels[LOG_L_WARN].prefix, slice_of(note)))
			sink.lost = 0;
	}
	if (severity <= levels[LOG_L_ERROR].severity)
		snprintf(sink.last_error, sizeof(sink.last_error), "%s", buf_str(&text));
	if (!emit(severity, prefix, buf_view(&text)))
		sink.lost++;
	buf_done(&text);
	errno = saved;
}

#define LOG_AT(at) do { \
	va_list ap; \
	if (sink.level < (at)) \
		return; \
	va_start(ap, fmt); \
	log_line(levels[at].severity, levels[at].prefix, fmt, ap); \
	va_end(ap); \
} while (0)

void log_error(const char *fmt, ...)
{
	LOG_AT(LOG_L_ERROR);
}

void log_warn(const char *fmt, ...)
{
	LOG_AT(LOG_L_WARN);
}

void log_info(const char *fmt, ...)
{
	LOG_AT(LOG_L_INFO);
}

void log_debug(const char *fmt, ...)
{
	LOG_AT(LOG_L_DEBUG);
}

const char *log_last_error(void)
{
	return sink.last_error;
}

void log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(2, "fatal: ", fmt, ap);
	va_end(ap);
	exit(1);
}
