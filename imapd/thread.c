/*
 * imapd/thread.c - THREAD=ORDEREDSUBJECT and THREAD=REFERENCES (RFC 5256 2 to 4), as a job.
 *
 * Messages are nodes, Message-IDs that are only referred to are nodes without a message. A node is linked under another only while it is the root of
 * its tree, so that a loop is seen by comparing roots (a union-find), and no set of References makes the work square (CVE-2026-40014):
 * first every message goes under its last reference, then references go under each other. Children and threads come into order by one sort
 * of all nodes. No recursion: a conversation may be a hundred thousand answers deep.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "imapd/search.h"
#include "imapd/subject.h"

enum { REFS_MAX = 64 };

struct node {
	uint32_t seq;                                                 /* 0: no message */
	bool is_reply;
	int64_t date;
	struct slice subject;                                         /* folded base subject */
	struct node *parent, *first, *next;                           /* the tree */
	struct node *set;                                             /* union-find: towards the root */
	struct node *merged;                                          /* a node without message whose children went there */
	struct node **refs;
	size_t n_refs;
	uint32_t children;
};

struct thread {
	struct search q;
	bool by_subject;
	struct hmap *ids, *subjects;
	struct node **nodes;
	size_t n, cap;
	bool built;
	struct node *next_root;
};

static struct node *new_node(struct imap *s, struct thread *j)
{
	if (j->n == j->cap) {
		size_t cap = j->cap * 2 + 64;
		struct node **more = arena_array(s->cmd, cap, sizeof *more);

		if (j->n > 0)
			memcpy(more, j->nodes, j->n * sizeof *more);
		j->nodes = more;
		j->cap = cap;
	}
	struct node *n = arena_alloc(s->cmd, sizeof *n);

	n->set = n;
	j->nodes[j->n++] = n;
	return n;
}

/* ---- reading messages ---- */

static bool next_id(struct slice *rest, struct slice *id_out)
{
	ptrdiff_t open = slice_chr(*rest, '<');

	if (open < 0)
		return false;
	*rest = slice_from(*rest, (size_t)open + 1);
	ptrdiff_t close = slice_chr(*rest, '>');

	if (close <= 0)
		return false;
	*id_out = slice_head(*rest, (size_t)close);
	*rest = slice_from(*rest, (size_t)close + 1);
	return true;
}

static struct node *node_of(struct imap *s, struct thread *j, struct slice id)
{
	struct node *n = hmap_get(j->ids, id);

	if (n != NULL)
		return n;
	n = new_node(s, j);
	hmap_put(j->ids, id, n);
	return n;
}

/* The last REFS_MAX of References; without them the first of In-Reply-To. */
static void read_refs(struct imap *s, struct thread *j, struct node *n, uint32_t seq)
{
	struct node *ring[REFS_MAX];
	size_t total = 0;
	struct slice id, rest = search_header(s, &j->q, seq, SLICE("References"), false);

	while (next_id(&rest, &id))
		ring[total++ % REFS_MAX] = node_of(s, j, id);
	if (total == 0) {
		rest = search_header(s, &j->q, seq, SLICE("In-Reply-To"), false);
		if (next_id(&rest, &id))
			ring[total++] = node_of(s, j, id);
	}
	n->n_refs = total > REFS_MAX ? REFS_MAX : total;
	n->refs = arena_array(s->cmd, n->n_refs + 1, sizeof(struct node *));
	for (size_t i = 0; i < n->n_refs; i++)
		n->refs[i] = ring[(total - n->n_refs + i) % REFS_MAX];
}

static void add_message(struct imap *s, void *job, uint32_t seq)
{
	struct thread *j = job;
	struct slice id, subject, rest = SLICE_NONE;
	struct node *n = NULL;

	if (!j->by_subject)
		rest = search_header(s, &j->q, seq, SLICE("Message-ID"), false);
	if (next_id(&rest, &id))
		n = node_of(s, j, id);
	if (n == NULL || n->seq != 0)                                 /* none, or one that was used twice */
		n = new_node(s, j);
	n->seq = seq;
	n->date = search_sent(s, &j->q, seq);
	subject = search_header(s, &j->q, seq, SLICE("Subject"), true);
	n->subject = subject.p == NULL ? SLICE("") : search_fold(subject_base(subject, j->q.msg, &n->is_reply), s->cmd);
	if (!j->by_subject)
		read_refs(s, j, n, seq);
}

