/*
 * map/map_rules.c - what maps of ordered entries (networks, patterns) share: reading the text, keeping the last good content.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "map/map_impl.h"

void map_rules_free(struct map_rules **rp)
{
	if (*rp == NULL)
		return;
	arena_free(&(*rp)->arena);
	free(*rp);
	*rp = NULL;
}

void map_rules_append(struct map_rules *r, struct map_rule *rule, unsigned line, struct slice value)
{
	rule->line = line;
	rule->value = value;
	*r->last = rule;
	r->last = &rule->next;
}

int map_rules_load(struct map_rules **now, struct map *m, bool exists,
    int (*add)(void *rules, unsigned line, struct slice key, struct slice value, struct err *e), struct err *e)
{
	struct map_rules *r = mem_new(sizeof(*r));

	r->arena = arena_new(0);
	r->last = &r->first;
	r->path = m->path;
	if (exists && map_text_each(m->path, MAP_TEXT_TABLE, add, r, e) != 0) {
		map_rules_free(&r);
		return -1;
	}
	map_rules_free(now);
	*now = r;
	m->warning[0] = '\0';
	return 0;
}
