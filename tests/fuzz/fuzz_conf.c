/* A settings value with its $names, and the list in it. */
#include <assert.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/expand.h"
#include "conf/typed.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int lookup(void *ctx, struct slice name, struct buf *out, struct err *e)
{
	(void)ctx;
	if (buf_add(out, name) < 0)
		return err_set(e, ERR_LIMIT, 0, "full");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e = ERR_INIT;
	struct buf out, list;
	const struct conf_param *row = NULL;
	struct settings s = { .arena = arena_new(0) };

	buf_init(&out, CONF_VALUE_MAX);
	buf_init(&list, BUF_UNBOUNDED);
	if (conf_expand(slice_mem(p, n), lookup, NULL, &out, &e) == 0) {
		conf_typed_put_list(buf_view(&out), &list);
		assert(list.len <= out.len);
		while ((row = conf_next(row)) != NULL)
			if (conf_typed_read(&s, row, buf_view(&out), &e) < 0)
				assert(e.text[0] != '\0');
	} else {
		assert(e.text[0] != '\0');
	}
	buf_done(&out);
	buf_done(&list);
	arena_free(&s.arena);
	return 0;
}
