/*
 * admin/cmd_trace.c - `posthouse trace ID|ADDRESS|MESSAGE-ID`: one message's story, told from the log.
 *
 * The log is read twice: once to find the queue ids that the argument is about (and the notifications that they led to), once to print their lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/mem.h"

enum { IDS_MAX = 1000, LINES_MAX = 100000 };

struct line { struct slice time, process, id, text; };                /* text without "ID: " */

struct id_order { size_t order; };

struct told { struct line line; size_t order, number; };              /* lines of one message together, messages in the order they appeared */

struct trace {
	struct arena *arena;
	struct hmap *ids;
	size_t n_ids;
	struct told *lines;
	size_t n_lines, cap_lines;
};

/* "2026-11-22T04:26:29+00:00 host posthouse/queue[123]: ID: text", or the same with "Nov 22 04:26:29". False: not one of ours about a message. */
static bool line_parse(struct slice s, struct line *out)
{
	ptrdiff_t at = slice_find(s, SLICE(" posthouse/")), end, host, colon;
	struct slice rest;

	if (at < 0)
		return false;
	host = slice_rchr(slice_head(s, (size_t)at), ' ');
	out->time = slice_head(s, host > 0 ? (size_t)host : (size_t)at);
	rest = slice_from(s, (size_t)at + sizeof(" posthouse/") - 1);
	end = slice_find(rest, SLICE(": "));
	if (end < 0)
		return false;
	out->process = slice_head(rest, (size_t)end);
	if (slice_chr(out->process, '[') > 0)
		out->process = slice_head(out->process, (size_t)slice_chr(out->process, '['));
	rest = slice_from(rest, (size_t)end + 2);
	colon = slice_find(rest, SLICE(": "));
	if (colon < 10 || colon > 30)
		return false;
	out->id = slice_head(rest, (size_t)colon);
	for (size_t i = 0; i < out->id.n; i++) {
		if (!ascii_is_alnum(out->id.p[i]))
			return false;
	}
	out->text = slice_trim(slice_from(rest, (size_t)colon + 2));
	return true;
}

/* Is this line about what was asked for? An address or Message-ID stands in angle brackets. */
static bool is_about(const struct line *l, struct slice what, struct slice bracketed)
{
	return slice_eq(l->id, what) || slice_ifind(l->text, bracketed) >= 0;
}

static void add_id(struct trace *t, struct slice id)
{
	struct id_order *o;

	if (t->n_ids >= IDS_MAX || hmap_get(t->ids, id) != NULL)
		return;
	o = arena_alloc(t->arena, sizeof(*o));
	o->order = t->n_ids++;
	hmap_put(t->ids, id, o);
}

static int each_line(const char *path, void (*fn)(void *ctx, const struct line *l), void *ctx)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	if (f == NULL)
		return -1;
	while ((n = getline(&text, &cap, f)) > 0) {
		struct line l;

		if (line_parse(slice_trim(slice_mem(text, (size_t)n)), &l))
			fn(ctx, &l);
	}
	free(text);
	fclose(f);
	return 0;
}

struct search { struct trace *trace; struct slice what, bracketed; };

static void look(void *ctx, const struct line *l)
{
	static const struct slice marker = SLICE_INIT("notification: ");
	struct search *s = ctx;
	ptrdiff_t at;

	if (is_about(l, s->what, s->bracketed))
		add_id(s->trace, l->id);
	if (hmap_get(s->trace->ids, l->id) != NULL && (at = slice_find(l->text, marker)) >= 0)
		add_id(s->trace, slice_from(l->text, (size_t)at + marker.n));
}

/* ---- telling ---- */

static struct slice value_of(struct slice text, const char *name)
{
	ptrdiff_t at = slice_find(text, slice_of(name)), end;
	struct slice rest;

	if (at < 0)
		return SLICE("");
	rest = slice_from(text, (size_t)at + strlen(name));
	end = slice_find(rest, SLICE(", "));
	return end < 0 ? rest : slice_head(rest, (size_t)end);
}

static struct slice reason_of(struct slice text)
{
	ptrdiff_t at = slice_chr(text, '(');

	if (at < 0 || text.p[text.n - 1] != ')')
		return SLICE("");
	text = slice_from(text, (size_t)at + 1);
	return slice_head(text, text.n - 1);
}

static void tell_attempt(const struct line *l)
{
	struct slice status = value_of(l->text, "status="), rest;
	ptrdiff_t at = slice_find(l->text, SLICE("status="));
	const char *word = "was handed over";

	rest = slice_from(l->text, (size_t)at);
	if (slice_starts(status, SLICE("deferred")))
		word = "could not go yet";
	else if (slice_starts(status, SLICE("bounced")))
		word = "was refused for good";
	else if (slice_ieqs(value_of(l->text, "relay="), "local"))
		word = "was put into the mailbox";
	printf("to %.*s %s", SLICE_FMT(value_of(l->text, "to=")), word);
	if (!slice_ieqs(value_of(l->text, "relay="), "local") && !slice_ieqs(value_of(l->text, "relay="), "none"))
		printf(", by %.*s", SLICE_FMT(value_of(l->text, "relay=")));
	printf(", %.*s s after it arrived: %.*s %.*s\n", SLICE_FMT(value_of(l->text, "delay=")), SLICE_FMT(value_of(l->text, "dsn=")), SLICE_FMT(reason_of(rest)));
}

