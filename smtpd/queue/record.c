/*
 * queue/record.c - see record.h.
 *
 *   0        4096                                       8192 ...
 *   | head   | record | pad | record | pad | zeros      | record ...
 *              one flush: begins at a block, so that no block with an acknowledged record in it is ever written again
 *
 *   head     "PHJRNL1\n", crc32c of the rest, in use, number, generation, size; the rest of the block is zero
 *   record   "PHRC", crc32c of the rest of these 80 octets, generation, offset, envelope length, flags, message length, crc32c of the octets
 *            that follow, 0, id; then envelope text, then the message
 *
 * The generation is drawn at random at each reuse: what an earlier use left behind never matches, and no message can hold octets that pass for a record.
 */
#include "queue/record.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"

static const char segment_magic[8] = { 'P', 'H', 'J', 'R', 'N', 'L', '1', '\n' };
static const char record_magic[4] = { 'P', 'H', 'R', 'C' };

enum { HEAD_CRC = 8, HEAD_USE = 12, HEAD_NUMBER = 16, HEAD_GENERATION = 24, HEAD_SIZE = 32, HEAD_END = 40 };
enum { REC_CRC = 4, REC_GENERATION = 8, REC_OFFSET = 16, REC_ENV_LEN = 24, REC_FLAGS = 28, REC_MSG_LEN = 32, REC_BODY_CRC = 40, REC_ID = 48 };
_Static_assert(REC_ID + QUEUE_ID_MAX <= RECORD_HEAD, "the id fits");

void segment_head_put(const struct segment_head *h, char out[SEGMENT_BLOCK])
{
	memset(out, 0, SEGMENT_BLOCK);
	memcpy(out, segment_magic, sizeof(segment_magic));
	num_put_le32(out + HEAD_USE, h->in_use);
	num_put_le64(out + HEAD_NUMBER, h->number);
	num_put_le64(out + HEAD_GENERATION, h->generation);
	num_put_le64(out + HEAD_SIZE, h->size);
	num_put_le32(out + HEAD_CRC, hash_crc32c(0, out + HEAD_USE, HEAD_END - HEAD_USE));
}

int segment_head_parse(struct slice block, struct segment_head *out)
{
	if (block.n < HEAD_END || memcmp(block.p, segment_magic, sizeof(segment_magic)) != 0)
		return -1;
	if (num_get_le32(block.p + HEAD_CRC) != hash_crc32c(0, block.p + HEAD_USE, HEAD_END - HEAD_USE))
		return -1;
	out->in_use = num_get_le32(block.p + HEAD_USE) != 0;
	out->number = num_get_le64(block.p + HEAD_NUMBER);
	out->generation = num_get_le64(block.p + HEAD_GENERATION);
	out->size = num_get_le64(block.p + HEAD_SIZE);
	return 0;
}

size_t record_padded(uint64_t length)
{
	return (size_t)((length + 7) & ~(uint64_t)7);
}

void record_put(struct buf *out, const char *id, struct slice envelope_text, const struct slice *pieces, size_t n_pieces, unsigned flags)
{
	char head[RECORD_HEAD] = { 0 };
	size_t start = out->len, msg_len = 0;

	assert(strlen(id) < QUEUE_ID_MAX && envelope_text.n <= LIMIT_RECORD_ENVELOPE);
	for (size_t i = 0; i < n_pieces; i++)
		msg_len += pieces[i].n;
	if (buf_room(out, RECORD_HEAD + envelope_text.n + msg_len) == NULL)
		assert(false && "the journal's buffers have no bound");
	buf_put(out, slice_mem(head, sizeof(head)));
	buf_put(out, envelope_text);
	for (size_t i = 0; i < n_pieces; i++)
		buf_put(out, pieces[i]);

	char *r = out->p + start;

	memcpy(r, record_magic, sizeof(record_magic));
	num_put_le32(r + REC_ENV_LEN, (uint32_t)envelope_text.n);
	num_put_le32(r + REC_FLAGS, flags);
	num_put_le64(r + REC_MSG_LEN, msg_len);
	num_put_le32(r + REC_BODY_CRC, hash_crc32c(0, r + RECORD_HEAD, envelope_text.n + msg_len));
	memcpy(r + REC_ID, id, strlen(id));
}

void record_seal(char *record, uint64_t generation, uint64_t offset)
{
	num_put_le64(record + REC_GENERATION, generation);
	num_put_le64(record + REC_OFFSET, offset);
	num_put_le32(record + REC_CRC, hash_crc32c(0, record + REC_GENERATION, RECORD_HEAD - REC_GENERATION));
}

static bool id_is_plain(const char id[QUEUE_ID_MAX])
{
	size_t n = 0;

	while (n < QUEUE_ID_MAX && ascii_is_alnum(id[n]))
		n++;
	return n > 0 && n < QUEUE_ID_MAX && id[n] == '\0';
}

enum record_found record_parse(struct slice octets, uint64_t generation, uint64_t offset, struct record *out)
{
	if (octets.n < RECORD_HEAD)
		return RECORD_NONE;

	const char *r = octets.p;
	uint64_t room = octets.n - RECORD_HEAD;
	uint64_t env_len = num_get_le32(r + REC_ENV_LEN), msg_len = num_get_le64(r + REC_MSG_LEN);

	if (memcmp(r, record_magic, sizeof(record_magic)) != 0 || num_get_le64(r + REC_GENERATION) != generation)
		return RECORD_NONE;
	if (num_get_le32(r + REC_CRC) != hash_crc32c(0, r + REC_GENERATION, RECORD_HEAD - REC_GENERATION) || num_get_le64(r + REC_OFFSET) != offset)
		return RECORD_DAMAGED;
	if (env_len > room || msg_len > room - env_len || !id_is_plain(r + REC_ID))
		return RECORD_DAMAGED;
	if (num_get_le32(r + REC_BODY_CRC) != hash_crc32c(0, r + RECORD_HEAD, (size_t)(env_len + msg_len)))
		return RECORD_DAMAGED;

	memcpy(out->id, r + REC_ID, QUEUE_ID_MAX);
	out->offset = offset;
	out->length = RECORD_HEAD + env_len + msg_len;
	out->flags = num_get_le32(r + REC_FLAGS);
	out->envelope_text = slice_mem(r + RECORD_HEAD, (size_t)env_len);
	out->message = out->flags & RECORD_IN_FILE ? SLICE_NONE : slice_mem(r + RECORD_HEAD + env_len, (size_t)msg_len);
	return RECORD_OK;
}

struct record_scan record_scan(struct slice segment, uint64_t generation, uint64_t from, void (*fn)(void *ctx, const struct record *r), void *ctx)
{
	struct record_scan s = { from < SEGMENT_BLOCK ? SEGMENT_BLOCK : from, 0, 0 };
	uint64_t at = s.end;
	unsigned bad = 0;
	struct record r;

	while (at < segment.n) {
		enum record_found found = record_parse(slice_from(segment, (size_t)at), generation, at, &r);

		if (found == RECORD_OK) {
			at += record_padded(r.length);
			s = (struct record_scan){ at, s.good + 1, s.damaged + bad };
			bad = 0;
			fn(ctx, &r);
			continue;
		}
		bad += found == RECORD_DAMAGED;
		at = (at / SEGMENT_BLOCK + 1) * SEGMENT_BLOCK;
	}
	return s;
}