/* ---- building ---- */

static struct node *root_of(struct node *n)
{
	while (n->set != n) {
		n->set = n->set->set;
		n = n->set;
	}
	return n;
}

static void link_under(struct node *child, struct node *parent)
{
	if (child->parent != NULL || root_of(parent) == child || child == parent)
		return;
	child->parent = parent;
	child->set = parent;
}

static void link_all(struct thread *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->nodes[i]->n_refs > 0)
			link_under(j->nodes[i], j->nodes[i]->refs[j->nodes[i]->n_refs - 1]);
	for (size_t i = 0; i < j->n; i++)
		for (size_t k = 1; k < j->nodes[i]->n_refs; k++)
			link_under(j->nodes[i]->refs[k], j->nodes[i]->refs[k - 1]);
}

/* The nearest message above n, or the empty root there, or NULL; empty nodes on the way learn the short cut. */
static struct node *message_above(struct node *n)
{
	struct node *top = n->parent;

	while (top != NULL && top->seq == 0 && top->parent != NULL)
		top = top->parent;
	for (struct node *p = n->parent; p != NULL && p != top;) {
		struct node *up = p->parent;

		p->parent = top;
		p = up;
	}
	return top;
}

/* Messages hang under messages; an empty root stays where it holds several (RFC 5256 3, step 3). */
static void prune(struct thread *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->nodes[i]->seq != 0)
			j->nodes[i]->parent = message_above(j->nodes[i]);
	for (size_t i = 0; i < j->n; i++) {
		struct node *n = j->nodes[i];

		if (n->seq != 0 && n->parent != NULL)
			n->parent->children++;
	}
	for (size_t i = 0; i < j->n; i++) {
		struct node *n = j->nodes[i], *p = n->parent;

		if (n->seq == 0 || p == NULL || p->seq != 0)
			continue;
		if (p->children == 1) {
			n->parent = NULL;
			p->children = 0;
		} else if (p->subject.p == NULL || n->date < p->date) { /* an empty root is known by its first message */
			p->subject = n->subject;
			p->is_reply = n->is_reply;
			p->date = n->date;
		}
	}
}

static bool is_root(const struct node *n)
{
	return n->parent == NULL && n->merged == NULL && (n->seq != 0 || n->children > 1);
}

static void hang(struct node *n, struct node *under)
{
	n->parent = under;
	under->children++;
	under->date = n->date < under->date ? n->date : under->date;
}

/* Step 5: threads of one subject become one. */
static void merge_root(struct imap *s, struct thread *j, struct node *n, struct node *in_table)
{
	if (n->seq == 0 && in_table->seq == 0) {
		n->merged = in_table;
		in_table->children += n->children;
		in_table->date = n->date < in_table->date ? n->date : in_table->date;
	} else if (in_table->seq == 0 || (n->is_reply && !in_table->is_reply)) {
		int64_t date = in_table->date;

		hang(n, in_table);
		if (in_table->seq != 0)
			in_table->date = date;                        /* a message keeps its own */
	} else {
		struct node *both = new_node(s, j);

		both->subject = n->subject;
		both->is_reply = n->is_reply;
		both->date = n->date;
		hang(n, both);
		hang(in_table, both);
		hmap_put(j->subjects, n->subject, both);
	}
}

static void merge_subjects(struct imap *s, struct thread *j)
{
	size_t n = j->n;                                              /* merging adds nodes behind */

	for (size_t i = 0; i < n; i++) {
		struct node *r = j->nodes[i], *old;

		if (!is_root(r) || r->subject.n == 0)
			continue;
		old = hmap_get(j->subjects, r->subject);
		if (old == NULL || (r->seq == 0 && old->seq != 0) || (old->seq != 0 && old->is_reply && !r->is_reply))
			hmap_put(j->subjects, r->subject, r);
	}
	for (size_t i = 0; i < n; i++) {
		struct node *r = j->nodes[i], *old;

		if (!is_root(r) || r->subject.n == 0)
			continue;
		old = hmap_get(j->subjects, r->subject);
		if (old != NULL && old != r)
			merge_root(s, j, r, old);
	}
}

