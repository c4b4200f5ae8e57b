/*
 * A text too large for memory where its image can't be written: a confined process reads the text, and takes the image as soon as somebody has made it.
 * The process is a real one, under Landlock as smtpd's front is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "map/map.h"
#include "serve/sandbox.h"

#define N_KEYS 40000

static char dir[] = "/tmp/test_map_image.XXXXXX";
static char path[64], image[64];

static void put_text(const char *value, const char *last_line)
{
	struct buf b;
	struct err e = ERR_INIT;

	buf_init(&b, BUF_UNBOUNDED);
	for (unsigned i = 0; i < N_KEYS; i++)
		buf_putf(&b, "key%05u@domain.example\t%s\n", i, value);
	buf_puts(&b, last_line);
	assert_true(b.len > MAP_MEMORY_MAX);
	assert_int_equal(file_replace(path, buf_view(&b), 0644, &e), 0);
	buf_done(&b);
}

/* Answers each octet on `in` with one line on `out`: "VALUE WHERE WARNING". */
static void reader(int in, int out)
{
	const char *read_paths[] = { dir, NULL }, *write_paths[] = { NULL };
	const struct sandbox sb = { .read_paths = read_paths, .write_paths = write_paths };
	struct arena *a = arena_new(0);
	struct map *m = NULL;
	struct err e = ERR_INIT;
	struct slice value;
	char c;

	if (sandbox_enter(&sb, &e) != 0 || map_open(&m, path, &e) != 0) {
		dprintf(out, "can't open: %s\n", e.text);
		_exit(1);
	}
	while (read(in, &c, 1) == 1) {
		if (map_refresh(m, &e) != 0 || map_get(m, SLICE("KEY00041@domain.example"), a, &value, &e) != 1)
			value = SLICE("nothing");
		dprintf(out, "%.*s %s %s\n", SLICE_FMT(value), map_where(m), map_warning(m));
	}
	map_close(&m);
	arena_free(&a);
	_exit(0);
}

static void expect(int to, FILE *from, const char *want)
{
	char line[400];

	assert_int_equal(write(to, "?", 1), 1);
	assert_non_null(fgets(line, sizeof(line), from));
	if (strncmp(line, want, strlen(want)) != 0)
		fail_msg("the confined reader says \"%s\", not \"%s\"", line, want);
}

static void test_confined(void **state)
{
	int to[2], from[2], status = 0;
	struct err e = ERR_INIT;
	struct stat st;
	pid_t pid;
	FILE *f;

	(void)state;
	put_text("one", "");
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(to[1]);
		reader(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	f = fdopen(from[0], "r");
	assert_non_null(f);
	expect(to[1], f, "one map:42 ");
	assert_int_not_equal(stat(image, &st), 0);                        /* it could not write one, and did not need to */
	put_text("two", "");
	expect(to[1], f, "two map:42 ");
	usleep(20000);                                                    /* file times move in steps */
	assert_int_equal(map_compile(path, MAP_TEXT_TABLE, image, MAP_DB_HASH, &e), 0);
	expect(to[1], f, "two map.db ");                                  /* the image is there: memory is given back */
	put_text("three", "no-value\n");
	expect(to[1], f, "two map.db ");                                  /* broken: the last good one answers ... */
	expect(to[1], f, "two map.db /tmp/test_map_image.");              /* ... and the warning names file and line */
	put_text("four", "");
	expect(to[1], f, "four map:42 ");
	close(to[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fclose(f);
}

/* Who may write makes the image itself. */
static void test_unconfined(void **state)
{
	struct map *m;
	struct arena *a = arena_new(0);
	struct slice value;
	struct err e = ERR_INIT;
	struct stat st;

	(void)state;
	put_text("five", "");
	assert_int_equal(map_open(&m, path, &e), 0);
	assert_int_equal(stat(image, &st), 0);
	assert_int_equal(map_get(m, SLICE("key00000@domain.example"), a, &value, &e), 1);
	assert_true(slice_eqs(value, "five"));
	assert_string_equal(map_where(m), "map.db");
	map_close(&m);
	arena_free(&a);
}

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/map", dir);
	snprintf(image, sizeof(image), "%s/map.db", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(image);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_confined), cmocka_unit_test(test_unconfined) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
