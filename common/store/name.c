/*
 * store/name.c - see name.h.
 */
#include "store/name.h"

#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "base/text.h"
#include "mail/mime.h"
#include "store/mbox.h"

/* In the order that Maildir wants them: ASCII. */
static const struct { char letter; uint32_t flag; } letters[] = {
	{ 'D', MSG_DRAFT }, { 'F', MSG_FLAGGED }, { 'P', MSG_FORWARDED }, { 'R', MSG_ANSWERED }, { 'S', MSG_SEEN }, { 'T', MSG_DELETED },
};

static void read_info(struct slice info, struct mname *n)
{
	for (size_t i = 0; i < info.n; i++) {
		char c = info.p[i];

		if (c >= 'a' && c <= 'z')
			n->keywords |= 1ull << (c - 'a');
		for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
			if (letters[k].letter == c)
				n->flags |= letters[k].flag;
	}
}

static void read_uid(struct slice value, struct mname *n)
{
	struct slice part;
	uint64_t validity, uid;

	if (!slice_next(&value, '.', &part) || num_base36(part, UINT32_MAX, &validity) != 0 || validity == 0)
		return;
	if (value.p == NULL || num_base36(value, UINT32_MAX - 1, &uid) != 0 || uid == 0)
		return;
	n->has_uid = true;
	n->uidvalidity = (uint32_t)validity;
	n->uid = (uint32_t)uid;
}

static void read_field(struct slice field, struct mname *n, uint64_t *wire_out)
{
	struct slice value = slice_from(field, 2);
	uint64_t v;

	if (field.n < 3 || field.p[1] != '=')
		return;
	switch (field.p[0]) {
	case 'S':
		if (num_u64(value, INT64_MAX, &v) == 0)
			n->file_size = v, n->has_size = true;
		return;
	case 'W':
		if (num_u64(value, INT64_MAX, &v) == 0)
			*wire_out = v;
		return;
	case 'U':
		read_uid(value, n);
		return;
	case 'D':
		if (num_base36(value, INT64_MAX, &v) == 0)
			n->date = (int64_t)v;
		return;
	case 'K':
		if (num_base36(value, (1ull << (64 - MNAME_LETTERS)) - 1, &v) == 0)
			n->keywords |= v << MNAME_LETTERS;
		return;
	default:
		return;
	}
}

static void read_stem(struct slice stem, struct mname *n)
{
	ptrdiff_t first = slice_chr(stem, '.'), last;
	uint64_t when;

	n->stem = stem;
	n->date = -1;
	if (first < 0)
		return;
	if (num_u64(slice_head(stem, (size_t)first), INT64_MAX, &when) == 0)
		n->date = (int64_t)when;
	n->id = slice_from(stem, (size_t)first + 1);
	last = slice_chr(n->id, '.');
	if (last >= 0)
		n->id = slice_head(n->id, (size_t)last);
}

int mname_parse(struct slice name, struct mname *out)
{
	struct mname n = { .date = -1 };
	struct slice base = name, field;
	uint64_t wire = UINT64_MAX;
	ptrdiff_t colon;

	if (name.n == 0 || name.n > MNAME_MAX || name.p[0] == '.' || memchr(name.p, '/', name.n) != NULL || memchr(name.p, '\0', name.n) != NULL)
		return -1;
	colon = slice_rchr(name, ':');
	if (colon >= 0) {
		base = slice_head(name, (size_t)colon);
		if (slice_starts(slice_from(name, (size_t)colon), SLICE(":2,")))
			read_info(slice_from(name, (size_t)colon + 3), &n);
	}
	if (!slice_next(&base, ',', &field))
		return -1;
	read_stem(field, &n);
	while (slice_next(&base, ',', &field))
		read_field(field, &n, &wire);
	n.size = n.file_size;
	if (n.has_size && wire != UINT64_MAX && wire >= n.file_size) {
		n.has_lf = wire != n.file_size;
		n.size = wire;
	}
	*out = n;
	return 0;
}

static int put_fields(const struct mname *n, struct buf *b)
{
	char v36[14], u36[14];
	struct mname plain;

	if (buf_add(b, n->stem) != 0 || buf_addf(b, ",S=%llu", (unsigned long long)n->file_size) != 0)
		return -1;
	if (n->has_lf && buf_addf(b, ",W=%llu", (unsigned long long)n->size) != 0)
		return -1;
	num_to_base36(n->uidvalidity, v36);
	num_to_base36(n->uid, u36);
	if (n->has_uid && buf_addf(b, ",U=%s.%s", v36, u36) != 0)
		return -1;
	plain.date = -1;
	plain.id = SLICE_NONE;
	read_stem(n->stem, &plain);
	num_to_base36(n->date < 0 ? 0 : (uint64_t)n->date, u36);
	if (plain.date != n->date && buf_addf(b, ",D=%s", u36) != 0)
		return -1;
	num_to_base36(n->keywords >> MNAME_LETTERS, u36);
	return n->keywords >> MNAME_LETTERS != 0 ? buf_addf(b, ",K=%s", u36) : 0;
}

