#include "conf/expand.h"

static bool is_name_octet(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* Behind the dollar sign: takes the name (or a second dollar sign) off *rest. */
static int take_name(struct slice *rest, struct slice *name_out, struct err *e)
{
	bool brace = slice_starts(*rest, SLICE("{"));
	size_t n = 0;

	if (brace)
		*rest = slice_from(*rest, 1);
	while (n < rest->n && is_name_octet(rest->p[n]))
		n++;
	if (n == 0)
		return err_set(e, ERR_SYNTAX, 0, "'$' stands before the name of a setting; a dollar sign itself is written '$$'");
	*name_out = slice_head(*rest, n);
	*rest = slice_from(*rest, n);
	if (brace && !slice_starts(*rest, SLICE("}")))
		return err_set(e, ERR_SYNTAX, 0, "'${%.*s' needs its '}'", SLICE_FMT(*name_out));
	if (brace)
		*rest = slice_from(*rest, 1);
	return 0;
}

int conf_expand(struct slice text, conf_lookup_fn *lookup, void *ctx, struct buf *out, struct err *e)
{
	struct slice rest = text, plain, name;

	while (slice_next(&rest, '$', &plain)) {
		if (buf_add(out, plain) < 0)
			return err_set(e, ERR_LIMIT, 0, "longer than %zu octets when expanded", out->max);
		if (rest.p == NULL)
			break;
		if (slice_starts(rest, SLICE("$"))) {
			if (buf_addc(out, '$') < 0)
				return err_set(e, ERR_LIMIT, 0, "longer than %zu octets when expanded", out->max);
			rest = slice_from(rest, 1);
			continue;
		}
		if (take_name(&rest, &name, e) < 0 || lookup(ctx, name, out, e) < 0)
			return -1;
	}
	return 0;
}
