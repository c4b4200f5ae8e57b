/*
 * auth/users_record.c - see the header.
 */
#include "auth/users_record.h"

#include "base/num.h"

void users_record_write(const struct user *u, struct buf *out)
{
	if (u->hash.n != 0)
		buf_putf(out, "hash %.*s\n", SLICE_FMT(u->hash));
	if (u->scram.n != 0)
		buf_putf(out, "scram %.*s\n", SLICE_FMT(u->scram));
	if (u->quota_storage != 0)
		buf_putf(out, "quota_storage %llu\n", (unsigned long long)u->quota_storage);
	if (u->quota_messages != 0)
		buf_putf(out, "quota_messages %llu\n", (unsigned long long)u->quota_messages);
	if (u->flags != 0)
		buf_putf(out, "flags %u\n", u->flags);
}

static int read_line(struct slice name, struct slice value, struct user *u)
{
	uint32_t flags;

	if (slice_eqs(name, "hash"))
		u->hash = value;
	else if (slice_eqs(name, "scram"))
		u->scram = value;
	else if (slice_eqs(name, "quota_storage"))
		return num_u64(value, UINT64_MAX, &u->quota_storage);
	else if (slice_eqs(name, "quota_messages"))
		return num_u64(value, UINT64_MAX, &u->quota_messages);
	else if (slice_eqs(name, "flags")) {
		if (num_u32(value, UINT32_MAX, &flags) != 0)
			return -1;
		u->flags = flags;
	}
	return 0;
}

int users_record_read(struct slice record, struct user *u)
{
	struct slice line, name;
	struct user got = { .name = u->name };

	while (slice_next(&record, '\n', &line)) {
		if (line.n == 0)
			continue;
		ptrdiff_t blank = slice_chr(line, ' ');
		if (blank < 0)
			return -1;
		name = slice_head(line, (size_t)blank);
		if (read_line(name, slice_from(line, (size_t)blank + 1), &got) != 0)
			return -1;
	}
	*u = got;
	return 0;
}
