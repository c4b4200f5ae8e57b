/*
 * dracd behind each of its doors: the first octet chooses the door and the caller, the rest is one call; a sequence of calls is told apart by a length octet.
 * Nothing but a well-formed ADD or GRANT may put anything into the table.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "dracd/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

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

static void one(struct core *c, uint8_t how, struct slice call)
{
	const struct core_caller who = { .door = (enum core_door)(how % 4), .class = (enum core_class)(how / 4 % 5), .addr = { .octets = { 127, 0, 0, 1 }, .len = 4 } };
	const struct table_time now = { 1795311821, 1000 };
	struct rpc_mark mark = { .xid = 0 };
	struct drac_entry e;
	struct slice result;
	struct buf out;
	uint32_t xid, retry;
	enum drac_status st;

	buf_init(&out, BUF_UNBOUNDED);
	enum rpc_outcome rc = rpc_handle(c, &who, call, now, &out, &mark);
	if (rc == RPC_DROP && out.len != 0)
		abort();
	if (rc == RPC_WAIT)
		rpc_pull(c, &mark, &out);
	if (out.len != 0 && drac_reply_read(buf_view(&out), &xid, &result) < 0)
		abort();
	if (rc == RPC_SYNC) {
		buf_reset(&out);
		rpc_failed(&mark, &out);
		if (drac_reply_read(buf_view(&out), &xid, &result) != 0)
			abort();
	}
	buf_done(&out);
	if (drac_grant_res_read(call, &st, &e, &retry) == 0 && e.n > DRAC_VOUCHERS)      /* the client's reader, on the same octets */
		abort();
	if (drac_reply_read(call, &xid, &result) == 0 && drac_grant_res_read(result, &st, &e, &retry) == 0 && e.n > DRAC_VOUCHERS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct core *c = core_once();

	while (n > 2) {
		size_t len = p[1] < n - 2 ? p[1] : n - 2;
		one(c, p[0], slice_mem(p + 2, len));
		p += 2 + len;
		n -= 2 + len;
	}
	table_flush(core_table(c));
	return 0;
}
