/*
 * tests/fuzz/fuzz_store_name.c - file names and folder names: whatever they are, what is read is put back as something that reads the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "store/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message(struct slice in)
{
	struct mname n, again;
	struct buf b;

	if (mname_parse(in, &n) != 0)
		return;
	buf_init(&b, 4096);
	n.has_size = true;
	if (mname_put(&n, &b) == 0) {
		assert(mname_parse(buf_view(&b), &again) == 0);
		assert(again.flags == n.flags && again.keywords == n.keywords && again.has_uid == n.has_uid && again.uid == n.uid);
		assert(again.uidvalidity == n.uidvalidity && slice_eq(again.stem, n.stem));
		assert(!n.has_size || again.size == n.size);
	}
	buf_done(&b);
}

static void folder(struct slice in)
{
	struct buf name, disk, again;
	struct err e;

	buf_init(&name, 4096);
	buf_init(&disk, 4096);
	buf_init(&again, 4096);
	if (folder_name_check(in, &name, &e) == 0 && folder_name_to_disk(buf_view(&name), &disk, &e) == 0 && disk.len > 0) {
		assert(slice_chr(buf_view(&disk), '/') < 0 && disk.p[0] == '.' && disk.len > 1 && disk.p[1] != '.');
		assert(folder_name_from_disk(buf_view(&disk), &again) == 0);
		assert(slice_eq(buf_view(&again), buf_view(&name)));
	}
	buf_reset(&again);
	if (folder_name_from_disk(in, &again) == 0) {
		buf_reset(&disk);
		if (folder_name_to_disk(buf_view(&again), &disk, &e) == 0 && disk.len > 0)
			assert(disk.p[0] == '.');
	}
	buf_done(&name);
	buf_done(&disk);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(data, size);

	message(in);
	folder(in);
	return 0;
}
