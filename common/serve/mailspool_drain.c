/*
 * serve/mailspool_drain.c - see the header.
 */
#include "serve/mailspool_drain.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/text.h"
#include "store/mboxfile.h"

enum { NONCE_OCTETS = 16, DIGEST_OCTETS = 32, ID_OCTETS = 16, BOOT_JITTER_S = 10, STATE_MAX = 1024 };

struct run {
	char nonce[2 * NONCE_OCTETS + 1];
	int64_t boot;
	uint64_t drained;                                             /* 0: not yet */
	char digest[2 * DIGEST_OCTETS + 1];
};

struct drain {
	struct box *b;
	struct arena *a;                                              /* of one message */
	struct arena *ids;
	struct hmap *seen;                                            /* id to how often */
	struct run run;
	const char *state_path;
	struct slice file;
	struct buf octets;
	bool again, unclean;
	unsigned n;
};

/* ---- posthouse.spool ---- */

static int take_word(struct slice text, char *out, size_t n)
{
	if (text.n != n)
		return -1;
	for (size_t i = 0; i < n; i++)
		out[i] = text.p[i];
	out[n] = '\0';
	return 0;
}

static int read_run(struct slice text, struct run *r)
{
	struct slice line, word;
	bool ended = false, started = false;

	*r = (struct run){ .boot = 0 };
	while (slice_next(&text, '\n', &line) && slice_word(&line, &word)) {
		if (slice_eqs(word, "run")) {
			started = slice_word(&line, &word) && take_word(word, r->nonce, 2 * NONCE_OCTETS) == 0 && num_i64(slice_trim(line), &r->boot) == 0;
		} else if (slice_eqs(word, "drained")) {
			if (!slice_word(&line, &word) || num_u64(word, UINT64_MAX, &r->drained) != 0 || take_word(slice_trim(line), r->digest, 2 * DIGEST_OCTETS) != 0)
				return -1;
		} else {
			ended = slice_eqs(word, "end");
		}
	}
	return started && ended ? 0 : -1;
}

static int save_run(struct drain *d, struct err *e)
{
	struct buf text;
	int rc;

	buf_init(&text, STATE_MAX);
	buf_putf(&text, "run %s %lld\n", d->run.nonce, (long long)d->run.boot);
	if (d->run.drained > 0)
		buf_putf(&text, "drained %llu %s\n", (unsigned long long)d->run.drained, d->run.digest);
	buf_puts(&text, "end\n");
	rc = file_replace(d->state_path, buf_view(&text), 0600, e);
	buf_done(&text);
	return rc;
}

static int digest_of(struct slice octets, char out[2 * DIGEST_OCTETS + 1], struct err *e)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	struct buf hex;

	if (EVP_Digest(octets.p, octets.n, md, NULL, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_TEMP, 0, "no SHA-256 from OpenSSL");
	buf_init(&hex, BUF_UNBOUNDED);
	text_hex(slice_mem(md, DIGEST_OCTETS), &hex);
	(void)take_word(buf_view(&hex), out, 2 * DIGEST_OCTETS);
	buf_done(&hex);
	return 0;
}

static int begin_run(struct drain *d, struct err *e)
{
	char random[NONCE_OCTETS];
	struct buf hex;

	text_random(random, sizeof random);
	buf_init(&hex, BUF_UNBOUNDED);
	text_hex(slice_mem(random, sizeof random), &hex);
	d->run = (struct run){ .boot = clock_boot_s() };
	(void)take_word(buf_view(&hex), d->run.nonce, 2 * NONCE_OCTETS);
	buf_done(&hex);
	return save_run(d, e);
}

/* Is what lies in the file what the run in posthouse.spool was about? */
static int is_same_run(struct drain *d, bool *out, struct err *e)
{
	char now[2 * DIGEST_OCTETS + 1];

	*out = d->run.drained <= d->file.n;
	if (!*out || d->run.drained == 0)
		return 0;
	if (digest_of(slice_head(d->file, (size_t)d->run.drained), now, e) != 0)
		return -1;
	*out = slice_eqs(slice_of(now), d->run.digest);
	return 0;
}

static int load_run(struct drain *d, struct err *e)
{
	int64_t boot = clock_boot_s();
	struct err why = ERR_INIT;
	struct buf text;
	bool same = false;
	int rc = 0;

	buf_init(&text, STATE_MAX);
	if (file_read(d->state_path, &text, &why) == 0) {
		if (read_run(buf_view(&text), &d->run) == 0)
			rc = is_same_run(d, &same, e);
	} else if (why.kind != ERR_NOTFOUND) {
		rc = err_set(e, why.kind, why.sys, "%s", why.text);
	}
	buf_done(&text);
	if (rc != 0)
		return -1;
	if (!same)
		return begin_run(d, e);
	d->again = true;
	d->unclean = boot - d->run.boot > BOOT_JITTER_S || d->run.boot - boot > BOOT_JITTER_S;
	return 0;
}

/* ---- messages ---- */

