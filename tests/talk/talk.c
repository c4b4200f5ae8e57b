/*
 * tests/talk/talk.c - runs dialogues in memory. See README.md for the files and talk.h for the protocols.
 */
#include "tests/talk/talk.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "conf/conf.h"

#define FILE_MAX (1u << 20)
#define OUT_MAX (64u << 20)
#define STEPS_MAX 20000
#define MIDNIGHT 1795305600                  /* 22 November 2026, 00:00:00 UTC */
#define ADAPTERS_MAX 8

enum step_kind { STEP_PEER, STEP_SETTING, STEP_CLOCK, STEP_SAY, STEP_RAW, STEP_FILL, STEP_HEAR, STEP_UNTIL, STEP_NONE, STEP_CLOSE, STEP_OTHER };

struct step {
	unsigned line;
	enum step_kind kind;
	struct slice name, text;
};

struct script {
	const char *path;
	struct arena *a;
	struct step *steps;
	size_t n;
};

static const struct talk_adapter *adapters[ADAPTERS_MAX];

void talk_register(const struct talk_adapter *adapter)
{
	for (size_t i = 0; i < ADAPTERS_MAX; i++)
		if (adapters[i] == NULL) {
			adapters[i] = adapter;
			return;
		}
	abort();
}

static const struct talk_adapter *find_adapter(struct slice name)
{
	for (size_t i = 0; i < ADAPTERS_MAX && adapters[i] != NULL; i++)
		if (slice_eqs(name, adapters[i]->name))
			return adapters[i];
	return NULL;
}

/* ---- reading a file ---- */

static const struct { const char *word; enum step_kind kind; } words[] = {
	{ "peer", STEP_PEER }, { "setting", STEP_SETTING }, { "clock", STEP_CLOCK }, { "C", STEP_SAY }, { "C-raw", STEP_RAW }, { "C-fill", STEP_FILL },
	{ "S", STEP_HEAR }, { "S-until", STEP_UNTIL }, { "S-none", STEP_NONE }, { "S-close", STEP_CLOSE },
};

static int read_step(struct slice line, struct step *out)
{
	ptrdiff_t colon = slice_chr(line, ':');
	struct slice name = slice_head(line, colon < 0 ? line.n : (size_t)colon), text = slice_from(line, name.n + 1);

	out->kind = STEP_OTHER;
	out->name = name;
	out->text = slice_starts(text, SLICE(" ")) ? slice_from(text, 1) : text;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eqs(name, words[i].word))
			out->kind = words[i].kind;
	return colon < 0 && out->kind != STEP_NONE && out->kind != STEP_CLOSE ? -1 : 0;
}

static int read_script(struct script *t, struct err *e)
{
	struct buf whole;
	struct slice rest, line;
	unsigned number = 0;
	int rc;

	buf_init(&whole, FILE_MAX);
	rc = file_read(t->path, &whole, e);
	rest = arena_dup(t->a, buf_view(&whole));
	buf_done(&whole);
	t->steps = arena_array(t->a, STEPS_MAX, sizeof(*t->steps));
	while (rc == 0 && slice_next(&rest, '\n', &line)) {
		number++;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (t->n == STEPS_MAX || read_step(line, &t->steps[t->n]) < 0)
			return err_set(e, ERR_SYNTAX, 0, "%s:%u: a line is 'C: text', 'S: pattern' or 'name: value'", t->path, number);
		t->steps[t->n++].line = number;
	}
	return rc;
}

static int put_escapes(struct slice s, struct buf *out)
{
	static const char letters[] = "rnt0\\", octets[] = "\r\n\t\0\\";
	uint64_t v;

	for (size_t i = 0; i < s.n; i++) {
		const char *at;

		if (s.p[i] != '\\') {
			buf_putc(out, s.p[i]);
			continue;
		}
		if (++i == s.n)
			return -1;
		at = strchr(letters, s.p[i]);
		if (at != NULL && *at != '\0') {
			buf_putc(out, octets[at - letters]);
		} else if (s.p[i] == 'x' && i + 2 < s.n && num_hex(slice_mem(s.p + i + 1, 2), &v) == 0) {
			buf_putc(out, (char)v);
			i += 2;
		} else {
			return -1;
		}
	}
	return 0;
}

static int put_fill(struct slice s, struct buf *out)
{
	struct slice count;
	uint64_t n;

	if (!slice_next(&s, ' ', &count) || num_u64(count, OUT_MAX, &n) < 0 || s.n == 0 || n * s.n > OUT_MAX)
		return -1;
	while (n-- > 0)
		buf_put(out, s);
	return 0;
}

