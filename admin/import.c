/*
 * admin/import.c - messages into a mailbox, each once.
 */
#include "admin/import.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "base/text.h"

#define MARK_NAME "posthouse.import"                                  /* there while an import runs: when the machine had started */
#define BOOT_JITTER_S 10                                              /* that time is computed from a clock that is being set */
#define DIGEST 16
#define TELL_MS 100

static const char here[] = "here", elsewhere[] = "elsewhere";

/* ---- what is there already ---- */

struct noting { struct hmap *to; const char *place; };

static void note_id(void *ctx, struct slice id)
{
	const struct noting *n = ctx;
	union { const char *in; void *out; } u = { n->place };

	(void)hmap_put(n->to, id, u.out);
}

static int note_folder(struct import *im, struct slice name, const char *place, struct err *e)
{
	struct noting n = { im->there, place };
	struct mbox *m;

	if (mbox_open(&m, im->x->b, name, e) != 0)
		return -1;
	mbox_each_id(m, note_id, &n);
	mbox_close(&m);
	return 0;
}

static int note_all(struct import *im, struct err *e)
{
	struct folder *list;
	size_t n;

	if (box_list(im->x->b, im->ids, &list, &n, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if ((list[i].attrs & FOLDER_NOSELECT) == 0 && note_folder(im, list[i].name, elsewhere, e) != 0)
			return -1;
	}
	return 0;
}

/* ---- the mark ---- */

static const char *mark_path(struct import *im)
{
	return arena_printf(im->ids, "%s/" MARK_NAME, buf_str(&im->x->dir));
}

static int set_mark(struct import *im, struct err *e)
{
	int64_t boot = clock_boot_s(), then;
	struct err why = ERR_INIT;
	struct buf text;
	int rc = 0;

	buf_init(&text, 64);
	if (file_read(mark_path(im), &text, &why) == 0)
		im->unclean = num_i64(slice_trim(buf_view(&text)), &then) != 0 || boot - then > BOOT_JITTER_S || then - boot > BOOT_JITTER_S;
	if (!im->unclean) {
		buf_reset(&text);
		buf_putf(&text, "%lld\n", (long long)boot);
		rc = file_replace(mark_path(im), buf_view(&text), 0600, e);
	}
	buf_done(&text);
	return rc;
}

int import_begin(struct import *im, struct import_box *x, bool dry, struct err *e)
{
	*im = (struct import){ .x = x, .dry = dry, .a = arena_new(0), .ids = arena_new(0), .there = hmap_new(), .is_tty = isatty(STDERR_FILENO) == 1 };
	if (x->b == NULL)
		return 0;
	return !dry && set_mark(im, e) != 0 ? -1 : note_all(im, e);
}

int import_end(struct import *im, struct err *e)
{
	int rc = 0;

	if (im->is_tty && im->told_ms != 0)
		fputs("\r\033[K", stderr);
	mbox_close(&im->m);
	if (!im->dry)
		rc = store_checkpoint(im->x->s->mail_directory, e);
	if (rc == 0 && !im->dry)
		(void)unlink(mark_path(im));
	hmap_free(&im->there);
	if (im->seen != NULL)
		hmap_free(&im->seen);
	arena_free(&im->a);
	arena_free(&im->ids);
	return rc;
}

static int open_folder(struct import *im, struct slice name, bool subscribe, struct err *e)
{
	struct err why = ERR_INIT;

	if (im->x->b == NULL)
		return 0;
	if (mbox_open(&im->m, im->x->b, name, &why) == 0)
		return 0;
	im->m = NULL;
	if (why.kind != ERR_NOTFOUND)
		return err_set(e, why.kind, why.sys, "%s", why.text);
	if (im->dry)
		return 0;
	if (box_create(im->x->b, name, 0, e) != 0 || (subscribe && box_subscribe(im->x->b, name, true, e) != 0))
		return -1;
	return mbox_open(&im->m, im->x->b, name, e);
}

int import_folder(struct import *im, struct slice name, bool subscribe, struct err *e)
{
	if (im->seen != NULL)
		hmap_free(&im->seen);
	im->seen = hmap_new();
	mbox_close(&im->m);
	im->uidnext = 0;
	if (open_folder(im, name, subscribe, e) != 0)
		return -1;
	im->folder = arena_str(im->ids, im->m == NULL ? name : mbox_name(im->m));
	return im->m == NULL ? 0 : note_folder(im, name, here, e);
}

int import_keep_uids(struct import *im, uint32_t uidvalidity, uint32_t uidnext, struct err *e)
{
	bool taken = false;

	im->uidnext = 0;
	if (im->m == NULL || im->dry || uidvalidity == 0 || uidnext == 0)
		return 0;
	if (mbox_take_over(im->m, uidvalidity, &taken, e) != 0)
		return -1;
	if (taken)
		im->uidnext = uidnext;
	return 0;
}

/* A UID that was given away here already would name another message to who knows the old server: then one that the old server never gave. */
static uint32_t uid_for(const struct import *im, uint32_t uid)
{
	if (im->uidnext == 0)
		return 0;
	return uid != 0 && uid >= mbox_uidnext(im->m) ? uid : im->uidnext;
}

/* ---- one message ---- */

/* Digest of folder and octets, and a number from the second equal message on: what may be in a file's name. */
static int id_of(struct import *im, struct slice octets, bool counted, const char **id_out, struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct slice folder = slice_of(im->folder);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned *count;
	struct buf hex;
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(ctx, folder.p, folder.n) == 1 &&
	          EVP_DigestUpdate(ctx, "", 1) == 1 && EVP_DigestUpdate(ctx, octets.p, octets.n) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok)
		return err_set(e, ERR_TEMP, 0, "no SHA-256 from OpenSSL");
	buf_init(&hex, BUF_UNBOUNDED);
	text_hex(slice_mem(digest, DIGEST), &hex);
	if (!counted) {
		*id_out = arena_printf(im->a, "S%s", buf_str(&hex));
		buf_done(&hex);
		return 0;
	}
	count = hmap_get(im->seen, buf_view(&hex));
	if (count == NULL) {
		count = arena_alloc(im->ids, sizeof *count);
		(void)hmap_put(im->seen, buf_view(&hex), count);
	}
	*id_out = *count == 0 ? arena_printf(im->a, "I%s", buf_str(&hex)) : arena_printf(im->a, "I%s-%u", buf_str(&hex), *count);
	++*count;
	buf_done(&hex);
	return 0;
}