static void tell(const struct line *l)
{
	printf("  %.*s  %-8.*s ", SLICE_FMT(l->time), SLICE_FMT(l->process));
	if (slice_find(l->text, SLICE("status=")) > 0 && slice_starts(l->text, SLICE("to=")))
		tell_attempt(l);
	else if (slice_starts(l->text, SLICE("from=")) && slice_ends(l->text, SLICE("(queue active)")))
		printf("taken into the queue: from %.*s, %.*s octets, recipients: %.*s\n", SLICE_FMT(value_of(l->text, "from=")),
		    SLICE_FMT(value_of(l->text, "size=")), (int)strcspn(value_of(l->text, "nrcpt=").p, " "), value_of(l->text, "nrcpt=").p);
	else if (slice_starts(l->text, SLICE("client=")))
		printf("received from %.*s\n", SLICE_FMT(slice_from(l->text, 7)));
	else if (slice_eqs(l->text, "removed"))
		printf("done: nothing is left to do\n");
	else if (slice_find(l->text, SLICE("notification: ")) > 0)
		printf("%.*s (its story below)\n", SLICE_FMT(l->text));
	else
		printf("%.*s\n", SLICE_FMT(l->text));
}

static void collect(void *ctx, const struct line *l)
{
	struct trace *t = ctx;
	const struct id_order *o = hmap_get(t->ids, l->id);

	if (o == NULL || t->n_lines >= LINES_MAX)
		return;
	if (t->n_lines == t->cap_lines) {
		t->cap_lines = t->cap_lines == 0 ? 256 : 2 * t->cap_lines;
		t->lines = mem_grow(t->lines, t->cap_lines * sizeof(*t->lines));
	}
	t->lines[t->n_lines] = (struct told){ { arena_dup(t->arena, l->time), arena_dup(t->arena, l->process), arena_dup(t->arena, l->id),
		arena_dup(t->arena, l->text) }, o->order, t->n_lines };
	t->n_lines++;
}

static int by_order(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void tell_all(struct trace *t)
{
	if (t->n_lines > 1)
		qsort(t->lines, t->n_lines, sizeof(*t->lines), by_order);
	for (size_t i = 0; i < t->n_lines; i++) {
		if (i == 0 || t->lines[i].order != t->lines[i - 1].order)
			printf("%s%.*s\n", i > 0 ? "\n" : "", SLICE_FMT(t->lines[i].line.id));
		tell(&t->lines[i].line);
	}
}

/* Finds the ids: again while notifications lead to more of them, since a notification's line may stand above the one that names it. */
static int find_ids(struct trace *t, const char *path, const char *what)
{
	struct search s = { t, slice_of(what), slice_of(what[0] == '<' ? what : arena_printf(t->arena, "<%s>", what)) };
	size_t before;

	do {
		before = t->n_ids;
		if (each_line(path, look, &s) < 0)
			return -1;
	} while (t->n_ids != before && before != 0);
	return 0;
}

static int trace_log(const char *path, const char *what)
{
	struct trace t = { .arena = arena_new(0), .ids = hmap_new() };
	int rc = find_ids(&t, path, what);

	if (rc == 0)
		rc = each_line(path, collect, &t);
	if (rc < 0)
		rc = command_fail(EX_NOINPUT, "cannot read the log %s: --log FILE names another one", path);
	else if (t.n_lines == 0)
		rc = command_fail(EX_DATAERR, "nothing about %s in %s (older logs: --log FILE)", what, path);
	else
		tell_all(&t);
	free(t.lines);
	hmap_free(&t.ids);
	arena_free(&t.arena);
	return rc;
}

static int run_trace(const struct command_env *env)
{
	const char *path = env->s->log_target[0] == '/' ? env->s->log_target : "/var/log/mail.log", *what = NULL;

	for (int i = 1; i < env->argc; i++) {
		if (strcmp(env->argv[i], "--log") == 0 && i + 1 < env->argc)
			path = env->argv[++i];
		else if (what == NULL && env->argv[i][0] != '-')
			what = env->argv[i];
		else
			return command_fail(EX_USAGE, "posthouse trace: give one queue id, address or Message-ID, and --log FILE where the log is elsewhere");
	}
	if (what == NULL || what[0] == '\0')
		return command_fail(EX_USAGE, "posthouse trace: which message? Give its queue id, an address or its Message-ID");
	return trace_log(path, what);
}

static const struct command rows[] = {
	{ "trace", run_trace, "[--log FILE] ID|ADDRESS|MESSAGE-ID", "Tells the story of a message from the log: where it came from, where each recipient's copy went, "
	  "why it waits. An address finds every message from or to it.", true },
};

const struct command_table cmd_trace_table = { "What happened", rows, 1 };
