/*
 * admin/queue_list.c - see queue_list.h.
 */
#include "admin/queue_list.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

void queue_list_init(struct queue_list *l)
{
	*l = (struct queue_list){ .arena = arena_new(0) };
}

void queue_list_done(struct queue_list *l)
{
	arena_free(&l->arena);
	free(l->entries);
	l->entries = NULL;
}

void queue_list_add(void *list, struct slice envelope_text, bool active)
{
	struct queue_list *l = list;
	struct queue_entry entry = { .text = arena_dup(l->arena, envelope_text), .active = active };
	struct err e;

	if (envelope_parse(entry.text, l->arena, &entry.env, &e) < 0)
		return;                                               /* of a newer queue than this command */
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		l->entries = mem_grow(l->entries, l->cap * sizeof(*l->entries));
	}
	l->entries[l->n++] = entry;
}

static int by_arrival(const void *a, const void *b)
{
	const struct queue_entry *x = a, *y = b;

	return x->env.arrived < y->env.arrived ? -1 : x->env.arrived > y->env.arrived;
}

void queue_list_sort(struct queue_list *l)
{
	if (l->n > 1)
		qsort(l->entries, l->n, sizeof(*l->entries), by_arrival);
}

/* Escaped, because addresses and replies are strangers' octets and this goes to a terminal. */
static void print_slice(struct slice s, FILE *out)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	text_escape(s, &b);
	fputs(buf_str(&b), out);
	buf_done(&b);
}

/* ---- our own ---- */

static void print_span(int64_t secs, FILE *out)
{
	if (secs < 120)
		fprintf(out, "%llds", (long long)(secs < 0 ? 0 : secs));
	else if (secs < 7200)
		fprintf(out, "%lldm", (long long)secs / 60);
	else if (secs < 172800)
		fprintf(out, "%lldh", (long long)secs / 3600);
	else
		fprintf(out, "%lldd", (long long)secs / 86400);
}

static void print_rcpt(const struct queue_entry *q, const struct rcpt *r, int64_t now, FILE *out)
{
	fputs("    to ", out);
	print_slice(r->address, out);
	if (q->active && r->next_try <= now)
		fputs(": being tried now", out);
	else if (q->env.flags & ENV_HELD)
		fputs(": held", out);
	else {
		fputs(": next try in ", out);
		print_span(r->next_try - now, out);
	}
	if (r->attempts > 0)
		fprintf(out, " (%u attempt%s)", r->attempts, r->attempts == 1 ? "" : "s");
	fputs("\n", out);
	if (r->last_reply.n > 0) {
		fputs("       ", out);
		print_slice(r->last_reply, out);
		fputs("\n", out);
	}
}

void queue_list_text(const struct queue_list *l, int64_t now, FILE *out)
{
	uint64_t octets = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct queue_entry *q = &l->entries[i];

		octets += q->env.size;
		fprintf(out, "%s  %llu octets, ", q->env.id, (unsigned long long)q->env.size);
		print_span(now - q->env.arrived / CLOCK_US_PER_S, out);
		fputs(" old, from <", out);
		print_slice(q->env.sender, out);
		fputs(">\n", out);
		for (size_t k = 0; k < q->env.n_rcpts; k++) {
			if (q->env.rcpts[k].state == RCPT_WAITING)
				print_rcpt(q, &q->env.rcpts[k], now, out);
		}
	}
	if (l->n == 0)
		fputs("The queue is empty.\n", out);
	else
		fprintf(out, "%zu message%s, %llu octets\n", l->n, l->n == 1 ? "" : "s", (unsigned long long)octets);
}

void queue_list_envelopes(const struct queue_list *l, FILE *out)
{
	for (size_t i = 0; i < l->n; i++)
		fwrite(l->entries[i].text.p, 1, l->entries[i].text.n, out);
}

/* ---- JSON ---- */

static void json_string(const char *name, struct slice s, FILE *out)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	text_json(s, &b);
	fprintf(out, "\"%s\": %s", name, buf_str(&b));
	buf_done(&b);
}

static void json_rcpt(const struct rcpt *r, FILE *out)
{
	static const char *const states[] = { "waiting", "done", "failed" };

	fputs("{ ", out);
	json_string("address", r->address, out);
	fprintf(out, ", \"state\": \"%s\", \"attempts\": %u, \"next_try\": %lld, ", states[r->state], r->attempts, (long long)r->next_try);
	json_string("reason", r->last_reply, out);
	fputs(" }", out);
}

void queue_list_json(const struct queue_list *l, FILE *out)
{
	fputs("[", out);
	for (size_t i = 0; i < l->n; i++) {
		const struct queue_entry *q = &l->entries[i];

		fprintf(out, "%s\n  { \"id\": \"%s\", \"arrived\": %lld, \"size\": %llu, \"active\": %s, \"held\": %s, ", i > 0 ? "," : "", q->env.id,
		    (long long)(q->env.arrived / CLOCK_US_PER_S), (unsigned long long)q->env.size, q->active ? "true" : "false",
		    q->env.flags & ENV_HELD ? "true" : "false");
		json_string("sender", q->env.sender, out);
		fputs(", \"recipients\": [ ", out);
		for (size_t k = 0; k < q->env.n_rcpts; k++) {
			if (k > 0)
				fputs(", ", out);
			json_rcpt(&q->env.rcpts[k], out);
		}
		fputs(" ] }", out);
	}
	fputs(l->n > 0 ? "\n]\n" : "]\n", out);
}

/* ---- mailq ---- */

static const struct rcpt *first_reason(const struct envelope *env)
{
	for (size_t i = 0; i < env->n_rcpts; i++) {
		if (env->rcpts[i].state == RCPT_WAITING && env->rcpts[i].last_reply.n > 0)
			return &env->rcpts[i];
	}
	return NULL;
}

static void mailq_one(const struct queue_entry *q, FILE *out)
{
	time_t when = (time_t)(q->env.arrived / CLOCK_US_PER_S);
	const struct rcpt *reason = first_reason(&q->env);
	char date[40] = "";
	struct tm tm;

	if (localtime_r(&when, &tm) != NULL)
		strftime(date, sizeof(date), "%a %b %e %H:%M", &tm);
	fprintf(out, "%-14s%c %8llu %s <", q->env.id, q->active ? '*' : q->env.flags & ENV_HELD ? 'X' : '-', (unsigned long long)q->env.size, date);
	print_slice(q->env.sender, out);
	fputs(">\n", out);
	if (reason != NULL) {
		fputs("                 (", out);
		print_slice(reason->last_reply, out);
		fputs(")\n", out);
	}
	for (size_t i = 0; i < q->env.n_rcpts; i++) {
		if (q->env.rcpts[i].state != RCPT_WAITING)
			continue;
		fputs("\t\t\t\t\t <", out);
		print_slice(q->env.rcpts[i].address, out);
		fputs(">\n", out);
	}
}

void queue_list_mailq(const struct queue_list *l, const char *directory, FILE *out)
{
	if (l->n == 0) {
		fprintf(out, "%s is empty\n", directory);
	} else {
		fprintf(out, "%s (%zu request%s)\n", directory, l->n, l->n == 1 ? "" : "s");
		fputs("-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------\n", out);
	}
	for (size_t i = 0; i < l->n; i++)
		mailq_one(&l->entries[i], out);
	fprintf(out, "\t\tTotal requests: %zu\n", l->n);
}
