/*
 * queue/envelope.c - see envelope.h.
 *
 *   posthouse-envelope: 1
 *   id: 3J8Q2K5T9B0001X7Z2
 *   arrived: 1795312087123456
 *   sender: a@example.org
 *   to: b@example.net
 *   	attempts: 2
 *   	last-reply: mx.example.net[192.0.2.1] said: 451 4.2.0 try later
 *
 * A field of a recipient is indented below its "to:". Empty and zero fields are left out. Control octets, backslashes and what is no UTF-8 are \xHH, so
 * a value never ends its line.
 */
#include "queue/envelope.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"

struct flag_name { const char *name; unsigned bit; };

static const struct flag_name env_flags[] = {
	{ "smtputf8", ENV_SMTPUTF8 }, { "8bitmime", ENV_8BITMIME }, { "ret-hdrs", ENV_RET_HDRS }, { "ret-full", ENV_RET_FULL },
	{ "held", ENV_HELD }, { "delay-told", ENV_DELAY_TOLD }, { "requiretls", ENV_REQUIRETLS }, { NULL, 0 }
};
static const struct flag_name notify_flags[] = {
	{ "never", NOTIFY_NEVER }, { "success", NOTIFY_SUCCESS }, { "failure", NOTIFY_FAILURE }, { "delay", NOTIFY_DELAY }, { NULL, 0 }
};
static const struct flag_name rcpt_states[] = { { "waiting", RCPT_WAITING }, { "done", RCPT_DONE }, { "failed", RCPT_FAILED }, { NULL, 0 } };

struct slice envelope_sender_for(const struct envelope *env, const struct rcpt *r)
{
	return env->sender.n > 0 && r->owner.n > 0 ? r->owner : env->sender;
}

static void put_text(struct buf *out, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	buf_puts(out, name);
	text_escape(value, out);
	buf_putc(out, '\n');
}

static void put_flags(struct buf *out, const char *name, const struct flag_name *names, unsigned flags)
{
	if (flags == 0)
		return;
	buf_puts(out, name);
	for (const struct flag_name *f = names; f->name != NULL; f++) {
		if (flags & f->bit) {
			buf_putc(out, ' ');
			buf_puts(out, f->name);
		}
	}
	buf_putc(out, '\n');
}

static void put_rcpt(struct buf *out, const struct rcpt *r)
{
	buf_puts(out, "to: ");
	text_escape(r->address, out);
	buf_putc(out, '\n');
	put_text(out, "\torcpt: ", r->orcpt);
	put_flags(out, "\tnotify:", notify_flags, r->notify);
	if (r->state != RCPT_WAITING)
		buf_putf(out, "\tstate: %s\n", r->state == RCPT_DONE ? "done" : "failed");
	if (r->attempts > 0)
		buf_putf(out, "\tattempts: %u\n", r->attempts);
	if (r->next_try != 0)
		buf_putf(out, "\tnext-try: %lld\n", (long long)r->next_try);
	put_text(out, "\tlast-reply: ", r->last_reply);
	put_text(out, "\toriginal: ", r->original);
	put_text(out, "\tuser: ", r->user);
	put_text(out, "\tfolder: ", r->folder);
	put_text(out, "\tnext-hop: ", r->next_hop);
	put_text(out, "\towner: ", r->owner);
}

void envelope_put(const struct envelope *env, struct buf *out)
{
	buf_putf(out, "posthouse-envelope: 1\nid: %s\narrived: %lld\n", env->id, (long long)env->arrived);
	put_text(out, "sender: ", env->sender);
	put_text(out, "envid: ", env->envid);
	put_flags(out, "flags:", env_flags, env->flags);
	put_text(out, "client: ", env->client);
	put_text(out, "user: ", env->user);
	if (env->size > 0)
		buf_putf(out, "size: %llu\n", (unsigned long long)env->size);
	for (size_t i = 0; i < env->n_rcpts; i++)
		put_rcpt(out, &env->rcpts[i]);
}

/* ---- and back ---- */

static int unescape(struct slice s, struct arena *a, struct slice *out)
{
	if (slice_chr(s, '\\') < 0) {
		*out = arena_dup(a, s);
		return 0;
	}

	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;
	uint64_t octet;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\') {
			p[n++] = s.p[i];
			continue;
		}
		if (s.n - i < 4 || s.p[i + 1] != 'x' || num_hex(slice_head(slice_from(s, i + 2), 2), &octet) < 0)
			return -1;
		p[n++] = (char)octet;
		i += 3;
	}
	*out = slice_mem(p, n);
	return 0;
}

static int parse_flags(struct slice value, const struct flag_name *names, unsigned *out)
{
	struct slice word;

	*out = 0;
	while (slice_word(&value, &word)) {
		for (const struct flag_name *f = names; f->name != NULL; f++) {
			if (slice_eqs(word, f->name))
				*out |= f->bit;
		}
	}
	return 0;
}