/* The octets that a C line sends. -1: it is not well written. */
static int put_client(const struct step *step, struct buf *out)
{
	if (step->kind == STEP_RAW)
		return put_escapes(step->text, out);
	if (step->kind == STEP_FILL)
		return put_fill(step->text, out);
	buf_put(out, step->text);
	buf_puts(out, "\r\n");
	return 0;
}

static bool is_client(enum step_kind kind)
{
	return kind == STEP_SAY || kind == STEP_RAW || kind == STEP_FILL;
}

/* ---- running it ---- */

struct run {
	const struct script *t;
	const struct talk_adapter *adapter;
	struct talk_env env;
	struct settings *settings;
	void *a;
	bool octetwise, greeted, heard;                               /* heard: an S line came since the last C line */
	enum talk_state state;
	struct buf to_send, pending, out;                             /* collected, offered but not taken, said but not yet expected */
	size_t out_at;
	struct err *e;
};

static bool pattern_matches(struct slice pattern, struct slice text)
{
	struct slice star = SLICE_NONE, star_text = SLICE_NONE;

	while (text.n > 0) {
		if (pattern.n > 0 && pattern.p[0] == '*') {
			star = pattern = slice_from(pattern, 1);
			star_text = text;
		} else if (pattern.n > 0 && pattern.p[0] == text.p[0]) {
			pattern = slice_from(pattern, 1);
			text = slice_from(text, 1);
		} else if (star.p != NULL) {
			pattern = star;
			text = star_text = slice_from(star_text, 1);
		} else {
			return false;
		}
	}
	while (pattern.n > 0 && pattern.p[0] == '*')
		pattern = slice_from(pattern, 1);
	return pattern.n == 0;
}

static int fail(struct run *r, const struct step *step, const char *why, struct slice said)
{
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	log_escape(slice_head(said, 190), &text);
	err_set(r->e, ERR_SYNTAX, 0, "%s:%u%s: %s%s%s%s", r->t->path, step->line, r->octetwise ? " (octet by octet)" : "", why,
	    said.p != NULL ? " '" : "", buf_str(&text), said.p != NULL ? "'" : "");
	buf_done(&text);
	return -1;
}

/* The server's next line; false when none is complete. Without its CRLF. */
static bool next_line(struct run *r, struct slice *line_out)
{
	struct slice rest = slice_from(buf_view(&r->out), r->out_at);
	ptrdiff_t lf = slice_chr(rest, '\n');

	if (lf < 0)
		return false;
	*line_out = slice_head(rest, (size_t)lf);
	if (slice_ends(*line_out, SLICE("\r")))
		line_out->n--;
	r->out_at += (size_t)lf + 1;
	return true;
}

static struct slice unheard(const struct run *r)
{
	struct slice rest = slice_from(buf_view(&r->out), r->out_at), line;

	if (rest.n == 0 || !slice_next(&rest, '\n', &line))
		return SLICE_NONE;
	return slice_trim(line);
}

static void offer(struct run *r, struct slice octets)
{
	buf_put(&r->pending, octets);
	while (r->state == TALK_OPEN && r->pending.len > 0) {
		size_t used = 0;

		r->state = r->adapter->input(r->a, buf_view(&r->pending), &used, &r->out);
		buf_take(&r->pending, used);
		if (used == 0)
			break;
	}
}

static void send_collected(struct run *r)
{
	if (r->octetwise)
		for (size_t i = 0; i < r->to_send.len && r->state == TALK_OPEN; i++)
			offer(r, slice_mem(r->to_send.p + i, 1));
	else
		offer(r, buf_view(&r->to_send));
	buf_reset(&r->to_send);
}

static void greet(struct run *r)
{
	if (r->greeted)
		return;
	r->greeted = true;
	r->state = r->adapter->greet(r->a, &r->out);
}

static int say(struct run *r, const struct step *step)
{
	greet(r);
	if (r->heard && unheard(r).p != NULL)
		return fail(r, step, "before this the server also said", unheard(r));
	if (r->state == TALK_CLOSED)
		return fail(r, step, "the server has hung up already", SLICE_NONE);
	r->heard = false;
	return put_client(step, &r->to_send) < 0 ? fail(r, step, "this line can't be read", SLICE_NONE) : 0;
}