/* A folder holds so many keywords and no more; the message is worth more than its labels. */
static int deliver(struct import *im, struct delivery *d, const char **path_out, struct err *e)
{
	int rc = box_deliver(im->x->b, mbox_name(im->m), d, im->a, path_out, e);

	if (rc == 0 || d->n_keywords == 0 || (e->kind != ERR_LIMIT && e->kind != ERR_SYNTAX))
		return rc;
	d->n_keywords = 0;
	rc = box_deliver(im->x->b, mbox_name(im->m), d, im->a, path_out, e);
	im->without_keywords += rc == 0;
	return rc;
}

int import_has(struct import *im, struct slice what, const char **id_out, bool *has_out, struct err *e)
{
	const char *place;

	arena_reset(im->a);
	if (id_of(im, what, false, id_out, e) != 0)
		return -1;
	place = hmap_get(im->there, slice_of(*id_out));
	*has_out = place != NULL && (!im->unclean || place != here);
	im->had += *has_out;
	return 0;
}

static int import_new(struct import *im, const struct import_message *msg, const char *id, const char *place, struct err *e)
{
	struct delivery d = {
		.queue_id = id, .octets = msg->octets.n > 0 ? msg->octets : SLICE("\r\n"), .internaldate = msg->date,
		.flags = msg->flags, .keywords = msg->keywords, .n_keywords = msg->n_keywords, .maybe_again = !im->unclean, .uid = uid_for(im, msg->uid),
	};
	const char *path = NULL;

	if (im->unclean && place == here)                             /* a power cut may have torn it: the file decides */
		d.maybe_again = d.unclean = true;
	if (deliver(im, &d, &path, e) != 0)
		return -1;
	*(path != NULL ? &im->added : &im->had) += 1;
	return 0;
}

int import_one(struct import *im, const struct import_message *msg, struct err *e)
{
	const char *id = msg->id, *place;

	if (id == NULL) {
		arena_reset(im->a);
		if (id_of(im, msg->octets.n > 0 ? msg->octets : SLICE("\r\n"), true, &id, e) != 0)
			return -1;
	}
	place = hmap_get(im->there, slice_of(id));
	if (!im->dry && (place == NULL || (im->unclean && place == here)))
		return import_new(im, msg, id, place, e);
	*(place == NULL ? &im->added : &im->had) += 1;
	return 0;
}

void import_progress(struct import *im, const char *source, size_t done, size_t whole)
{
	int64_t now = im->is_tty ? clock_mono_ms() : 0;

	if (!im->is_tty || (im->told_ms != 0 && now - im->told_ms < TELL_MS))
		return;
	im->told_ms = now;
	fprintf(stderr, "\r\033[K%s: %3u%%, %llu messages", source, whole == 0 ? 100u : (unsigned)((double)done * 100 / (double)whole),
	    (unsigned long long)(im->added + im->had));
}
