/*
 * admin/sendmail.c - the names that people's hands and scripts know: sendmail, mailq, newaliases. All are `posthouse` under another name.
 *
 * sendmail reads a message, puts right what is missing in its header, and hands it to the queue's control socket, which writes it to the journal before
 * the exit status says so. No privileges are involved: who submits is known by SO_PEERCRED. Exit statuses are those of sysexits.h.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/queue_list.h"
#include "admin/sendmail.h"
#include "admin/tables.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "conf/conf.h"
#include "mail/header.h"
#include "mail/path.h"
#include "map/map.h"
#include "queue/control.h"

enum mode { MODE_SEND, MODE_MAILQ, MODE_ALIASES, MODE_FLUSH, MODE_VERIFY, MODE_TEST, MODE_SMTP, MODE_OTHER };

struct options {
	enum mode mode;
	char other;                                                   /* the letter of -b that is not done here */
	const char *conf_path, *from, *full_name, *envid, *ret, *notify;
	bool from_headers, ignore_dots, verbose, is_8bit;
};

struct letter {
	const struct settings *s;
	const struct options *o;
	struct arena *arena;
	struct slice sender;
	struct rcpt *rcpts;
	size_t n_rcpts, cap_rcpts;
	struct buf in, out;                                           /* as read, with CRLF; as sent */
};

/* ---- options ---- */

/* The value of an option that takes one: behind the letter or the next word. */
static const char *value_of(int argc, char **argv, int *i, const char *rest)
{
	if (*rest != '\0')
		return rest;
	return *i + 1 < argc ? argv[++*i] : "";
}

static void mode_option(struct options *o, char letter)
{
	switch (letter) {
	case 'm':
		o->mode = MODE_SEND;
		break;
	case 'p':
		o->mode = MODE_MAILQ;
		break;
	case 'i':
		o->mode = MODE_ALIASES;
		break;
	case 'v':
		o->mode = MODE_VERIFY;
		break;
	case 't':
		o->mode = MODE_TEST;
		break;
	case 's':
		o->mode = MODE_SMTP;
		break;
	default:
		o->mode = MODE_OTHER;
		o->other = letter;
	}
}

/* Returns the index of the first address. Options that only mean something inside sendmail itself are taken and ignored. */
static int read_options(int argc, char **argv, struct options *o)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		const char *rest = argv[i] + 2;

		if (strcmp(argv[i], "--") == 0)
			return i + 1;
		switch (argv[i][1]) {
		case 'b':
			mode_option(o, *rest);
			break;
		case 'q':
			o->mode = MODE_FLUSH;
			break;
		case 't':
			o->from_headers = true;
			break;
		case 'i':
			o->ignore_dots = true;
			break;
		case 'o':
			o->ignore_dots |= strcmp(value_of(argc, argv, &i, rest), "i") == 0;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'f':
		case 'r':
			o->from = value_of(argc, argv, &i, rest);
			break;
		case 'F':
			o->full_name = value_of(argc, argv, &i, rest);
			break;
		case 'C':
			o->conf_path = value_of(argc, argv, &i, rest);
			break;
		case 'V':
			o->envid = value_of(argc, argv, &i, rest);
			break;
		case 'R':
			o->ret = value_of(argc, argv, &i, rest);
			break;
		case 'N':
			o->notify = value_of(argc, argv, &i, rest);
			break;
		case 'B':
			o->is_8bit = slice_ieqs(slice_of(value_of(argc, argv, &i, rest)), "8BITMIME");
			break;
		case 'O': case 'h': case 'L': case 'X': case 'p': case 'd': case 'A':
			if (argv[i][1] != 'd' && argv[i][1] != 'A')
				(void)value_of(argc, argv, &i, rest);
			break;
		default:
			break;
		}
	}
	return i;
}

/* ---- the message ---- */

/* Lines with CRLF, whatever they had; ends at a lone dot unless -i. -1: too large or a NUL. */
static int take_line(struct letter *l, struct slice line, bool *end)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (!l->o->ignore_dots && line.n == 1 && line.p[0] == '.') {
		*end = true;
		return 0;
	}
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\0')
			return -1;
		if (line.p[i] == '\r' ? buf_adds(&l->in, "\r\n") < 0 : buf_addc(&l->in, line.p[i]) < 0)
			return -1;
	}
	return buf_adds(&l->in, "\r\n");
}

static int read_message(struct letter *l)
{
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;
	bool end = false;
	int rc = 0;

	while (rc == 0 && !end && (n = getline(&text, &cap, stdin)) > 0)
		rc = take_line(l, slice_mem(text, (size_t)n), &end);
	free(text);
	return rc;
}

