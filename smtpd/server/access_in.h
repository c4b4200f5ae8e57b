/*
 * server/access_in.h - the inside of struct access, for access.c (loading), access_search.c (which key is tried when) and access_value.c (what a value says).
 */
#ifndef SERVER_ACCESS_IN_H
#define SERVER_ACCESS_IN_H

#include "map/map.h"
#include "server/access.h"

/* A key that is a network with its length: the map can't find it by its text, so these are tried in turn. */
struct access_net {
	struct net_prefix prefix;
	bool tagged;                                                  /* Connect:, not untagged */
	char *key;                                                    /* as written */
};

struct access {
	struct map *map;
	char *path;
	unsigned seen;                                                /* the map's generation when the networks were collected */
	struct access_net *nets;                                      /* longest prefix first */
	size_t n_nets;
	bool has_names, is_empty;                                     /* is_empty: no entries, which costs no search */
	size_t n_entries;
};

#endif
