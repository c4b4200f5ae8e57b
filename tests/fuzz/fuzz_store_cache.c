/*
 * tests/fuzz/fuzz_store_cache.c - entries of posthouse.cache, UID lists of other servers, posthouse.folder and posthouse.box.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "store/box.h"
#include "store/scache.h"
#include "store/uidlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void entry(struct slice in)
{
	struct slice texts[SCACHE_TEXTS];
	char *copy = malloc(in.n + 1);
	size_t n;

	memcpy(copy, in.p, in.n);
	(void)!scache_parse(in, 1, 1, texts);
	n = scache_entry_len(in);
	if (n > 0 && n <= in.n) {
		num_put_le32(copy + 4, hash_crc32c(0, copy + 8, n - 8));
		if (scache_parse(slice_mem(copy, in.n), num_get_le32(copy + 8), num_get_le32(copy + 12), texts) == 0)
			for (size_t i = 0; i < SCACHE_TEXTS; i++)
				(void)slice_chr(texts[i], 'x');
	}
	free(copy);
}

static void texts_of_others(struct slice in)
{
	struct arena *a = arena_new(0);
	struct slice names[26], rest = in, line;
	struct uidlist l;

	if (uidlist_parse(in, a, &l) == 0)
		for (size_t i = 0; i < l.n; i++)
			(void)slice_chr(l.v[i].base, 'x');
	(void)uidlist_keywords(in, names, 26);
	while (slice_next(&rest, '\n', &line))
		(void)uidlist_subscription(line, false, a);
	arena_free(&a);
}

static void texts_of_ours(struct slice in)
{
	struct mbox m = { .uidnext = 1 };
	struct boxfile f;

	(void)!meta_parse(in, &m);
	while (m.n_keywords > 0)
		free(m.keyword[--m.n_keywords]);
	boxfile_init(&f);
	(void)!boxfile_parse(in, &f);
	boxfile_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(size == 0 ? "" : (const void *)data, size);

	entry(in);
	texts_of_others(in);
	texts_of_ours(in);
	return 0;
}
