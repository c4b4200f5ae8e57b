#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
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
 *
 * A file takes many lines by one write(2): while they are held (log_hold), lines of information wait for the end of the loop's turn, the others go at
 * once and take along what waits. A process that forks, ends or crashes writes them first.
 */
#define LOG_TEXT 4096                        /* longest line before escaping */
#define LOG_LINE (2 * LOG_TEXT)
#define LOG_HELD (32u << 10)                 /* octets that wait at most */
#define LOG_FACILITY_MAIL 2                  /* RFC 5424 section 6.2.1 */

enum sink_kind { SINK_STDERR, SINK_PATH, SINK_SYSLOG, SINK_JOURNAL };

struct sink {
	enum sink_kind kind;
	int fd;
	enum log_level level;
	struct buf lines;                    /* never given back: what waits must be there when the process crashes */
	unsigned waiting, lost;              /* lines */
	bool held, guarded;
	long pid;
	int64_t second;                      /* that time_text is about */
	char time_text[24], zone[8];
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

/* ---- what waits ---- */

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

void log_flush(void)
{
	int saved = errno;

	if (sink.waiting == 0)
		return;
	if (!deliver(buf_view(&sink.lines)))
		sink.lost += sink.waiting;
	buf_reset(&sink.lines);
	sink.waiting = 0;
	errno = saved;
}

static void forget_pid(void)
{
	sink.pid = 0;
}

static void on_crash(int signo)
{
	log_flush();
	(void)raise(signo);                                           /* SA_RESETHAND: this time it ends us */
}

/* Whoever has a handler of its own (a sanitizer) keeps it. */
static void guard(void)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
	struct sigaction was, ours = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };

	if (sink.guarded)
		return;
	sink.guarded = true;
	pthread_atfork(log_flush, NULL, forget_pid);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		if (sigaction(fatal[i], NULL, &was) == 0 && (was.sa_flags & SA_SIGINFO) == 0 && was.sa_handler == SIG_DFL)
			(void)sigaction(fatal[i], &ours, NULL);
}

bool log_hold(bool on)
{
	bool was = sink.held;

	guard();
	if (!on)
		log_flush();
	sink.held = on;
	return was;
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
	log_flush();
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

	if (s != sink.second || sink.time_text[0] == '\0') {
		struct tm tm;
		long east;

		localtime_r(&s, &tm);
		east = tm.tm_gmtoff / 60;
		(void)strftime(sink.time_text, sizeof(sink.time_text), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(sink.zone, sizeof(sink.zone), "%c%02d:%02d", east < 0 ? '-' : '+', (int)(labs(east) / 60 % 100), (int)(labs(east) % 60));
		sink.second = s;
	}
	buf_putf(b, "%s.%06d%s ", sink.time_text, (int)(now % CLOCK_US_PER_S), sink.zone);
}

static long pid(void)
{
	if (sink.pid == 0)
		sink.pid = (long)getpid();
	return sink.pid;
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

/* What stands before the text, as the sink wants it. */
static void put_head(struct buf *b, int severity, const char *prefix)
{
	int priority = LOG_FACILITY_MAIL * 8 + severity;

	switch (sink.kind) {
	case SINK_JOURNAL:
		buf_putf(b, "MESSAGE=%s", prefix);
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
	buf_putf(b, "%s[%ld]: %s", sink.name, pid(), prefix);
}

static void put_tail(struct buf *b, int severity, size_t text_at)
{
	struct slice id;

	if (sink.kind == SINK_PATH || sink.kind == SINK_STDERR)
		buf_putc(b, '\n');
	if (sink.kind != SINK_JOURNAL)
		return;
	id = queue_id(slice_from(buf_view(b), text_at));
	buf_putf(b, "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%s\nSYSLOG_PID=%ld\n", severity, LOG_FACILITY_MAIL, sink.name, pid());
	if (id.n > 0) {
		char plain[LOG_ID_MAX + 1];                           /* of b itself, which may move */

		memcpy(plain, id.p, id.n);
		buf_putf(b, "POSTHOUSE_ID=%.*s\n", (int)id.n, plain);
	}
}

void log_escape(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = text_print_run(s);

		if (n == 0)
			n = text_utf8_len(s);
		if (n == 0 || text_has_ctl(slice_head(s, 1))) {
			buf_putf(out, "\\x%02x", (unsigned char)s.p[0]);
			n = 1;
		} else {
			buf_put(out, slice_head(s, n));
		}
		s = slice_from(s, n);
	}
}

static bool may_wait(int severity)
{
	return sink.held && severity >= levels[LOG_L_INFO].severity && (sink.kind == SINK_PATH || sink.kind == SINK_STDERR);
}

static void put_line(int severity, const char *prefix, struct slice text, bool cut)
{
	struct buf *b = &sink.lines;
	size_t at;

	if (b->cap == 0) {
		buf_init(b, BUF_UNBOUNDED);
		if (buf_room(b, LOG_HELD + 2 * LOG_LINE) == NULL)     /* once: it does not move under a crash */
			abort();
	}
	put_head(b, severity, prefix);
	at = b->len;
	log_escape(text, b);
	if (cut || b->len - at > LOG_LINE) {
		buf_cut(b, b->len - at < LOG_LINE ? b->len : at + LOG_LINE);
		buf_puts(b, "...");
	}
	if (severity <= levels[LOG_L_ERROR].severity)
		snprintf(sink.last_error, sizeof(sink.last_error), "%s", b->p + at);
	put_tail(b, severity, at);
	sink.waiting++;
	if (!may_wait(severity) || b->len > LOG_HELD)
		log_flush();
}

static void log_line(int severity, const char *prefix, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static void log_line(int severity, const char *prefix, const char *fmt, va_list ap)
{
	char raw[LOG_TEXT];
	int n = vsnprintf(raw, sizeof(raw), fmt, ap), saved = errno;
	unsigned lost = sink.lost;

	if (lost > 0) {
		char note[64];

		snprintf(note, sizeof(note), "%u log lines were lost", lost);
		sink.lost = 0;
		put_line(levels[LOG_L_WARN].severity, levels[LOG_L_WARN].prefix, slice_of(note), false);
		if (sink.lost > 0)
			sink.lost = lost;                             /* the note did not get through either, and is not one of them */
	}
	put_line(severity, prefix, slice_of(n < 0 ? "a log line that could not be formatted" : raw), n >= (int)sizeof(raw));
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
