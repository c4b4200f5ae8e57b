/*
 * server/params.c - a table of ESMTP parameters and a walk over "key=value" words.
 *
 * RFC 1870 SIZE, 6152 BODY, 6531 SMTPUTF8, 3461 RET ENVID NOTIFY ORCPT, 4954 AUTH.
 */
#include "server/params.h"

#include "base/num.h"
#include "base/text.h"
#include "queue/envelope.h"
#include "reply/codes.h"

#define SIZE_DIGITS 20                                                /* RFC 1870 section 4 */
#define ENVID_MAX 100                                                 /* RFC 3461 4.4 */
#define ORCPT_MAX 500                                                 /* RFC 3461 4.2 */

struct param {
	const char *key;
	unsigned where;
	bool needs_value;
	const char *(*read)(struct smtp_params *p, struct slice value);   /* NULL, or what is wrong */
};

static const char BINARYMIME[] = "BODY=BINARYMIME is not offered here: use 8BITMIME";

static const char *read_size(struct smtp_params *p, struct slice value)
{
	if (value.n > SIZE_DIGITS || num_u64(value, UINT64_MAX, &p->size) != 0)
		return "SIZE: number out of range";
	p->has_size = true;
	return NULL;
}

static const char *read_body(struct smtp_params *p, struct slice value)
{
	if (slice_ieqs(value, "8BITMIME"))
		p->is_8bit = true;
	else if (slice_ieqs(value, "BINARYMIME"))
		return BINARYMIME;
	else if (!slice_ieqs(value, "7BIT"))
		return "BODY must be 7BIT or 8BITMIME";
	return NULL;
}

static const char *read_utf8(struct smtp_params *p, struct slice value)
{
	if (!slice_is_empty(value))
		return "SMTPUTF8 takes no value";
	p->is_utf8 = true;
	return NULL;
}

static const char *read_ret(struct smtp_params *p, struct slice value)
{
	p->ret_full = slice_ieqs(value, "FULL");
	p->ret_hdrs = slice_ieqs(value, "HDRS");
	return p->ret_full || p->ret_hdrs ? NULL : "RET must be FULL or HDRS";
}

/* xtext that decodes, without controls (a decoded CR LF would forge lines in reports). */
static bool is_xtext(struct slice s)
{
	struct buf plain;
	bool ok;

	buf_init(&plain, ORCPT_MAX);
	ok = text_unxtext(s, &plain) == 0 && !text_has_ctl(buf_view(&plain));
	buf_done(&plain);
	return ok;
}

static const char *read_envid(struct smtp_params *p, struct slice value)
{
	if (value.n > ENVID_MAX || !is_xtext(value))
		return "ENVID is not xtext of at most 100 characters (RFC 3461)";
	p->envid = value;
	return NULL;
}

static const char *read_auth(struct smtp_params *p, struct slice value)
{
	if (value.n > ORCPT_MAX || (!slice_eqs(value, "<>") && !is_xtext(value)))
		return "AUTH= is neither <> nor xtext (RFC 4954)";
	p->has_auth = true;
	p->auth = value;
	return NULL;
}

static const char *read_notify(struct smtp_params *p, struct slice value)
{
	static const struct { const char *word; unsigned bit; } words[] = {
		{ "NEVER", NOTIFY_NEVER }, { "SUCCESS", NOTIFY_SUCCESS }, { "FAILURE", NOTIFY_FAILURE }, { "DELAY", NOTIFY_DELAY },
	};
	struct slice word;
	unsigned bits = 0;

	while (slice_next(&value, ',', &word)) {
		size_t i = 0;

		while (i < sizeof(words) / sizeof(words[0]) && !slice_ieqs(word, words[i].word))
			i++;
		if (i == sizeof(words) / sizeof(words[0]))
			return "Bad argument to NOTIFY: SUCCESS, FAILURE, DELAY or NEVER";
		bits |= words[i].bit;
	}
	if ((bits & NOTIFY_NEVER) != 0 && bits != NOTIFY_NEVER)
		return "NOTIFY=NEVER stands alone";
	p->notify = bits;
	return NULL;
}

