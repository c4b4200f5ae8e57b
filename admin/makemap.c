/*
 * admin/makemap.c - makemap(8) as sendmail's: text on standard input becomes MAPNAME.db. The file is new and takes the name at the end, so that no
 * reader ever meets half of it, and a wrong line leaves the old one in place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "base/hash.h"
#include "base/mem.h"
#include "map/map.h"
#include "map/map_text.h"

#define INPUT_MAX (1u << 30)

struct makemap {
	bool append, keep_case, replace, with_nul, verbose, dump;
	enum map_db kind;
	char *db;
	struct arena *arena;
	struct hmap *values;                                          /* key to struct slice * */
	struct slice *order;
	size_t n, room;
};

static int usage(void)
{
	fputs("usage: makemap [-f] [-l] [-N] [-o] [-r] [-u] [-v] hash|btree MAPNAME <TEXT\n"
	    "  -f keep upper case in keys   -N count the NUL into key and value   -o add to the map that is there\n"
	    "  -r a key that comes again replaces the first   -u print the map   -v say each key   -l list the map types\n", stderr);
	return EX_USAGE;
}

static void put(struct makemap *m, struct slice key, struct slice value)
{
	struct slice *v = arena_alloc(m->arena, sizeof(*v));

	*v = arena_dup(m->arena, value);
	key = arena_dup(m->arena, key);
	if (hmap_put(m->values, key, v) != NULL)
		return;
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 256;
		m->order = mem_grow(m->order, m->room * sizeof(*m->order));
	}
	m->order[m->n++] = key;
}

static int put_old(void *ctx, struct slice key, struct slice value)
{
	put(ctx, key, value);
	return 0;
}

static int print_one(void *ctx, struct slice key, struct slice value)
{
	(void)ctx;
	printf("%.*s\t%.*s\n", SLICE_FMT(key), SLICE_FMT(value));
	return 0;
}

static int read_stdin(struct buf *b)
{
	char *room;
	size_t n;

	while ((room = buf_room(b, 65536)) != NULL && (n = fread(room, 1, 65536, stdin)) > 0)
		buf_filled(b, n);
	return room != NULL && !ferror(stdin) ? 0 : command_fail(EX_NOINPUT, "standard input is too large or unreadable");
}

static int add_line(struct makemap *m, unsigned line, struct slice key, struct slice value)
{
	char *p = arena_str(m->arena, key);

	for (size_t i = 0; i < key.n && !m->keep_case; i++)
		p[i] = ascii_lower(p[i]);
	key = slice_mem(p, key.n);
	if (!m->replace && hmap_get(m->values, key) != NULL)
		return command_fail(EX_DATAERR, "line %u: '%.*s' is there already (-r lets the later one win)", line, SLICE_FMT(slice_head(key, 100)));
	if (m->verbose)
		printf("key=`%.*s', val=`%.*s'\n", SLICE_FMT(key), SLICE_FMT(value));
	put(m, key, value);
	return 0;
}

static int read_text(struct makemap *m)
{
	struct map_text_reader r;
	struct slice key, value;
	struct err e = ERR_INIT;
	struct buf text;
	int rc, status;

	buf_init(&text, INPUT_MAX);
	status = read_stdin(&text);
	map_text_start(&r, MAP_TEXT_TABLE, buf_view(&text));
	while (status == 0 && (rc = map_text_next(&r, "stdin", &key, &value, &e)) != 0)
		status = rc < 0 ? command_fail(EX_DATAERR, "%s", e.text) : add_line(m, r.line, key, value);
	map_text_done(&r);
	buf_done(&text);
	return status;
}

static struct slice counted(const struct makemap *m, struct slice s)
{
	return slice_mem(s.p ? s.p : "", s.n + (m->with_nul ? 1 : 0));        /* arena copies end with a NUL */
}

static int write_map(struct makemap *m)
{
	struct map_build *b = NULL;
	struct err e = ERR_INIT;
	int rc = map_build_new(&b, m->db, m->kind, 0, 0640, &e);

	for (size_t i = 0; rc == 0 && i < m->n; i++)
		rc = map_build_put(b, counted(m, m->order[i]), counted(m, *(const struct slice *)hmap_get(m->values, m->order[i])), &e);
	if (rc == 0)
		rc = map_build_commit(&b, &e);
	map_build_drop(&b);
	return rc == 0 ? EX_OK : command_fail(EX_CANTCREAT, "%s", e.text);
}

/* The map that is there: -u prints it, -o starts from it. */
static int read_old(struct makemap *m)
{
	struct map *old = NULL;
	struct err e = ERR_INIT;
	const char *spec = arena_printf(m->arena, "btree:%s%s", m->db[0] == '/' ? "" : arena_printf(m->arena, "%s/", getcwd(arena_alloc(m->arena, 4096), 4096)), m->db);
	int rc = map_open(&old, spec, &e);

	if (rc == 0)
		rc = map_each(old, m->dump ? print_one : put_old, m, &e);
	map_close(&old);
	return rc == 0 ? EX_OK : command_fail(EX_DATAERR, "%s", e.text);
}

static int read_options(struct makemap *m, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "fNorvul")) != -1) {
		switch (c) {
		case 'f': m->keep_case = true; break;
		case 'N': m->with_nul = true; break;
		case 'o': m->append = true; break;
		case 'r': m->replace = true; break;
		case 'v': m->verbose = true; break;
		case 'u': m->dump = true; break;
		case 'l': puts("hash\nbtree"); exit(EX_OK);
		default: return usage();
		}
	}
	if (argc - optind != 2)
		return usage();
	if (strcmp(argv[optind], "hash") != 0 && strcmp(argv[optind], "btree") != 0)
		return command_fail(EX_USAGE, "makemap: '%s' is not a map type here; hash and btree are", argv[optind]);
	m->kind = strcmp(argv[optind], "hash") == 0 ? MAP_DB_HASH : MAP_DB_BTREE;
	m->db = arena_printf(m->arena, slice_ends(slice_of(argv[optind + 1]), SLICE(".db")) ? "%s" : "%s.db", argv[optind + 1]);
	return 0;
}

int makemap_run(int argc, char **argv)
{
	struct makemap m = { .arena = arena_new(0), .values = hmap_new() };
	int rc = read_options(&m, argc, argv);

	if (rc == 0 && (m.dump || m.append))
		rc = read_old(&m);
	if (rc == 0 && !m.dump)
		rc = read_text(&m);
	if (rc == 0 && !m.dump)
		rc = write_map(&m);
	hmap_free(&m.values);
	free(m.order);
	arena_free(&m.arena);
	return rc;
}
