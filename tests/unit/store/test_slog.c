/*
 * tests/unit/store/test_slog.c - log and cache files: an octet at a time, each bit flipped, each length.
 */
#include "store_env.h"

#include <fcntl.h>

#include "store/scache.h"
#include "store/slog.h"

static int collect(void *ctx, struct slice payload, uint64_t at)
{
	struct buf *b = ctx;

	(void)at;
	buf_put(b, payload);
	buf_putc(b, ';');
	return 0;
}

static struct slice image(struct buf *b)
{
	slog_header_put(77, 5, 9, b);
	slog_record_put(SLICE("first"), 77, b->len, b);
	slog_record_put(SLICE("second one"), 77, b->len, b);
	return buf_view(b);
}

/* What slog_read makes of these octets in a file. */
static void read_back(struct env *v, struct slice octets, struct buf *out, bool *bad)
{
	char path[256];
	struct shelf *h;
	struct slog l;
	int fd;

	snprintf(path, sizeof path, "%s/log", v->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, octets.p, octets.n), octets.n);
	close(fd);
	OK(v, store_shelf_open(store_local(), v->dir, false, &h, &v->e));
	slog_init(&l);
	buf_reset(out);
	*bad = true;
	OK(v, slog_open(&l, h, "log", false, &v->e));
	if (l.id != 0)
		OK(v, slog_read(&l, collect, out, bad, &v->e));
	slog_close(&l);
	store_shelf_close(&h);
}

static void test_every_length(void **state)
{
	struct buf b, out;
	struct slice all;
	bool bad;

	buf_init(&b, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	all = image(&b);
	for (size_t n = 0; n <= all.n; n++) {
		const char *want = n < SLOG_HEADER + 16 ? "" : n < all.n ? "first;" : "first;second one;";

		read_back(*state, slice_head(all, n), &out, &bad);
		assert_string_equal(buf_str(&out), want);
		assert_int_equal(bad, n != SLOG_HEADER && n != SLOG_HEADER + 16 && n != all.n);
	}
	buf_done(&b);
	buf_done(&out);
}

static void test_every_bit(void **state)
{
	struct buf b, out;
	struct slice all;
	bool bad;

	buf_init(&b, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	all = image(&b);
	for (size_t bit = 0; bit < all.n * 8; bit++) {
		bool padding = (bit / 8 >= SLOG_HEADER + 13 && bit / 8 < SLOG_HEADER + 16) || bit / 8 >= all.n - 6;

		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
		read_back(*state, all, &out, &bad);
		if (!padding)
			assert_true(bad);
		assert_true(out.len == 0 || strncmp(buf_str(&out), "first;", 6) == 0);
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
	}
	buf_done(&b);
	buf_done(&out);
}

/* A record of another file, or moved within its own, is none. */
static void test_moved(void **state)
{
	struct slice payload;
	struct buf b;
	size_t used;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	slog_record_put(SLICE("x"), 77, 64, &b);
	assert_int_equal(slog_record_parse(buf_view(&b), 77, 64, &payload, &used), SLOG_RECORD);
	assert_int_equal(slog_record_parse(buf_view(&b), 77, 80, &payload, &used), SLOG_BAD);
	assert_int_equal(slog_record_parse(buf_view(&b), 78, 64, &payload, &used), SLOG_BAD);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(slog_record_parse(slice_head(buf_view(&b), n), 77, 64, &payload, &used), SLOG_SHORT);
	buf_done(&b);
}

static void test_cache(void **state)
{
	struct env *v = *state;
	struct slice in[SCACHE_TEXTS] = { SLICE("envelope"), SLICE(""), SLICE("body"), SLICE("headers"), SLICE("") }, out[SCACHE_TEXTS];
	char path[256], whole[200];
	struct shelf *h;
	struct scache c;
	uint64_t at, second;
	ssize_t n;
	int fd;

	OK(v, store_shelf_open(store_local(), v->dir, false, &h, &v->e));
	scache_init(&c);
	OK(v, scache_append(&c, h, 5, 7, in, &at, &v->e));
	OK(v, scache_append(&c, h, 5, 8, in, &second, &v->e));
	assert_true(at != 0 && second > at);
	assert_int_equal(scache_get(&c, h, at, 5, 7, v->a, out), 0);
	assert_true(slice_eqs(out[3], "headers"));
	assert_int_equal(scache_get(&c, h, at, 5, 8, v->a, out), -1);
	assert_int_equal(scache_get(&c, h, at + 1, 5, 7, v->a, out), -1);
	assert_int_equal(scache_get(&c, h, 1u << 30, 5, 7, v->a, out), -1);
	scache_close(&c);
	snprintf(path, sizeof path, "%s/" SCACHE_NAME, v->dir);
	fd = open(path, O_RDONLY);
	n = pread(fd, whole, sizeof whole, (off_t)at);
	close(fd);
	assert_true(n > (ssize_t)(second - at));
	n = (ssize_t)(second - at);
	for (ssize_t bit = 0; bit < n * 8; bit++) {
		whole[bit / 8] = (char)(whole[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(scache_parse(slice_mem(whole, (size_t)n), 5, 7, out), -1);
		whole[bit / 8] = (char)(whole[bit / 8] ^ 1 << bit % 8);
	}
	for (ssize_t len = 0; len < n; len++)
		assert_int_equal(scache_parse(slice_mem(whole, (size_t)len), 5, 7, out), -1);
	store_shelf_close(&h);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = { T(test_every_length), T(test_every_bit), T(test_moved), T(test_cache) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
