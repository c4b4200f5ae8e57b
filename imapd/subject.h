/*
 * imapd/subject.h - the base subject (RFC 5256 2.1): what is left of a subject without "Re:", "[list]", "(fwd)" and their like.
 */
#ifndef IMAPD_SUBJECT_H
#define IMAPD_SUBJECT_H

#include "base/arena.h"
#include "base/slice.h"

/* decoded: UTF-8, without encoded words. The result is in the arena; *is_reply_out: something said reply or forward. */
struct slice subject_base(struct slice decoded, struct arena *a, bool *is_reply_out);

#endif