static void add_rcpt(struct letter *l, struct slice local, struct slice domain)
{
	char *text = domain.n > 0 ? arena_printf(l->arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)) :
	    arena_printf(l->arena, "%.*s@%s", SLICE_FMT(local), l->s->myorigin);

	if (l->n_rcpts == l->cap_rcpts) {
		struct rcpt *more = arena_array(l->arena, l->cap_rcpts * 2 + 16, sizeof(*more));

		if (l->n_rcpts > 0)
			memcpy(more, l->rcpts, l->n_rcpts * sizeof(*more));
		l->rcpts = more;
		l->cap_rcpts = l->cap_rcpts * 2 + 16;
	}
	l->rcpts[l->n_rcpts++] = (struct rcpt){ .address = slice_of(text) };
}

static void add_rcpts(struct letter *l, struct slice value)
{
	struct address *list;
	size_t n = address_list(value, l->arena, &list);

	for (size_t i = 0; i < n; i++) {
		if (list[i].kind == ADDRESS_MAILBOX && list[i].local.n > 0)
			add_rcpt(l, list[i].local, list[i].domain);
	}
}

static bool is_header_line(struct slice in)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == ':')
			return i > 0;
		if (in.p[i] <= ' ' || in.p[i] > '~')
			return false;
	}
	return false;
}

static bool is_rcpt_field(struct slice name)
{
	return slice_ieqs(name, "To") || slice_ieqs(name, "Cc") || slice_ieqs(name, "Bcc");
}

static void put_missing(struct letter *l, struct slice header)
{
	struct slice value;
	int64_t now = clock_wall_s();
	char luck[8];

	if (!header_find(header, SLICE("Date"), &value)) {
		buf_puts(&l->out, "Date: ");
		date_put(now, date_local_zone(now), &l->out);
		buf_puts(&l->out, "\r\n");
	}
	if (!header_find(header, SLICE("From"), &value)) {
		if (l->o->full_name != NULL && l->o->full_name[0] != '\0') {
			buf_puts(&l->out, "From: \"");
			for (const char *p = l->o->full_name; *p != '\0'; p++) {
				if ((unsigned char)*p >= ' ' && *p != '"' && *p != '\\')
					buf_putc(&l->out, *p);
			}
			buf_putf(&l->out, "\" <%.*s>\r\n", SLICE_FMT(l->sender));
		} else {
			buf_putf(&l->out, "From: %.*s\r\n", SLICE_FMT(l->sender));
		}
	}
	if (!header_find(header, SLICE("Message-ID"), &value)) {
		text_random(luck, sizeof(luck));
		buf_putf(&l->out, "Message-ID: <%lld.", (long long)now);
		text_hex(slice_mem(luck, sizeof(luck)), &l->out);
		buf_putf(&l->out, "@%s>\r\n", l->s->myhostname);
	}
	if (!header_find(header, SLICE("To"), &value) && !header_find(header, SLICE("Cc"), &value))
		buf_puts(&l->out, "To: undisclosed-recipients:;\r\n");
}

static void put_message(struct letter *l)
{
	struct slice in = buf_view(&l->in), body, header, name, value, raw;
	bool has_end;

	if (!is_header_line(in)) {
		put_missing(l, SLICE(""));
		buf_puts(&l->out, "\r\n");
		buf_put(&l->out, in);
		return;
	}
	header = header_split(in, &body, &has_end);
	put_missing(l, header);
	while (header_next(&header, &name, &value, &raw)) {
		if (l->o->from_headers && is_rcpt_field(name))
			add_rcpts(l, value);
		if (!slice_ieqs(name, "Bcc"))
			buf_put(&l->out, raw);
	}
	buf_puts(&l->out, "\r\n");
	buf_put(&l->out, body);
}

/* ---- submission ---- */

static struct slice login_address(struct letter *l)
{
	const struct passwd *pw = getpwuid(getuid());
	const char *name = pw != NULL ? pw->pw_name : "nobody";

	return slice_of(arena_printf(l->arena, "%s@%s", name, l->s->myorigin));
}

static struct slice sender_of(struct letter *l)
{
	const char *from = l->o->from;
	struct slice s;

	if (from == NULL)
		return login_address(l);
	s = slice_trim(slice_of(from));
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = slice_head(slice_from(s, 1), s.n - 2);
	if (s.n > 0 && slice_chr(s, '@') < 0)
		s = slice_of(arena_printf(l->arena, "%.*s@%s", SLICE_FMT(s), l->s->myorigin));
	return s;
}

