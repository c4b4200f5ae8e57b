#include "conf/typed.h"

#include "base/num.h"

/* The field behind a row; CONF_STRING and its like have checked its type when they were compiled. */
static void *field(struct settings *s, const struct conf_param *p)
{
	return (char *)s + p->offset;
}

static const void *field_of(const struct settings *s, const struct conf_param *p)
{
	return (const char *)s + p->offset;
}

static int read_number(enum conf_type type, struct slice text, uint64_t *v_out)
{
	switch (type) {
	case CONF_T_SECS:
		return num_secs(text, v_out);
	case CONF_T_SIZE:
		return num_size(text, v_out);
	default:
		return num_u64(text, UINT64_MAX, v_out);
	}
}

static const char *how_to_write(enum conf_type type)
{
	switch (type) {
	case CONF_T_SECS:
		return "a time is written as 90s, 30m, 2h or 7d";
	case CONF_T_SIZE:
		return "a size is written as 500, 64K, 25M or 2G";
	default:
		return "a number is written in decimal digits";
	}
}

static int check_bounds(const struct conf_param *p, uint64_t v, struct err *e)
{
	uint64_t bound;

	if (p->min != NULL && read_number(p->type, slice_of(p->min), &bound) == 0 && v < bound)
		return err_set(e, ERR_SYNTAX, 0, "it must be at least %s", p->min);
	if (p->max != NULL && read_number(p->type, slice_of(p->max), &bound) == 0 && v > bound)
		return err_set(e, ERR_SYNTAX, 0, "it must be at most %s", p->max);
	if (p->type != CONF_T_SIZE && v > UINT32_MAX)
		return err_set(e, ERR_SYNTAX, 0, "it must be at most %u", UINT32_MAX);
	return 0;
}

static int set_number(struct settings *s, const struct conf_param *p, struct slice text, struct err *e)
{
	uint64_t v;

	if (read_number(p->type, text, &v) < 0)
		return err_set(e, ERR_SYNTAX, 0, "%s", how_to_write(p->type));
	if (check_bounds(p, v, e) < 0)
		return -1;
	if (p->type == CONF_T_SIZE)
		*(uint64_t *)field(s, p) = v;
	else
		*(uint32_t *)field(s, p) = (uint32_t)v;
	return 0;
}

static int set_bool(struct settings *s, const struct conf_param *p, struct slice text, struct err *e)
{
	bool yes = slice_ieqs(text, "yes");

	if (!yes && !slice_ieqs(text, "no"))
		return err_set(e, ERR_SYNTAX, 0, "it is either yes or no");
	*(bool *)field(s, p) = yes;
	return 0;
}

static void set_string(struct settings *s, const struct conf_param *p, struct slice text)
{
	*(const char **)field(s, p) = arena_str(s->arena, text);
}

static int set_choice(struct settings *s, const struct conf_param *p, struct slice text, struct err *e)
{
	struct slice words = slice_of(p->min), word;

	while (slice_word(&words, &word))
		if (slice_eq(word, text)) {
			set_string(s, p, text);
			return 0;
		}
	return err_set(e, ERR_SYNTAX, 0, "it is one of: %s", p->min);
}

void conf_typed_put_list(struct slice text, struct buf *out)
{
	struct slice part, word;
	bool first = true;

	while (slice_next(&text, ',', &part))
		while (slice_word(&part, &word)) {
			if (!first)
				buf_putc(out, ' ');
			buf_put(out, word);
			first = false;
		}
}

static void set_list(struct settings *s, const struct conf_param *p, struct slice text)
{
	struct buf words;

	buf_init(&words, BUF_UNBOUNDED);
	conf_typed_put_list(text, &words);
	set_string(s, p, buf_view(&words));
	buf_done(&words);
}

int conf_typed_read(struct settings *s, const struct conf_param *p, struct slice text, struct err *e)
{
	switch (p->type) {
	case CONF_T_STRING:
		set_string(s, p, text);
		return 0;
	case CONF_T_LIST:
		set_list(s, p, text);
		return 0;
	case CONF_T_BOOL:
		return set_bool(s, p, text, e);
	case CONF_T_CHOICE:
		return set_choice(s, p, text, e);
	case CONF_T_NUMBER:
	case CONF_T_SECS:
	case CONF_T_SIZE:
		break;
	}
	return set_number(s, p, text, e);
}

void conf_typed_put(const struct settings *s, const struct conf_param *p, struct buf *out)
{
	const void *at = field_of(s, p);

	switch (p->type) {
	case CONF_T_STRING:
	case CONF_T_LIST:
	case CONF_T_CHOICE:
		buf_puts(out, *(const char *const *)at);
		return;
	case CONF_T_BOOL:
		buf_puts(out, *(const bool *)at ? "yes" : "no");
		return;
	case CONF_T_NUMBER:
		buf_putf(out, "%u", *(const uint32_t *)at);
		return;
	case CONF_T_SECS:
		num_put_secs(out, *(const uint32_t *)at);
		return;
	case CONF_T_SIZE:
		num_put_size(out, *(const uint64_t *)at);
		return;
	}
}
