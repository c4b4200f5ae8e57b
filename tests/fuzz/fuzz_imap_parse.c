/* Any octets as commands: reader and tokenizer take them or say why not, and always get on. */
#include <stdint.h>
#include <stdlib.h>

#include "imapd/parse.h"
#include "imapd/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tokens(struct slice command)
{
	struct arena *a = arena_new(0);
	struct imap_text t;
	struct imap_flags flags;
	struct imap_set set;
	struct slice s;
	int64_t when;

	imap_text_init(&t, command, a);
	while (t.rest.n > 0) {
		size_t before = t.rest.n;

		if (imap_set(&t, &set) == 0)
			imap_set_resolve(&set, 100);
		if (imap_flags(&t, false, &flags) == 0 || imap_date_time(&t, &when) == 0 || imap_date(&t, &when) == 0 || imap_open(&t) == 0 ||
		    imap_close(&t) == 0 || imap_nstring(&t, &s) == 0 || imap_list_mailbox(&t, &s) == 0 || imap_space(&t) == 0)
			continue;
		if (t.why == NULL || t.rest.n > before)
			abort();
		t.rest = slice_from(t.rest, 1);
	}
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(data, size), command;
	struct imap_reader r;
	struct buf out;

	imap_reader_init(&r, &imap_caps_login);
	buf_init(&out, BUF_UNBOUNDED);
	for (;;) {
		size_t used;
		enum imap_read got = imap_reader_input(&r, in, &used, &command, &out);

		if (used > in.n)
			abort();
		in = slice_from(in, used);
		if (got == IMAP_READ_COMMAND)
			tokens(command);
		else if (got != IMAP_READ_BAD)
			break;
	}
	imap_reader_done(&r);
	buf_done(&out);
	return 0;
}