static unsigned notify_of(const char *text)
{
	struct slice rest = slice_of(text), word;
	unsigned bits = 0;

	while (text != NULL && slice_next(&rest, ',', &word)) {
		word = slice_trim(word);
		bits |= slice_ieqs(word, "never") ? NOTIFY_NEVER : slice_ieqs(word, "success") ? NOTIFY_SUCCESS :
		    slice_ieqs(word, "failure") ? NOTIFY_FAILURE : slice_ieqs(word, "delay") ? NOTIFY_DELAY : 0;
	}
	return bits;
}

static int submit(struct letter *l)
{
	struct envelope env = { .id = "X", .arrived = 1, .sender = l->sender, .rcpts = l->rcpts, .n_rcpts = l->n_rcpts };
	enum control_status status = CONTROL_NO;
	struct buf words;
	struct err e = ERR_INIT;
	int fd = memfd_create("message", MFD_CLOEXEC), rc;

	if (fd < 0 || file_write_all(fd, buf_view(&l->out)) < 0)
		return command_fail(EX_OSERR, "cannot hold the message in memory");
	env.flags = (l->o->is_8bit || !text_is_ascii(buf_view(&l->out)) ? ENV_8BITMIME : 0) |
	    (l->o->ret == NULL ? 0 : slice_ieqs(slice_of(l->o->ret), "hdrs") ? ENV_RET_HDRS : ENV_RET_FULL);
	if (l->o->envid != NULL) {
		buf_init(&words, LIMIT_PATH);
		if (text_xtext(slice_of(l->o->envid), &words) == 0)
			env.envid = arena_dup(l->arena, buf_view(&words));
		buf_done(&words);
	}
	for (size_t i = 0; i < l->n_rcpts; i++) {
		l->rcpts[i].notify = notify_of(l->o->notify);
		if (!text_is_ascii(l->rcpts[i].address))
			env.flags |= ENV_SMTPUTF8;
	}
	buf_init(&words, BUF_UNBOUNDED);
	rc = control_submit(l->s, &env, fd, &words, &status, &e);
	close(fd);
	if (rc < 0)
		rc = command_fail(EX_TEMPFAIL, "%s", e.text);
	else if (status != CONTROL_OK)
		rc = command_fail(status == CONTROL_LATER ? EX_TEMPFAIL : status == CONTROL_DENIED ? EX_NOPERM : EX_DATAERR, "%s", buf_str(&words));
	else if (l->o->verbose)
		printf("queued as %s\n", buf_str(&words));
	buf_done(&words);
	return rc;
}

static int send_letter(struct letter *l, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		add_rcpts(l, slice_of(argv[i]));
	if (l->n_rcpts == 0 && !l->o->from_headers)
		return command_fail(EX_USAGE, "sendmail: to whom? Give addresses, or -t to take them from the header");
	if (read_message(l) < 0)
		return command_fail(EX_DATAERR, "sendmail: the message is larger than message_size_limit, or has a NUL");
	l->sender = sender_of(l);
	put_message(l);
	if (l->n_rcpts == 0)
		return command_fail(EX_NOUSER, "sendmail: the header names no recipient (To, Cc, Bcc)");
	return submit(l);
}

static int run_send(const struct settings *s, const struct options *o, int argc, char **argv)
{
	struct letter l = { .s = s, .o = o, .arena = arena_new(0) };
	int rc;

	buf_init(&l.in, (size_t)s->message_size_limit);
	buf_init(&l.out, BUF_UNBOUNDED);
	rc = send_letter(&l, argc, argv);
	buf_done(&l.in);
	buf_done(&l.out);
	arena_free(&l.arena);
	return rc;
}

/* ---- mailq, newaliases, -q ---- */

static int run_mailq(const struct settings *s)
{
	struct queue_list list;
	enum control_status status;
	struct err e = ERR_INIT;
	struct buf words;
	int rc = EX_OK;

	queue_list_init(&list);
	buf_init(&words, BUF_UNBOUNDED);
	if (control_ask(s, CONTROL_LIST, "", queue_list_add, &list, &words, &status, &e) < 0) {
		rc = command_fail(EX_TEMPFAIL, "%s", e.text);
	} else if (status == CONTROL_DENIED) {
		printf("%s\n\t\tTotal requests: 0\n", buf_str(&words));
		rc = EX_NOPERM;
	} else if (status != CONTROL_OK) {
		rc = command_fail(EX_TEMPFAIL, "%s", buf_str(&words));
	} else {
		queue_list_sort(&list);
		queue_list_mailq(&list, s->spool_directory, stdout);
	}
	buf_done(&words);
	queue_list_done(&list);
	return rc;
}

