/*
 * admin/queue_list.h - the queue's messages as a list to print: our own layout, sendmail's (mailq), JSON.
 */
#ifndef ADMIN_QUEUE_LIST_H
#define ADMIN_QUEUE_LIST_H

#include <stdio.h>

#include "base/arena.h"
#include "queue/envelope.h"

struct queue_entry { struct envelope env; struct slice text; bool active; };

struct queue_list {
	struct arena *arena;
	struct queue_entry *entries;
	size_t n, cap;
};

void queue_list_init(struct queue_list *l);
void queue_list_done(struct queue_list *l);
void queue_list_add(void *list, struct slice envelope_text, bool active);    /* a control_envelope_fn */
void queue_list_sort(struct queue_list *l);                           /* oldest first */

void queue_list_text(const struct queue_list *l, int64_t now, FILE *out);
void queue_list_json(const struct queue_list *l, FILE *out);
void queue_list_envelopes(const struct queue_list *l, FILE *out);
void queue_list_mailq(const struct queue_list *l, const char *directory, FILE *out);

#endif