static int by_date(const void *pa, const void *pb)
{
	const struct node *a = *(struct node *const *)pa, *b = *(struct node *const *)pb;

	if (a->date != b->date)
		return a->date < b->date ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int by_subject_then_date(const void *pa, const void *pb)
{
	const struct node *a = *(struct node *const *)pa, *b = *(struct node *const *)pb;
	int c = slice_cmp(a->subject, b->subject);

	return c != 0 ? c : by_date(pa, pb);
}

/* ORDEREDSUBJECT: the first of a subject, and the others as its children. */
static void group_by_subject(struct thread *j)
{
	struct node *head = NULL;

	qsort(j->nodes, j->n, sizeof(struct node *), by_subject_then_date);
	for (size_t i = 0; i < j->n; i++) {
		struct node *n = j->nodes[i];

		if (head != NULL && slice_eq(head->subject, n->subject))
			n->parent = head;
		else
			head = n;
	}
}

/* From the latest to the earliest, each to the front of its list: every list ends in order. */
static void put_in_order(struct thread *j)
{
	if (j->n > 1)
		qsort(j->nodes, j->n, sizeof(struct node *), by_date);
	for (size_t i = j->n; i-- > 0;) {
		struct node *n = j->nodes[i], *p = n->parent;

		if (p != NULL && p->merged != NULL)
			p = n->parent = p->merged;
		if (n->seq == 0 && !is_root(n))
			continue;
		struct node **list = p == NULL ? &j->next_root : &p->first;

		n->next = *list;
		*list = n;
	}
}

static void build(struct imap *s, struct thread *j)
{
	if (j->n == 0)
		return;
	if (j->by_subject) {
		group_by_subject(j);
	} else {
		link_all(j);
		prune(j);
		merge_subjects(s, j);
	}
	put_in_order(j);
}

/* ---- telling ---- */

static void put_number(const struct imap *s, const struct node *n, struct buf *out)
{
	if (n->seq != 0)
		buf_putf(out, "%" PRIu32, s->uid ? view_get(s->view, n->seq)->uid : n->seq);
}

/* From a leaf to the next branch that is not told; NULL: all is told. */
static const struct node *climb(const struct node *n, const struct node *root, struct buf *out)
{
	while (n != root) {
		const struct node *p = n->parent;

		if (p->first->next != NULL) {
			buf_putc(out, ')');
			if (n->next != NULL) {
				buf_putc(out, '(');
				return n->next;
			}
		}
		n = p;
	}
	return NULL;
}

/* An only child follows its parent, several stand in parentheses each (RFC 5256 5). */
static void put_thread(const struct imap *s, const struct node *root, struct buf *out)
{
	const struct node *n = root;

	buf_putc(out, '(');
	while (n != NULL) {
		put_number(s, n, out);
		if (n->first == NULL) {
			n = climb(n, root, out);
			continue;
		}
		if (n->seq != 0)
			buf_putc(out, ' ');
		if (n->first->next != NULL)
			buf_putc(out, '(');
		n = n->first;
	}
	buf_putc(out, ')');
}

static bool thread_step(struct imap *s, void *job, struct buf *out)
{
	struct thread *j = job;
	size_t full = out->len + IMAP_STEP;

	if (!search_step(s, &j->q, add_message, j))
		return false;
	if (!j->built) {
		build(s, j);
		j->built = true;
		buf_puts(out, j->next_root == NULL ? "* THREAD" : "* THREAD ");
	}
	for (; j->next_root != NULL; j->next_root = j->next_root->next) {
		if (out->len >= full)
			return false;
		put_thread(s, j->next_root, out);
	}
	buf_puts(out, "\r\n");
	imap_sync_after(s, out);
	imap_ok(s, out, "threaded");
	return true;
}

static void thread_drop(void *job)
{
	struct thread *j = job;

	search_done(&j->q);
	hmap_free(&j->ids);
	hmap_free(&j->subjects);
}

void imap_cmd_thread(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct thread *j = arena_alloc(s->cmd, sizeof *j);
	struct slice charset;

	if (imap_space(t) != 0 || !((j->by_subject = imap_word(t, "ORDEREDSUBJECT")) || imap_word(t, "REFERENCES")) || imap_space(t) != 0 ||
	    imap_astring(t, &charset) != 0 || imap_space(t) != 0) {
		imap_bad(s, out, "THREAD takes ORDEREDSUBJECT or REFERENCES, a charset and search keys");
		return;
	}
	if (search_read(s, t, &charset, &j->q, out) != 0) {
		search_done(&j->q);
		return;
	}
	j->ids = hmap_new();
	j->subjects = hmap_new();
	imap_start_job(s, thread_step, j, thread_drop);
}
