/*
 * A hostile server: its octets against the whole client dialogue, in pieces whose size the first octet chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "client/dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void play(struct dialogue *d, struct dialogue_mail *mail, struct slice in, size_t step, struct buf *out)
{
	size_t given = 0;
	bool begun = false;

	while (given < in.n) {
		struct slice part;
		enum dialogue_want want = DIALOGUE_INPUT;
		size_t used = 1;

		given = given + step > in.n ? in.n : given + step;
		part = slice_head(in, given);
		while (used > 0 && part.n > 0) {
			want = dialogue_input(d, part, &used, out);
			if (used > part.n)
				abort();
			part = slice_from(part, used);
			in = slice_from(in, used);
			given -= used;
			if (want == DIALOGUE_TLS)
				want = dialogue_tls_done(d, out);
			if (want == DIALOGUE_READY && !begun) {
				begun = true;
				want = dialogue_begin(d, mail, out);
			}
			if (want == DIALOGUE_BODY)
				want = dialogue_body_sent(d);
			if (want == DIALOGUE_CLOSE)
				return;
		}
		if (out->len > (1u << 20))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qjob_rcpt job_rcpts[2] = { { .address = SLICE("b@x.test"), .notify = NOTIFY_SUCCESS }, { .index = 1, .address = SLICE("c@x.test") } };
	struct dialogue_rcpt *rcpts = calloc(2, sizeof(*rcpts));
	struct qjob job = { .sender = SLICE("a@x.test"), .size = 100, .n_rcpts = 2 };
	struct dialogue_mail mail = { &job, rcpts, 2, false, false };
	struct dialogue d;
	struct buf out;

	if (size > 0 && rcpts != NULL) {
		rcpts[0].rcpt = &job_rcpts[0];
		rcpts[1].rcpt = &job_rcpts[1];
		buf_init(&out, BUF_UNBOUNDED);
		dialogue_init(&d, "me.test", "mx[192.0.2.1]:25", (data[0] & 1) != 0, (data[0] & 2) != 0, (data[0] & 4) != 0);
		play(&d, &mail, slice_mem(data + 1, size - 1), (size_t)(data[0] >> 3) + 1, &out);
		dialogue_lost(&d, "4.4.2", "over");
		if (rcpts[0].settled && strlen(rcpts[0].dsn) < 5)
			abort();
		dialogue_done(&d);
		buf_done(&out);
	}
	free(rcpts);
	return 0;
}