/* Of nonce, sender, date and octets; a number from the second equal one on. Status fields are not in it: mail programs rewrite them. */
static const char *id_of(struct drain *d, const struct mboxfile_message *raw, struct err *e)
{
	char hex[2 * DIGEST_OCTETS + 1];
	struct buf text;
	unsigned *count;
	int rc;

	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&text, "%s %lld ", d->run.nonce, (long long)raw->date);
	buf_put(&text, raw->sender);
	buf_putc(&text, '\n');
	buf_put(&text, buf_view(&d->octets));
	rc = digest_of(buf_view(&text), hex, e);
	buf_done(&text);
	if (rc != 0)
		return NULL;
	hex[2 * ID_OCTETS] = '\0';
	count = hmap_get(d->seen, slice_of(hex));
	if (count == NULL) {
		count = arena_alloc(d->ids, sizeof *count);
		*count = 0;
		(void)hmap_put(d->seen, arena_dup(d->ids, slice_of(hex)), count);
	}
	return *count == 0 ? (++*count, arena_printf(d->a, "M%s", hex)) : arena_printf(d->a, "M%s-%u", hex, (*count)++);
}

static int deliver_one(struct drain *d, const struct mboxfile_message *raw, bool first, struct err *e)
{
	struct mboxfile_marks marks;
	struct delivery del;
	const char *path = NULL, *id;
	int rc;

	arena_reset(d->a);
	buf_reset(&d->octets);
	mboxfile_clean(raw->raw, &marks, &d->octets);
	if (first && marks.is_internal)
		return 0;
	id = id_of(d, raw, e);
	if (id == NULL)
		return -1;
	del = (struct delivery){ .queue_id = id, .octets = d->octets.len > 0 ? buf_view(&d->octets) : SLICE("\r\n"), .internaldate = raw->date,
	                         .maybe_again = d->again, .unclean = d->unclean, .flags = marks.flags, .keywords = marks.keywords, .n_keywords = marks.n_keywords };
	rc = box_deliver(d->b, SLICE("INBOX"), &del, d->a, &path, e);
	if (rc != 0 && del.n_keywords > 0 && (e->kind == ERR_LIMIT || e->kind == ERR_SYNTAX)) {      /* more keywords than a folder holds: without */
		del.n_keywords = 0;
		rc = box_deliver(d->b, SLICE("INBOX"), &del, d->a, &path, e);
	}
	d->n += rc == 0 && path != NULL;
	return rc;
}

static int deliver_all(struct drain *d, struct err *e)
{
	struct mboxfile_message raw;
	bool first = true;
	size_t at = 0;
	int rc;

	while ((rc = mboxfile_next(d->file, &at, &raw)) > 0) {
		if (deliver_one(d, &raw, first, e) != 0)
			return err_context(e, "message at octet %zu", raw.at);
		first = false;
	}
	return rc;
}

/* Nothing is begun that can't be ended: it begins with a From line, and all of it fits. */
static int look_first(struct drain *d, struct err *e)
{
	struct mboxfile_message raw;
	struct box_room room;
	size_t at = 0;

	if (mboxfile_next(d->file, &at, &raw) < 0)
		return err_set(e, ERR_SYNTAX, 0, "it does not begin with a line 'From SENDER DATE': it is no mbox");
	if (box_room(d->b, d->file.n, &room, e) != 0)
		return -1;
	return room.fits ? 0 : err_set(e, ERR_LIMIT, 0, "the mailbox has no room for its %zu octets", d->file.n);
}

/* What another program appended without asking for the locks stays: the next drain finds it. */
static int empty(struct drain *d, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != d->file.n)
		return err_set(e, ERR_TEMP, 0, "it has grown although it was locked");
	if (ftruncate(fd, 0) != 0 || fsync(fd) != 0)
		return err_set(e, err_kind_of(errno), errno, "emptying it");
	if (unlink(d->state_path) != 0 && errno != ENOENT)
		return err_set(e, err_kind_of(errno), errno, "%s", d->state_path);
	return 0;
}

static int drain(struct drain *d, int fd, const char *box_dir, struct err *e)
{
	/* A run that was broken off has its room already, or finds out where it ends. */
	if (load_run(d, e) != 0 || (!d->again && look_first(d, e) != 0))
		return -1;
	if (deliver_all(d, e) != 0 || store_checkpoint(box_dir, e) != 0)
		return -1;
	d->run.drained = d->file.n;
	if (digest_of(d->file, d->run.digest, e) != 0 || save_run(d, e) != 0)
		return -1;
	return empty(d, fd, e);
}

int mailspool_drain(int fd, struct box *b, const char *box_dir, unsigned *n_out, struct err *e)
{
	struct drain d = { .b = b, .a = arena_new(0), .ids = arena_new(0), .seen = hmap_new() };
	struct stat st;
	void *map = NULL;
	int rc = 0;

	*n_out = 0;
	d.state_path = arena_printf(d.ids, "%s/posthouse.spool", box_dir);
	buf_init(&d.octets, BUF_UNBOUNDED);
	if (fstat(fd, &st) != 0)
		rc = err_set(e, err_kind_of(errno), errno, "the spool file");
	else if (st.st_size > 0 && (map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		rc = err_set(e, ERR_TEMP, errno, "reading the spool file");
	else if (st.st_size == 0)
		(void)unlink(d.state_path);
	if (rc == 0 && st.st_size > 0) {
		d.file = slice_mem(map, (size_t)st.st_size);
		rc = drain(&d, fd, box_dir, e);
		munmap(map, (size_t)st.st_size);
	}
	*n_out = d.n;
	buf_done(&d.octets);
	hmap_free(&d.seen);
	arena_free(&d.ids);
	arena_free(&d.a);
	return rc;
}
