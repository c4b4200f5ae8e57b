/*
 * drac/closed.c - see the header.
 */
#include "drac/closed.h"

#include <stdio.h>

#include "conf/conf.h"
#include "drac/allow.h"

/* ADDRESS:PORT; that it can be read is looked at where it is listened to. */
static bool is_open_to_others(const char *listen)
{
	struct slice rest = slice_of(listen), word;
	struct net_addr addr;

	while (conf_word(&rest, &word)) {
		ptrdiff_t colon = slice_rchr(word, ':');

		if (colon >= 0 && net_addr_parse(slice_head(word, (size_t)colon), &addr) == 0 && !net_addr_is_loopback(&addr))
			return true;
	}
	return false;
}

static int blame(const struct settings *s, const char *path, unsigned line, struct err *e)
{
	const char *why = s->drac_match_sender ? "drac_trust_v1 believes them" : "drac_match_sender = no asks for no sender";
	struct arena *a = arena_new(0);

	err_set(e, ERR_DENIED, 0, "%s:%u: a large part of the world may register addresses with dracd, and %s (%s), so that strangers could relay through here. "
	    "Refused: narrow it to the hosts whose POP3 and IMAP servers call", path, line, why,
	    conf_where(s, s->drac_match_sender ? "drac_trust_v1" : "drac_match_sender", a));
	arena_free(&a);
	return -1;
}

static int check_callers(const struct settings *s, const struct allow *callers, const char *path, struct err *e)
{
	struct allow *trusted = NULL;
	unsigned line = 0;
	bool open;

	if (s->drac_match_sender && allow_from_list(&trusted, "drac_trust_v1", s->drac_trust_v1, e) != 0)
		return -1;
	open = allow_lets_strangers_in(callers, trusted, &line);
	allow_free(&trusted);
	return open ? blame(s, path, line, e) : 0;
}

int drac_is_closed(const struct settings *s, struct err *e)
{
	struct allow *callers = NULL;
	struct buf path;
	int rc;

	if (!s->drac || (!is_open_to_others(s->listen_drac_udp) && !is_open_to_others(s->listen_drac_tcp)))
		return 0;
	buf_init(&path, 4096);
	if (s->drac_allow[0] != '/')
		buf_putf(&path, "%s/", s->config_directory);
	buf_puts(&path, s->drac_allow);
	rc = allow_load(&callers, buf_str(&path), e);
	if (rc == 0)
		rc = check_callers(s, callers, buf_str(&path), e);
	allow_free(&callers);
	buf_done(&path);
	return rc;
}
