/*
 * imapd/names.c - mailbox names on the wire, and LIST's patterns.
 */
#include <string.h>

#include "base/limits.h"
#include "imapd/imap.h"
#include "mail/mime.h"

int imap_mailbox_utf8(struct slice utf7, struct arena *a, struct slice *utf8_out)
{
	struct buf b;
	int bad;

	buf_init(&b, 4 * LIMIT_FOLDER_NAME);
	bad = utf7_to_utf8(utf7, &b);
	if (bad == 0) {
		struct slice name = arena_dup(a, buf_view(&b));

		while (name.n > 1 && name.p[name.n - 1] == '/')       /* clients that think of folders as directories */
			name.n--;
		*utf8_out = slice_ieqs(name, "INBOX") ? SLICE("INBOX") : name;
	}
	buf_done(&b);
	return bad;
}

int imap_mailbox_arg(struct imap *s, struct imap_text *t, struct slice *utf8_out, struct buf *out)
{
	struct slice name;

	if (imap_space(t) != 0 || imap_astring(t, &name) != 0) {
		imap_bad(s, out, "the name of a mailbox is missing");
		return -1;
	}
	if (imap_mailbox_utf8(name, s->cmd, utf8_out) == 0)
		return 0;
	imap_no(s, out, "[CANNOT] mailbox name is not valid UTF-7 (RFC 3501 5.1.3), or too long");
	return -1;
}

/*
 * All ways through the pattern at once, so that no pattern costs more than pattern times name (CVE-2026-33607 was one that backtracked).
 * at[i]: the name so far can end before pattern octet i.
 */
enum { PATTERN_MAX = 1024 };

static bool is_wild(char c)
{
	return c == '*' || c == '%';
}

static size_t squeeze(struct slice pattern, char *p)
{
	size_t n = 0;

	for (size_t i = 0; i < pattern.n && n < PATTERN_MAX; i++) {
		if (n > 0 && is_wild(p[n - 1]) && is_wild(pattern.p[i])) {
			if (pattern.p[i] == '*')
				p[n - 1] = '*';
			continue;
		}
		p[n++] = pattern.p[i];
	}
	return n;
}

static bool same(char a, char b, bool any_case)
{
	return a == b || (any_case && ascii_lower(a) == ascii_lower(b));
}

static void spread(const char *p, size_t n, bool *at)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] && is_wild(p[i]))
			at[i + 1] = true;
}

bool imap_glob(struct slice pattern, struct slice name, bool any_case)
{
	char p[PATTERN_MAX];
	bool at[PATTERN_MAX + 1] = { true };
	size_t n = squeeze(pattern, p);

	if (pattern.n > PATTERN_MAX)
		return false;
	spread(p, n, at);
	for (size_t k = 0; k < name.n; k++) {
		char c = name.p[k];

		for (size_t i = n + 1; i-- > 0;) {
			bool stays = i < n && at[i] && (p[i] == '*' || (p[i] == '%' && c != '/'));
			bool comes = i > 0 && at[i - 1] && !is_wild(p[i - 1]) && same(p[i - 1], c, any_case);

			at[i] = stays || comes;
		}
		spread(p, n, at);
	}
	return at[n];
}
