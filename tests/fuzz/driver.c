/*
 * tests/fuzz/driver.c - replays files, and all files of folders, through one fuzz target, where there is no libFuzzer (make check).
 * Each input lies in memory of its own size, so that a sanitizer sees a read behind its end. Prints the number of inputs.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define INPUT_MAX (64u << 20)

static unsigned long inputs;

static int replay(const char *path, const struct stat *st UNUSED, int flag, struct FTW *ftw UNUSED)
{
	struct err e = ERR_INIT;
	struct buf whole;
	uint8_t *copy;

	if (flag != FTW_F)
		return 0;
	buf_init(&whole, INPUT_MAX);
	if (file_read(path, &whole, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	copy = malloc(whole.len > 0 ? whole.len : 1);
	if (copy == NULL)
		abort();
	memcpy(copy, buf_str(&whole), whole.len);
	fflush(stdout);
	LLVMFuzzerTestOneInput(copy, whole.len);
	inputs++;
	free(copy);
	buf_done(&whole);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (nftw(argv[i], replay, 16, FTW_PHYS) < 0) {
			perror(argv[i]);
			return 1;
		}
	printf("%lu inputs\n", inputs);
	return inputs == 0;
}
