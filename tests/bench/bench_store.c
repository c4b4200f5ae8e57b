/*
 * tests/bench/bench_store.c - figures of the mailbox store: bench_store DIR [MESSAGES]. Prints one line a figure; DIR must not exist, and is left there.
 *
 * A large folder is made by writing the files (hard links of one message) and letting the store rebuild: that is the rebuild figure too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "store/mbox.h"

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->text);
	exit(1);
}

static char *message(size_t n)
{
	char *p = malloc(n + 1);
	int head = snprintf(p, n, "Received: from a (a [192.0.2.1]) by b\r\nFrom: A <a@office.test>\r\nTo: B <b@office.test>\r\nSubject: bench\r\n"
	    "Date: Sun, 22 Nov 2026 01:48:07 +0000\r\nMessage-ID: <1@office.test>\r\nContent-Type: text/plain\r\n\r\n");

	for (size_t i = (size_t)head; i < n; i++)
		p[i] = (i - (size_t)head) % 78 == 76 ? '\r' : (i - (size_t)head) % 78 == 77 ? '\n' : 'x';
	p[n] = '\0';
	return p;
}

static void bench_deliver(const char *dir, const struct box_options *opt, int n)
{
	struct arena *a = arena_new(0);
	struct box *b;
	struct mbox *m;
	struct err e;
	char *text = message(4096);
	const char *path;
	double t0, c0;

	if (box_open(&b, dir, true, opt, &e) != 0 || mbox_open(&m, b, SLICE("INBOX"), &e) != 0)
		die("open", &e);
	t0 = now_ms();
	c0 = cpu_ms();
	for (int i = 0; i < n; i++) {
		char id[32];
		struct delivery d = { .queue_id = id, .octets = { text, 4096 }, .internaldate = 1700000000 };

		snprintf(id, sizeof id, "B%d", i);
		if (box_deliver(b, SLICE("INBOX"), &d, a, &path, &e) != 0)
			die("deliver", &e);
		arena_reset(a);
	}
	printf("deliver 4 KiB, %d messages: %.0f/s, %.1f us CPU each\n", n, n / (now_ms() - t0) * 1e3, (cpu_ms() - c0) * 1e3 / n);
	mbox_close(&m);
	box_close(&b);
	arena_free(&a);
	free(text);
}

static void make_files(const char *dir, uint32_t uidvalidity, int n)
{
	char first[600], path[600], v[14], u[14];
	int fd;

	num_to_base36(uidvalidity, v);
	snprintf(first, sizeof first, "%s/tmp/one", dir);
	fd = open(first, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || write(fd, "Subject: x\r\n\r\nx\r\n", 17) != 17)
		exit(1);
	close(fd);
	for (int i = 1; i <= n; i++) {
		num_to_base36((uint64_t)i, u);
		snprintf(path, sizeof path, "%s/cur/1700000000.Q%d.mx.office.test,S=17,U=%s.%s:2,S", dir, i, v, u);
		if (i % 50000 == 0) {
			unlink(first);
			fd = open(first, O_WRONLY | O_CREAT, 0600);
			if (fd < 0 || write(fd, "Subject: x\r\n\r\nx\r\n", 17) != 17)
				exit(1);
			close(fd);
		}
		if (link(first, path) != 0) {
			perror(path);
			exit(1);
		}
	}
}

static double time_open(const char *dir, const struct box_options *opt, uint32_t *count_out)
{
	struct box *b;
	struct mbox *m;
	struct view *v;
	struct err e;
	double t0, t1;

	if (box_open(&b, dir, false, opt, &e) != 0)
		die("box", &e);
	t0 = now_ms();
	if (mbox_open(&m, b, SLICE("Archive"), &e) != 0)
		die("open", &e);
	v = view_open(m, false);
	*count_out = view_count(v);
	t1 = now_ms();
	view_close(&v);
	mbox_close(&m);
	box_close(&b);
	return t1 - t0;
}

static void bench_large(const char *dir, const struct box_options *opt, int n)
{
	char path[512];
	struct box *b;
	struct folder_status s;
	struct err e;
	uint32_t count;
	double t;

	if (box_open(&b, dir, true, opt, &e) != 0 || box_status(b, SLICE("Archive"), &s, &e) != 0)
		die("box", &e);
	box_close(&b);
	snprintf(path, sizeof path, "%s/.Archive/posthouse.folder", dir);
	{
		FILE *f = fopen(path, "w");

		fprintf(f, "posthouse-folder 1\nuidvalidity %u\nuid-reserved %d\nend\n", s.uidvalidity, n + 100);
		fclose(f);
	}
	snprintf(path, sizeof path, "%s/.Archive", dir);
	make_files(path, s.uidvalidity, n);
	snprintf(path, sizeof path, "%s/.Archive/posthouse.log", dir);
	unlink(path);
	t = time_open(dir, opt, &count);
	printf("rebuild of %u from nothing: %.0f ms\n", count, t);
	t = time_open(dir, opt, &count);
	for (int i = 0; i < 5; i++) {
		double again = time_open(dir, opt, &count);

		t = again < t ? again : t;
	}
	printf("open of %u, warm: %.2f ms\n", count, t);
	{
		struct arena *a = arena_new(0);
		struct delivery d = { .queue_id = "AFTER", .octets = SLICE("Subject: y\r\n\r\ny\r\n"), .internaldate = 1700000001 };
		const char *where;

		if (box_open(&b, dir, false, opt, &e) != 0 || box_deliver(b, SLICE("Archive"), &d, a, &where, &e) != 0)
			die("deliver", &e);
		box_close(&b);
		arena_free(&a);
	}
	printf("open right after a delivery: %.2f ms\n", time_open(dir, opt, &count));
	snprintf(path, sizeof path, "%s/.Archive/new/1700000002.foreign", dir);
	{
		FILE *f = fopen(path, "w");

		fputs("Subject: z\n\nz\n", f);
		fclose(f);
	}
	printf("open right after a foreign delivery: %.2f ms (%u messages)\n", time_open(dir, opt, &count), count);
}

int main(int argc, char **argv)
{
	struct box_options opt = { .special_folders = "Archive", .hostname = "mx.office.test" };
	int n = argc > 2 ? atoi(argv[2]) : 100000;
	char path[256];

	if (argc < 2)
		return 2;
	snprintf(path, sizeof path, "%s/u1", argv[1]);
	bench_deliver(path, &opt, 20000);
	snprintf(path, sizeof path, "%s/u2", argv[1]);
	bench_large(path, &opt, n);
	return 0;
}