static int parse_state(struct slice value, enum rcpt_state *out)
{
	for (const struct flag_name *f = rcpt_states; f->name != NULL; f++) {
		if (slice_eqs(value, f->name)) {
			*out = (enum rcpt_state)f->bit;
			return 0;
		}
	}
	return -1;
}

static int parse_id(struct slice value, char out[QUEUE_ID_MAX])
{
	if (value.n == 0 || value.n >= QUEUE_ID_MAX)
		return -1;
	for (size_t i = 0; i < value.n; i++) {
		if (!ascii_is_alnum(value.p[i]))
			return -1;
	}
	memcpy(out, value.p, value.n);
	out[value.n] = '\0';
	return 0;
}

static int parse_rcpt_field(struct rcpt *r, struct slice name, struct slice value, struct arena *a)
{
	uint32_t n;

	if (slice_eqs(name, "orcpt"))
		return unescape(value, a, &r->orcpt);
	if (slice_eqs(name, "notify"))
		return parse_flags(value, notify_flags, &r->notify);
	if (slice_eqs(name, "state"))
		return parse_state(value, &r->state);
	if (slice_eqs(name, "attempts"))
		return num_u32(value, UINT32_MAX, &n) < 0 ? -1 : (r->attempts = n, 0);
	if (slice_eqs(name, "next-try"))
		return num_i64(value, &r->next_try);
	if (slice_eqs(name, "last-reply"))
		return unescape(value, a, &r->last_reply);
	if (slice_eqs(name, "original"))
		return unescape(value, a, &r->original);
	if (slice_eqs(name, "user"))
		return unescape(value, a, &r->user);
	if (slice_eqs(name, "folder"))
		return unescape(value, a, &r->folder);
	if (slice_eqs(name, "next-hop"))
		return unescape(value, a, &r->next_hop);
	if (slice_eqs(name, "owner"))
		return unescape(value, a, &r->owner);
	return 0;
}

static int parse_field(struct envelope *env, struct slice name, struct slice value, struct arena *a)
{
	if (slice_eqs(name, "id"))
		return parse_id(value, env->id);
	if (slice_eqs(name, "arrived"))
		return num_i64(value, &env->arrived);
	if (slice_eqs(name, "sender"))
		return unescape(value, a, &env->sender);
	if (slice_eqs(name, "envid"))
		return unescape(value, a, &env->envid);
	if (slice_eqs(name, "flags"))
		return parse_flags(value, env_flags, &env->flags);
	if (slice_eqs(name, "client"))
		return unescape(value, a, &env->client);
	if (slice_eqs(name, "user"))
		return unescape(value, a, &env->user);
	if (slice_eqs(name, "size"))
		return num_u64(value, UINT64_MAX, &env->size);
	if (slice_eqs(name, "to"))
		return unescape(value, a, &env->rcpts[env->n_rcpts++].address);
	return 0;
}

static size_t count_rcpts(struct slice text)
{
	struct slice line;
	size_t n = 0;

	while (slice_next(&text, '\n', &line))
		n += slice_starts(line, SLICE("to:"));
	return n;
}

int envelope_parse(struct slice text, struct arena *a, struct envelope *out, struct err *e)
{
	struct envelope env = { .sender = SLICE("") };
	struct slice rest = text, line;
	unsigned number = 0;

	env.rcpts = arena_array(a, count_rcpts(text) + 1, sizeof(*env.rcpts));
	if (!slice_starts(text, SLICE("posthouse-envelope: 1\n")) || text.p[text.n - 1] != '\n')
		return err_set(e, ERR_SYNTAX, 0, "not an envelope, or cut short");
	while (slice_next(&rest, '\n', &line)) {
		bool of_rcpt = line.n > 0 && ascii_is_blank(line.p[0]);
		ptrdiff_t colon = slice_chr(line, ':');
		int rc = -1;

		number++;
		if (line.n == 0)
			continue;
		if (colon > 0) {
			struct slice name = slice_head(line, (size_t)colon), value = slice_from(line, (size_t)colon + 1);

			if (value.n > 0 && value.p[0] == ' ')
				value = slice_from(value, 1);
			if (!of_rcpt)
				rc = parse_field(&env, name, value, a);       /* "to" here is what count_rcpts() counted */
			else if (env.n_rcpts > 0)
				rc = parse_rcpt_field(&env.rcpts[env.n_rcpts - 1], slice_trim(name), value, a);
		}
		if (rc < 0)
			return err_set(e, ERR_SYNTAX, 0, "envelope line %u is not understood", number);
	}
	if (env.id[0] == '\0' || env.arrived == 0)
		return err_set(e, ERR_SYNTAX, 0, "envelope without id or arrival time");
	*out = env;
	return 0;
}