static int put_info(const struct mname *n, struct buf *b)
{
	if (buf_adds(b, ":2,") != 0)
		return -1;
	for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
		if ((n->flags & letters[k].flag) != 0 && buf_addc(b, letters[k].letter) != 0)
			return -1;
	for (int k = 0; k < MNAME_LETTERS; k++)
		if ((n->keywords >> k & 1) != 0 && buf_addc(b, (char)('a' + k)) != 0)
			return -1;
	return 0;
}

int mname_put(const struct mname *n, struct buf *out)
{
	size_t before = out->len;

	if (put_fields(n, out) == 0 && put_info(n, out) == 0 && out->len - before <= MNAME_MAX)
		return 0;
	buf_cut(out, before);
	return -1;
}

bool mname_id_is_valid(struct slice id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!ascii_is_alnum(id.p[i]) && id.p[i] != '-' && id.p[i] != '_')
			return false;
	return id.n > 0 && id.n <= 64;
}

/* ---- folders ---- */

static const char *level_fault(struct slice level)
{
	if (level.n == 0)
		return "has an empty level";
	if (slice_eqs(level, ".") || slice_eqs(level, ".."))
		return "has a level of dots";
	return NULL;
}

static const char *name_fault(struct slice name)
{
	struct slice rest = name, level;
	unsigned depth = 0;
	const char *why;

	if (name.n == 0 || name.n > LIMIT_FOLDER_NAME)
		return name.n == 0 ? "is empty" : "is too long";
	if (!text_is_utf8(name) || text_has_ctl(name))
		return "has control octets or is not UTF-8";
	while (slice_next(&rest, '/', &level)) {
		if (++depth > LIMIT_FOLDER_DEPTH)
			return "has too many levels";
		if ((why = level_fault(level)) != NULL)
			return why;
	}
	return NULL;
}

int folder_name_check(struct slice name, struct buf *out, struct err *e)
{
	const char *why = name_fault(name);
	bool inbox = slice_istarts(name, SLICE("INBOX")) && (name.n == 5 || name.p[5] == '/');

	if (why != NULL)
		return err_set(e, ERR_DENIED, 0, "folder name %s", why);
	buf_put(out, inbox ? SLICE("INBOX") : slice_head(name, 5));
	buf_put(out, slice_from(name, 5));
	return 0;
}

/* One run without dots; what lies between is encoded as &AC4-. */
static int put_level(struct slice level, struct buf *out)
{
	struct slice run;
	bool first = true;

	while (slice_next(&level, '.', &run)) {
		if (!first)
			buf_puts(out, "&AC4-");
		first = false;
		if (utf8_to_utf7(run, out) != 0)
			return -1;
	}
	return 0;
}

int folder_name_to_disk(struct slice name, struct buf *out, struct err *e)
{
	struct slice level;
	size_t before = out->len;

	if (slice_eqs(name, "INBOX"))
		return 0;
	while (slice_next(&name, '/', &level)) {
		buf_putc(out, '.');
		if (put_level(level, out) != 0) {
			buf_cut(out, before);
			return err_set(e, ERR_DENIED, 0, "folder name is not UTF-8");
		}
	}
	if (out->len - before <= LIMIT_FOLDER_NAME)
		return 0;
	buf_cut(out, before);
	return err_set(e, ERR_DENIED, 0, "folder name is too long");
}

static int take_level(struct slice level, struct buf *out)
{
	ptrdiff_t at;

	while ((at = slice_find(level, SLICE("&AC4-"))) >= 0) {
		if (utf7_to_utf8(slice_head(level, (size_t)at), out) != 0)
			return -1;
		buf_putc(out, '.');
		level = slice_from(level, (size_t)at + 5);
	}
	return utf7_to_utf8(level, out);
}

int folder_name_from_disk(struct slice disk, struct buf *out)
{
	struct buf name;
	struct slice level;
	struct err e;
	bool first = true;
	int rc = -1;

	if (disk.n < 2 || disk.p[0] != '.')
		return -1;
	buf_init(&name, BUF_UNBOUNDED);
	for (disk = slice_from(disk, 1); slice_next(&disk, '.', &level); first = false) {
		size_t at = name.len + !first;

		if (!first)
			buf_putc(&name, '/');
		if (take_level(level, &name) != 0 || slice_chr(slice_from(buf_view(&name), at), '/') >= 0)
			goto out;
	}
	rc = folder_name_check(buf_view(&name), out, &e);
out:
	buf_done(&name);
	return rc;
}
