/*
 * tests/crash/mailbox_dump.c - what a mailbox holds, for a checker that is a program.
 *
 *	mailbox_dump [-v] BOXDIR        BOXDIR is mail/DOMAIN/LOCALPART
 *
 * One line each, with single spaces:
 *
 *	F uidvalidity uidnext name                    a folder
 *	M uid size flags keywords token whole         a message of the folder above; flags as hex MSG_*, keywords joined by commas or "-";
 *	                                              token from X-Token, "-" without; whole 1 where the text ends with "[end TOKEN]"
 *	Q octets messages                             the quota's sum
 *	V text                                        with -v: what verify found after all that
 *	R text                                        and what it still found after a repair
 */
#include <stdio.h>
#include <string.h>

#include "store/verify.h"

#define HEAD "X-Token: <"

static struct slice token_of(struct slice octets)
{
	ptrdiff_t at = slice_find(octets, SLICE(HEAD)), end;

	if (at < 0)
		return SLICE("-");
	octets = slice_from(octets, (size_t)at + sizeof HEAD - 1);
	end = slice_chr(octets, '>');
	return end < 0 ? SLICE("-") : slice_head(octets, (size_t)end);
}

static bool is_whole(struct slice octets, struct slice token)
{
	char tail[128];
	int n = snprintf(tail, sizeof tail, "[end %.*s]\r\n", SLICE_FMT(token));

	return n > 0 && octets.n >= (size_t)n && memcmp(octets.p + octets.n - (size_t)n, tail, (size_t)n) == 0;
}

static void put_keywords(const struct mbox *m, uint64_t bits)
{
	const struct slice *names;
	size_t n = mbox_keywords(m, &names);
	const char *comma = "";

	if (bits == 0)
		putchar('-');
	for (size_t i = 0; i < n; i++)
		if ((bits >> i & 1) != 0) {
			printf("%s%.*s", comma, SLICE_FMT(names[i]));
			comma = ",";
		}
}

static int put_message(struct view *v, const struct mbox *m, uint32_t seq, struct err *e)
{
	struct mrec r = *view_get(v, seq);
	struct mbody b;
	struct slice token;

	if (view_read(v, seq, &b, e) != 0)
		return -1;
	token = token_of(b.octets);
	printf("M %u %llu %x ", r.uid, (unsigned long long)r.size, r.flags);
	put_keywords(m, r.keywords);
	printf(" %.*s %d\n", SLICE_FMT(token), b.octets.n == r.size && is_whole(b.octets, token));
	mbody_done(&b);
	return 0;
}

static int put_folder(struct box *b, struct slice name, struct err *e)
{
	struct mbox *m;
	struct view *v;
	int rc = 0;

	if (mbox_open(&m, b, name, e) != 0)
		return -1;
	v = view_open(m, true);
	printf("F %u %u %.*s\n", mbox_uidvalidity(m), mbox_uidnext(m), SLICE_FMT(name));
	for (uint32_t seq = 1; rc == 0 && seq <= view_count(v); seq++)
		rc = put_message(v, m, seq, e);
	view_close(&v);
	mbox_close(&m);
	return rc;
}

static int put_all(struct box *b, struct arena *a, struct err *e)
{
	struct folder *list;
	uint64_t octets, messages;
	size_t n;

	if (box_list(b, a, &list, &n, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if ((list[i].attrs & FOLDER_NOSELECT) == 0 && put_folder(b, list[i].name, e) != 0)
			return -1;
	if (box_quota(b, &octets, &messages, e) != 0)
		return -1;
	printf("Q %llu %llu\n", (unsigned long long)octets, (unsigned long long)messages);
	return 0;
}

static void print_fault(void *ctx, const char *text)
{
	printf("%s %s\n", (const char *)ctx, text);
}

static int verify(struct box *b, struct err *e)
{
	static char first[] = "V", second[] = "R";
	struct verify_report found = { print_fault, first }, left = { print_fault, second };
	unsigned faults;

	if (box_verify(b, true, &found, &faults, e) != 0)
		return -1;
	return faults == 0 ? 0 : box_verify(b, false, &left, &faults, e);
}

int main(int argc, char **argv)
{
	struct box_options opt = { .special_folders = "", .hostname = "checker" };
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	struct box *b = NULL;
	int rc;

	if (argc < 2) {
		fputs("usage: mailbox_dump [-v] BOXDIR\n", stderr);
		return 2;
	}
	rc = box_open(&b, argv[argc - 1], false, &opt, &e);
	if (rc == 0)
		rc = put_all(b, a, &e);
	if (rc == 0 && strcmp(argv[1], "-v") == 0)
		rc = verify(b, &e);
	if (rc != 0)
		printf("E %s\n", e.text);
	box_close(&b);
	arena_free(&a);
	return rc == 0 ? 0 : 1;
}
