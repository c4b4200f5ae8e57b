/*
 * What another dracd answers to PULL, LIST and STATS: the first octet chooses the reader, the next says where we are, the rest is the result. What is told
 * of a reply is in order and within the caps; a reply that is refused tells nothing; and whatever is told, the table takes over within its bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "dracd/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct seen { uint32_t n; uint64_t last; };

static const struct table_time now = { 1795311821, 1000 };

static struct core *core_once(void)
{
	static struct core *core;
	static const char *const o[] = { "drac_allow=/nonexistent/x", NULL };
	struct settings *s = NULL;
	struct buf w;

	if (core != NULL)
		return core;
	buf_init(&w, BUF_UNBOUNDED);
	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0 || conf_load(&s, NULL, o, &w, NULL) != 0 || core_new_volatile(&core, s, NULL) != 0)
		abort();
	buf_done(&w);
	return core;
}

static void on_event(void *ctx, const struct drac_event *e)
{
	struct seen *s = ctx;

	if (e->serial <= s->last || e->kind > DRAC_EV_FLUSH || e->who.user.n > DRAC_USER_MAX)
		abort();
	s->last = e->serial;
	s->n++;
	core_replicate(core_once(), e, 7, now);
}

static void on_entry(void *ctx, const struct drac_entry *e)
{
	struct seen *s = ctx;

	if (e->n > DRAC_VOUCHERS || (e->addr.len != 4 && e->addr.len != 16))
		abort();
	s->n++;
	for (size_t i = 0; i < e->n; i++) {
		const struct drac_event ev = { .kind = DRAC_EV_GRANT, .addr = e->addr, .who = e->vouchers[i].who, .expires = e->vouchers[i].expires, .login = e->vouchers[i].at };
		core_replicate(core_once(), &ev, 7, now);
	}
}

static void pull(struct slice in, uint64_t after)
{
	struct seen s = { 0, after };
	struct drac_pulled r;
	int rc = drac_pull_res_read(in, 3, after, &r, on_event, &s);

	if (rc != 0 && s.n != 0)
		abort();
	if (rc == 0 && r.status == DRAC3_OK && (s.n != r.n || r.n > DRAC_PAGE || (!r.head.snapshot_needed && s.last > r.head.last)))
		abort();
}

static void list(struct slice in)
{
	struct seen s = { 0, 0 };
	struct drac_listed r;
	int rc = drac_list_res_read(in, &r, on_entry, &s);

	if (rc != 0 ? s.n != 0 : r.status == DRAC3_OK && (s.n != r.n || r.n > DRAC_PAGE || r.next.n > DRAC_CURSOR_MAX))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct core *c = core_once();
	uint64_t v = 0;

	if (n < 2)
		return 0;
	struct slice in = slice_mem(p + 2, n - 2);

	if (p[0] % 3 == 0)
		pull(in, p[1]);
	else if (p[0] % 3 == 1)
		list(in);
	else if (drac_stats_res_find(in, "clock", &v) == 0 && v != 0)
		abort();
	table_expire(core_table(c), (struct table_time){ now.wall_s + 1801, now.mono_s + 1801 });
	if (table_count(core_table(c)) != 0)
		abort();                                                  /* nobody else's word outlives our drac_lifetime */
	return 0;
}
