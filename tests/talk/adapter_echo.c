/*
 * tests/talk/adapter_echo.c - a protocol of four words, to prove the runner: echo/ must pass, each file of echo/wrong must fail as it says.
 *
 *	SAY text   the text back        TIME   the clock        PEER   the client's address        QUIT   good-bye
 */
#include "base/attr.h"
#include "base/mem.h"
#include "mail/line.h"
#include "tests/talk/talk.h"

#include <stdlib.h>

struct echo {
	const struct talk_env *env;
};

static void *create(const struct talk_env *env, struct err *e UNUSED)
{
	struct echo *a = mem_new(sizeof(*a));

	a->env = env;
	return a;
}

static int directive(void *a UNUSED, struct slice name, struct slice value, struct buf *out, struct err *e)
{
	if (!slice_eqs(name, "shout"))
		return err_set(e, ERR_SYNTAX, 0, "unknown line '%.*s:'", SLICE_FMT(name));
	buf_putf(out, "%.*s!\r\n", SLICE_FMT(value));
	return 0;
}

static enum talk_state greet(void *a, struct buf *out)
{
	const struct echo *echo = a;

	buf_putf(out, "hello from %s\r\n", echo->env->s->myhostname);
	return TALK_OPEN;
}

static enum talk_state answer(const struct echo *echo, struct slice line, struct buf *out)
{
	char peer[NET_TEXT_MAX];

	if (slice_eqs(line, "QUIT")) {
		buf_puts(out, "bye\r\n");
		return TALK_CLOSED;
	}
	if (slice_eqs(line, "TIME"))
		buf_putf(out, "%lld\r\n", (long long)echo->env->now);
	else if (slice_eqs(line, "PEER"))
		buf_putf(out, "%s\r\n", net_addr_text(&echo->env->peer, peer));
	else if (slice_starts(line, SLICE("SAY ")))
		buf_putf(out, "%.*s\r\n", SLICE_FMT(slice_from(line, 4)));
	else
		buf_putf(out, "what? %zu octets\r\n", line.n);
	return TALK_OPEN;
}

static enum talk_state input(void *a, struct slice in, size_t *used_out, struct buf *out)
{
	struct slice line;

	switch (line_take(in, &line, used_out)) {
	case PARSE_OK:
		return answer(a, line, out);
	case PARSE_BAD:
		buf_puts(out, "bad line\r\n");
		break;
	case PARSE_MORE:
		break;
	}
	return TALK_OPEN;
}

static const struct talk_adapter adapter = {
	.name = "echo", .live = "", .create = create, .directive = directive, .greet = greet, .input = input, .destroy = free,
};

AT_START static void register_echo(void)
{
	talk_register(&adapter);
}
