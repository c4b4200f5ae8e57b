/*
 * admin/sendmail_verify.c - sendmail -bv and -bt: addresses followed by smtpd's own router, with the eyes of whoever asks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/sendmail.h"
#include "route/route.h"

struct follow {
	struct router *r;
	struct arena *a;
	struct final *finals;
	size_t n;
	struct buf steps;
};

static int follow_begin(struct follow *f, const struct settings *s)
{
	struct err e = ERR_INIT;

	*f = (struct follow){ .r = NULL };
	if (router_new(&f->r, s, &e) != 0)
		return command_fail(EX_TEMPFAIL, "%s", e.text);
	f->a = arena_new(0);
	buf_init(&f->steps, BUF_UNBOUNDED);
	return EX_OK;
}

static void follow_end(struct follow *f)
{
	buf_done(&f->steps);
	arena_free(&f->a);
	router_free(&f->r);
}

static int follow(struct follow *f, struct slice address)
{
	struct err e = ERR_INIT;

	arena_reset(f->a);
	buf_reset(&f->steps);
	if (address.n >= 2 && address.p[0] == '<' && address.p[address.n - 1] == '>')
		address = slice_head(slice_from(address, 1), address.n - 2);
	if (route_explain(f->r, arena_dup(f->a, address), &f->steps, f->a, &f->finals, &f->n, &e) != 0)
		return command_fail(EX_TEMPFAIL, "%s", e.text);
	return EX_OK;
}

/* ---- -bv ---- */

static int print_final(struct slice address, const struct final *f)
{
	int status = EX_OK;

	printf("%.*s... ", SLICE_FMT(address));
	switch (f->kind) {
	case FINAL_MAILBOX:
		printf("deliverable: mailer local, user %.*s", SLICE_FMT(f->user));
		if (f->folder.n > 0)
			printf(", folder %.*s", SLICE_FMT(f->folder));
		break;
	case FINAL_REMOTE:
		printf("deliverable: mailer %s, host %.*s, user %.*s", slice_istarts(f->next_hop, SLICE("lmtp:")) ? "lmtp" : "smtp", SLICE_FMT(f->next_hop), SLICE_FMT(f->address));
		break;
	case FINAL_DISCARD:
		printf("deliverable: thrown away");
		break;
	case FINAL_UNREAD:
		printf("%.*s is read when mail is delivered", SLICE_FMT(f->text));
		break;
	case FINAL_ERROR:
		printf("%.*s", SLICE_FMT(f->text));
		status = slice_starts(f->text, SLICE("550 5.1.1")) ? EX_NOUSER : slice_starts(f->text, SLICE("4")) ? EX_TEMPFAIL : EX_UNAVAILABLE;
		break;
	}
	printf("\n");
	return status;
}

/* As RCPT judges: one place that takes it is enough. */
static int verify_one(struct follow *f, const char *text)
{
	struct slice address = slice_of(text);
	int status = follow(f, address), worst = EX_OK;
	bool any = false;

	for (size_t i = 0; status == EX_OK && i < f->n; i++) {
		int one = print_final(address, &f->finals[i]);

		any |= one == EX_OK;
		worst = one != EX_OK ? one : worst;
	}
	return status != EX_OK ? status : any ? EX_OK : worst;
}

int sendmail_verify(const struct settings *s, int n, char **addresses)
{
	struct follow f;
	int status, worst = EX_OK;

	if (n == 0)
		return command_fail(EX_USAGE, "sendmail -bv: give the addresses to be followed");
	status = follow_begin(&f, s);
	if (status != EX_OK)
		return status;
	for (int i = 0; i < n; i++) {
		status = verify_one(&f, addresses[i]);
		if (status != EX_OK)
			worst = status;
	}
	follow_end(&f);
	return worst;
}

/* ---- -bt ---- */

static void prompt(void)
{
	printf("> ");
	fflush(stdout);
}

/* "3,0 ann@site" and "/parse ann@site" name the address last; there are no rule sets here to choose from. */
static struct slice last_word(struct slice line)
{
	struct slice word = SLICE(""), next;

	while (slice_word(&line, &next))
		word = next;
	return word;
}

static bool is_quit(struct slice line)
{
	return slice_eqs(line, "/quit") || slice_eqs(line, "/q");
}

static void test_lines(struct follow *f)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	prompt();
	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct slice text = slice_trim(slice_mem(line, (size_t)n));

		if (text.n > 0 && text.p[text.n - 1] == '\n')
			text = slice_trim(slice_head(text, text.n - 1));
		if (is_quit(text))
			break;
		if (text.n > 0 && text.p[0] != '#' && follow(f, last_word(text)) == EX_OK)
			fputs(buf_str(&f->steps), stdout);
		prompt();
	}
	printf("\n");
	free(line);
}

int sendmail_test(const struct settings *s)
{
	struct follow f;
	int status = follow_begin(&f, s);

	if (status != EX_OK)
		return status;
	printf("Enter an address to see where it leads, /quit to end.\n");
	test_lines(&f);
	follow_end(&f);
	return EX_OK;
}