static int run_flush(const struct settings *s)
{
	enum control_status status;
	struct err e = ERR_INIT;
	struct buf words;
	int rc = EX_OK;

	buf_init(&words, BUF_UNBOUNDED);
	if (control_ask(s, CONTROL_FLUSH, "", NULL, NULL, &words, &status, &e) < 0)
		rc = command_fail(EX_TEMPFAIL, "%s", e.text);
	else if (status != CONTROL_OK)
		rc = command_fail(status == CONTROL_DENIED ? EX_NOPERM : EX_TEMPFAIL, "%s", buf_str(&words));
	buf_done(&words);
	return rc;
}

struct alias_count { unsigned n; size_t longest, total; };

static int count_alias(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct alias_count *c = ctx;

	(void)line;
	(void)key;
	(void)e;
	c->n++;
	c->total += value.n;
	if (value.n > c->longest)
		c->longest = value.n;
	return 0;
}

/* Our maps are rebuilt by whoever reads them, so there is nothing to build; what people run this for is to hear that the file is well. */
static int run_newaliases(const struct settings *s)
{
	struct slice rest = slice_of(s->alias_maps), word;
	struct err e = ERR_INIT;
	struct buf path;
	int rc = EX_OK;

	buf_init(&path, BUF_UNBOUNDED);
	while (rc == EX_OK && conf_word(&rest, &word)) {
		struct alias_count c = { 0, 0, 0 };

		if (slice_chr(word, ':') > 0)                         /* "hash:/etc/aliases" */
			word = slice_from(word, (size_t)slice_chr(word, ':') + 1);
		buf_reset(&path);
		if (slice_starts(word, SLICE("/")))
			buf_put(&path, word);
		else
			buf_putf(&path, "%s/%.*s", s->config_directory, SLICE_FMT(word));
		if (map_text_each(buf_str(&path), MAP_TEXT_ALIASES, count_alias, &c, &e) < 0)
			rc = command_fail(EX_DATAERR, "%s", e.text);
		else
			printf("%s: %u aliases, longest %zu bytes, %zu bytes total\n", buf_str(&path), c.n, c.longest, c.total);
	}
	buf_done(&path);
	return rc;
}

/* ---- the names ---- */

static int run_mode(const struct settings *s, const struct options *o, int argc, char **argv)
{
	switch (o->mode) {
	case MODE_SEND:
		return run_send(s, o, argc, argv);
	case MODE_MAILQ:
		return run_mailq(s);
	case MODE_ALIASES:
		return run_newaliases(s);
	case MODE_FLUSH:
		return run_flush(s);
	case MODE_VERIFY:
		return sendmail_verify(s, argc, argv);
	case MODE_TEST:
		return sendmail_test(s);
	case MODE_SMTP:
		return sendmail_smtp(s);
	default:
		return command_fail(EX_USAGE, "sendmail: -b%c is not done by this program%s", o->other == '\0' ? ' ' : o->other,
		    o->other == 'd' || o->other == 'D' ? ": smtpd is the daemon" : "");
	}
}

static int with_settings(struct options *o, int argc, char **argv)
{
	static const char *const none[] = { NULL };
	const char *path = o->conf_path != NULL ? o->conf_path : getenv("POSTHOUSE_CONF");
	struct settings *s = NULL;
	struct buf warnings;
	struct err e = ERR_INIT;
	int rc;

	buf_init(&warnings, BUF_UNBOUNDED);
	rc = conf_load(&s, path != NULL ? path : PATH_SYSCONF "/posthouse.conf", none, &warnings, &e);
	buf_done(&warnings);
	if (rc < 0)
		return command_fail(EX_CONFIG, "%s", e.text);
	rc = run_mode(s, o, argc, argv);
	conf_free(&s);
	return rc;
}

int sendmail_run(int argc, char **argv)
{
	struct options o = { .mode = MODE_SEND };
	int first = read_options(argc, argv, &o);

	return with_settings(&o, argc - first, argv + first);
}

int mailq_run(int argc, char **argv)
{
	struct options o = { .mode = MODE_MAILQ };

	(void)read_options(argc, argv, &o);
	if (o.mode != MODE_FLUSH)
		o.mode = MODE_MAILQ;
	return with_settings(&o, 0, argv);
}

int newaliases_run(int argc, char **argv)
{
	struct options o = { .mode = MODE_ALIASES };

	(void)read_options(argc, argv, &o);
	o.mode = MODE_ALIASES;
	return with_settings(&o, 0, argv);
}
