/*
 * tests/unit/dracd/dracd_test.h - what the tests of dracd share: a moment, addresses, grants, settings.
 */
#ifndef DRACD_TEST_H
#define DRACD_TEST_H

#include "conf/conf.h"
#include "dracd/table.h"

#define T0 1795311821

static const struct table_policy policy = { 1800, 28800, 8, 8 };

static inline struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static inline struct drac_grant_args grant_of(const char *addr, const char *user, uint32_t flags)
{
	return (struct drac_grant_args){ .addr = addr_of(addr),
		.who = { .user = slice_of(user), .service = SLICE("imap"), .host = SLICE("mx"), .session = SLICE("s"), .flags = flags } };
}

/* The defaults, but for `o`: "name=value", NULL-terminated. */
static inline struct settings *settings_with(const char *const *o)
{
	struct settings *s = NULL;
	struct buf w;
	struct err e = ERR_INIT;

	buf_init(&w, BUF_UNBOUNDED);
	if (conf_load(&s, NULL, o, &w, &e) != 0)
		fail_msg("%s", e.text);
	buf_done(&w);
	return s;
}

static inline struct table_time at(int64_t s)
{
	return (struct table_time){ T0 + s, 1000 + s };
}

#endif
