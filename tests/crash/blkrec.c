/*
 * tests/crash/blkrec.c - a recording disk: a FUSE folder with a file `disk` for a loop device to stand on.
 *
 *	blkrec LIVE LOG MOUNTPOINT        (in the foreground, until unmounted)
 *
 * disk   reads and writes LIVE; every write and every flush is appended to LOG, in the order in which they came
 * mark   what is written here is appended to LOG as well: a client's "ACK 17" stands in the same order as the disk's writes
 * fail   write 1: the next flush fails with EIO; write +: all of them from now on; write 0: they work again
 *
 * LOG is a sequence of records: type (one octet, W F or M), offset (8), length (4), both little-endian, then the octets.
 * So a crash image for the moment of record n is: the base, plus all writes before the last F before n, plus any part of the writes after it.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct { int live, log; char failing; } disk;                       /* FUSE callbacks have no other place for it */

static int is(const char *path, const char *name)
{
	return strcmp(path + 1, name) == 0;
}

static int append(char type, uint64_t offset, const void *p, size_t n)
{
	unsigned char head[13];

	head[0] = (unsigned char)type;
	for (int i = 0; i < 8; i++)
		head[1 + i] = (unsigned char)(offset >> (8 * i));
	for (int i = 0; i < 4; i++)
		head[9 + i] = (unsigned char)(n >> (8 * i));
	if (write(disk.log, head, sizeof(head)) != (ssize_t)sizeof(head) || (n > 0 && write(disk.log, p, n) != (ssize_t)n))
		return -EIO;
	return 0;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0755;
		return 0;
	}
	if (is(path, "mark") || is(path, "fail")) {
		st->st_mode = S_IFREG | 0622;
		return 0;
	}
	if (!is(path, "disk"))
		return -ENOENT;
	if (fstat(disk.live, st) < 0)
		return -errno;
	st->st_mode = S_IFREG | 0600;
	return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
	if (is(path, "mark") || is(path, "fail"))
		fi->direct_io = 1;
	return 0;
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)size;
	(void)fi;
	return is(path, "disk") ? -EPERM : 0;
}

static int on_read(const char *path, char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	ssize_t got;

	(void)fi;
	if (!is(path, "disk"))
		return 0;
	got = pread(disk.live, p, n, at);
	return got < 0 ? -errno : (int)got;
}

static int on_write(const char *path, const char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	(void)fi;
	if (is(path, "fail")) {
		disk.failing = n > 0 ? p[0] : '0';
		return (int)n;
	}
	if (is(path, "mark"))
		return append('M', 0, p, n) < 0 ? -EIO : (int)n;
	if (pwrite(disk.live, p, n, at) != (ssize_t)n)
		return -EIO;
	return append('W', (uint64_t)at, p, n) < 0 ? -EIO : (int)n;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)data_only;
	(void)fi;
	if (!is(path, "disk"))
		return 0;
	if (disk.failing == '1' || disk.failing == '+') {
		disk.failing = disk.failing == '+' ? '+' : '0';
		return -EIO;
	}
	return append('F', 0, NULL, 0);
}

static const struct fuse_operations operations = {
	.getattr = on_getattr, .open = on_open, .truncate = on_truncate, .read = on_read, .write = on_write, .fsync = on_fsync,
};

int main(int argc, char **argv)
{
	static char foreground[] = "-f", single[] = "-s", option[] = "-o", allow[] = "allow_root";
	char *fuse_argv[] = { argv[0], foreground, single, option, allow, NULL, NULL };

	if (argc != 4) {
		fputs("usage: blkrec LIVE LOG MOUNTPOINT\n", stderr);
		return 2;
	}
	disk.live = open(argv[1], O_RDWR | O_CLOEXEC);
	disk.log = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (disk.live < 0 || disk.log < 0) {
		perror("blkrec");
		return 1;
	}
	fuse_argv[5] = argv[3];
	return fuse_main(6, fuse_argv, &operations, NULL);
}