static int hear(struct run *r, const struct step *step)
{
	struct slice line;

	do {
		if (!next_line(r, &line))
			return fail(r, step, step->kind == STEP_UNTIL ? "the server never said" : "the server said nothing, expected", step->text);
		if (pattern_matches(step->text, line))
			return 0;
	} while (step->kind == STEP_UNTIL);
	return fail(r, step, "the server said", line);
}

static int set_clock(struct run *r, const struct step *step)
{
	struct slice s = step->text, hour, minute;
	uint32_t h, m, sec;
	uint64_t by;

	if (slice_starts(s, SLICE("+"))) {
		if (num_secs(slice_from(s, 1), &by) < 0)
			return fail(r, step, "this is no time", SLICE_NONE);
		r->env.now += (int64_t)by;
	} else {
		if (!slice_next(&s, ':', &hour) || !slice_next(&s, ':', &minute) || num_u32(hour, 99, &h) < 0 || num_u32(minute, 59, &m) < 0 ||
		    num_u32(s, 59, &sec) < 0)
			return fail(r, step, "this is no time", SLICE_NONE);
		r->env.now = MIDNIGHT + h * 3600 + m * 60 + sec;
	}
	if (r->adapter->clock != NULL)
		r->adapter->clock(r->a, r->env.now, &r->out);
	return 0;
}

static int take_step(struct run *r, const struct step *step)
{
	if (is_client(step->kind))
		return say(r, step);
	if (step->kind != STEP_OTHER && step->kind != STEP_PEER && step->kind != STEP_SETTING && step->kind != STEP_CLOCK)
		greet(r);
	send_collected(r);
	switch (step->kind) {
	case STEP_PEER: case STEP_SETTING:
		return 0;                                             /* prepare() has read them */
	case STEP_CLOCK:
		return set_clock(r, step);
	case STEP_HEAR: case STEP_UNTIL:
		r->heard = true;
		return hear(r, step);
	case STEP_NONE:
		return unheard(r).p == NULL ? 0 : fail(r, step, "the server said", unheard(r));
	case STEP_CLOSE:
		if (unheard(r).p != NULL)
			return fail(r, step, "before it hung up the server said", unheard(r));
		return r->state == TALK_CLOSED ? 0 : fail(r, step, "the server has not hung up", SLICE_NONE);
	default:
		if (r->adapter->directive(r->a, step->name, step->text, &r->out, r->e) < 0)
			return err_context(r->e, "%s:%u", r->t->path, step->line);
		return 0;
	}
}

static int finish(struct run *r)
{
	struct step end = { .line = r->t->n > 0 ? r->t->steps[r->t->n - 1].line : 1 };

	greet(r);
	send_collected(r);
	if (unheard(r).p != NULL)
		return fail(r, &end, "after this the server also said", unheard(r));
	if (r->state == TALK_CLOSED && (r->t->n == 0 || r->t->steps[r->t->n - 1].kind != STEP_CLOSE))
		return fail(r, &end, "after this the server hung up", SLICE_NONE);
	return 0;
}