static const char *read_orcpt(struct smtp_params *p, struct slice value)
{
	ptrdiff_t semi = slice_chr(value, ';');

	if (value.n > ORCPT_MAX || semi <= 0 || !is_xtext(slice_from(value, (size_t)semi + 1)))
		return "ORCPT is not type;xtext (RFC 3461)";
	for (ptrdiff_t i = 0; i < semi; i++)
		if (!ascii_is_alnum(value.p[i]) && value.p[i] != '-')
			return "ORCPT is not type;xtext (RFC 3461)";
	p->orcpt = value;
	return NULL;
}

static const struct param params[] = {
	{ "SIZE",     SMTP_PARAMS_MAIL, true,  read_size },
	{ "BODY",     SMTP_PARAMS_MAIL, true,  read_body },
	{ "SMTPUTF8", SMTP_PARAMS_MAIL, false, read_utf8 },
	{ "RET",      SMTP_PARAMS_MAIL, true,  read_ret },
	{ "ENVID",    SMTP_PARAMS_MAIL, true,  read_envid },
	{ "AUTH",     SMTP_PARAMS_MAIL, true,  read_auth },
	{ "NOTIFY",   SMTP_PARAMS_RCPT, true,  read_notify },
	{ "ORCPT",    SMTP_PARAMS_RCPT, true,  read_orcpt },
};
#define N_PARAMS (sizeof(params) / sizeof(params[0]))

static const struct param *param_find(struct slice key, enum smtp_params_of which)
{
	for (size_t i = 0; i < N_PARAMS; i++)
		if ((params[i].where & (unsigned)which) != 0 && slice_ieqs(key, params[i].key))
			return &params[i];
	return NULL;
}

static const char *shown(struct slice s, struct arena *a)
{
	struct buf b;
	char *text;

	buf_init(&b, BUF_UNBOUNDED);
	text_escape(slice_head(s, 40), &b);
	text = arena_str(a, buf_view(&b));
	buf_done(&b);
	return text;
}

/* RFC 5321 4.1.2: esmtp-keyword = alnum *(alnum / "-"); esmtp-value = printable without "=" - but ENVID and AUTH may hold one in the wild. */
static const char *param_read(struct slice word, enum smtp_params_of which, unsigned *seen, struct arena *a, struct smtp_params *out)
{
	ptrdiff_t eq = slice_chr(word, '=');
	struct slice key = eq < 0 ? word : slice_head(word, (size_t)eq);
	struct slice value = eq < 0 ? SLICE_NONE : slice_from(word, (size_t)eq + 1);
	const struct param *p = param_find(key, which);
	const char *wrong;

	if (p == NULL)
		return code_reply(a, CODE_UNKNOWN_PARAMETER, "Unsupported parameter \"%s\"", shown(key, a));
	if ((*seen & (1u << (p - params))) != 0)
		return code_reply(a, CODE_ARGUMENT, "%s given twice", p->key);
	*seen |= 1u << (p - params);
	if (p->needs_value && slice_is_empty(value))
		return code_reply(a, CODE_ARGUMENT, "%s needs a value", p->key);
	wrong = p->read(out, value);
	return wrong == NULL ? NULL : code_reply(a, wrong == BINARYMIME ? CODE_BINARYMIME : CODE_ARGUMENT, "%s", wrong);
}

int smtp_params_parse(struct slice in, enum smtp_params_of which, struct arena *a, struct smtp_params *out, const char **reply_out)
{
	struct smtp_params p = { 0 };
	struct slice word;
	unsigned seen = 0;

	in = arena_dup(a, in);                                            /* the answer to MAIL or RCPT comes when the line has gone */
	while (slice_word(&in, &word)) {
		const char *reply = param_read(word, which, &seen, a, &p);

		if (reply != NULL) {
			*reply_out = reply;
			return -1;
		}
	}
	*out = p;
	return 0;
}