/* Settings and peer are known before the first line is run: they hold for all of the dialogue. */
static int prepare(struct run *r)
{
	static const char *const world[] = {
		"myhostname=mail.office.test", "mydomain=office.test", "mydestination=office.test mail.office.test localhost", "default_domain=office.test",
		"mynetworks=", "plaintext_login_from=127.0.0.0/8 ::1",
	};
	const char **overrides = arena_array(r->t->a, r->t->n + 16, sizeof(*overrides));
	size_t n = 0;

	for (; n < sizeof(world) / sizeof(world[0]); n++)
		overrides[n] = world[n];
	overrides[n++] = arena_printf(r->t->a, "config_directory=%s", r->env.dir);
	overrides[n++] = arena_printf(r->t->a, "state_directory=%s", r->env.dir);
	overrides[n++] = arena_printf(r->t->a, "runtime_directory=%s", r->env.dir);
	r->env.peer = (struct net_addr){ .octets = { 127, 0, 0, 1 }, .len = 4 };
	r->env.now = MIDNIGHT + 10 * 3600;
	for (size_t i = 0; i < r->t->n; i++) {
		const struct step *step = &r->t->steps[i];

		if (step->kind == STEP_SETTING)
			overrides[n++] = arena_str(r->t->a, step->text);
		if (step->kind == STEP_PEER && net_addr_parse(step->text, &r->env.peer) < 0)
			return fail(r, step, "this is no address", step->text);
	}
	if (conf_load(&r->settings, NULL, overrides, NULL, r->e) < 0)
		return err_context(r->e, "%s", r->t->path);
	r->env.s = r->settings;
	r->a = r->adapter->create(&r->env, r->e);
	return r->a == NULL ? err_context(r->e, "%s", r->t->path) : 0;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static int run_once(const struct script *t, const struct talk_adapter *adapter, bool octetwise, struct err *e)
{
	char dir[] = "/tmp/talk.XXXXXX";
	struct run r = { .t = t, .adapter = adapter, .octetwise = octetwise, .e = e };
	int rc;

	buf_init(&r.to_send, BUF_UNBOUNDED);
	buf_init(&r.pending, BUF_UNBOUNDED);
	buf_init(&r.out, OUT_MAX);
	if (mkdtemp(dir) == NULL)
		abort();
	r.env.dir = dir;
	rc = prepare(&r);
	for (size_t i = 0; rc == 0 && i < t->n; i++)
		rc = take_step(&r, &t->steps[i]);
	if (rc == 0)
		rc = finish(&r);
	if (r.a != NULL)
		adapter->destroy(r.a);
	conf_free(&r.settings);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	buf_done(&r.to_send);
	buf_done(&r.pending);
	buf_done(&r.out);
	return rc;
}

/* ---- all files ---- */

static struct { unsigned passed, failed, skipped; } count;
static const char *seed_dir;

static struct slice folder_of(const char *path)
{
	struct slice s = slice_of(path);
	ptrdiff_t slash = slice_rchr(s, '/');

	s = slash < 0 ? SLICE_NONE : slice_head(s, (size_t)slash);
	return slice_from(s, (size_t)(slice_rchr(s, '/') + 1));
}

static void report(int rc, const struct err *e)
{
	if (rc == 0) {
		count.passed++;
		return;
	}
	count.failed++;
	printf("FAILED %s\n", e->text);
}

/* The client's side as one fuzz seed: DIR/STORY. */
static int write_seed(const struct script *t, struct err *e)
{
	const char *slash = strrchr(t->path, '/');
	struct buf octets;
	char path[4096];
	int rc;

	buf_init(&octets, BUF_UNBOUNDED);
	for (size_t i = 0; i < t->n; i++)
		if (is_client(t->steps[i].kind) && put_client(&t->steps[i], &octets) < 0)
			octets.len = 0;
	snprintf(path, sizeof(path), "%s/%s", seed_dir, slash == NULL ? t->path : slash + 1);
	rc = file_replace(path, buf_view(&octets), 0644, e);
	buf_done(&octets);
	return rc;
}

static void run_file(const char *path)
{
	const struct talk_adapter *adapter = find_adapter(folder_of(path));
	struct script t = { .path = path, .a = arena_new(0) };
	struct err e = ERR_INIT;

	if (read_script(&t, &e) < 0) {
		report(-1, &e);
	} else if (seed_dir != NULL) {
		report(write_seed(&t, &e), &e);
	} else if (adapter == NULL) {
		count.skipped++;
		printf("skipped %s: no adapter for '%.*s'\n", path, SLICE_FMT(folder_of(path)));
	} else {
		report(run_once(&t, adapter, false, &e), &e);
		report(run_once(&t, adapter, true, &e), &e);
	}
	arena_free(&t.a);
}

static int visit(const char *path, const struct stat *st UNUSED, int flag, struct FTW *ftw UNUSED)
{
	if (flag == FTW_F && slice_ends(slice_of(path), SLICE(".talk")))
		run_file(path);
	return 0;
}

static int print_live(const char *name)
{
	const struct talk_adapter *adapter = find_adapter(slice_of(name));

	if (adapter == NULL)
		return 1;
	puts(adapter->live);
	return 0;
}

int main(int argc, char **argv)
{
	const char *log = "/dev/null";
	struct err e = ERR_INIT;
	int opt;

	while ((opt = getopt(argc, argv, "l:vx:")) != -1)
		switch (opt) {
		case 'v':
			log = "stderr";
			break;
		case 'l':
			return print_live(optarg);
		case 'x':
			seed_dir = optarg;
			break;
		default:
			fprintf(stderr, "usage: talk [-v] [-l PROTOCOL] [-x DIR] FILE-OR-FOLDER...\n");
			return 2;
		}
	if (log_open(log, LOG_L_DEBUG, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 2;
	}
	for (; optind < argc; optind++)
		if (nftw(argv[optind], visit, 16, FTW_PHYS) < 0) {
			perror(argv[optind]);
			count.failed++;
		}
	printf("%u passed, %u failed, %u skipped\n", count.passed, count.failed, count.skipped);
	return count.failed > 0;
}
