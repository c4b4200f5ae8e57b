/*
 * admin/makemap.c - makemap(8) as sendmail's: text on standard input becomes MAPNAME.db, octet for octet the entries that sendmail's own would write
 * (tests/system/test_makemap.py compares). Its grammar, not that of map/map_text.c: no continuation lines, no quotes, blanks at the end are kept.
 *
 * Two things differ on purpose. The file is new and takes the name at the end, so that no reader ever meets half of it; and a wrong line leaves the old one
 * in place, where sendmail writes a map without it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "map/map.h"

#define INPUT_MAX (1u << 30)

struct entry { struct slice key, value; };

struct makemap {
	bool append, keep_case, replace, with_nul, verbose, dump, dups, empty_values;
	char comment, delimiter;                                      /* delimiter 0: blanks */
	enum map_db kind;
	const char *name, *db;
	struct arena *arena;
	struct hmap *seen;                                            /* key to its entry's number + 1 */
	struct entry *entries;
	size_t n, room;
	unsigned wrong;
};

static int usage(void)
{
	fputs("usage: makemap [-C FILE] [-N] [-c SIZE] [-D CHAR] [-d] [-e] [-f] [-i TYPE] [-l] [-o] [-r] [-s] [-t CHAR] [-u] [-v] hash|btree MAPNAME <TEXT\n"
	    "  -N count the NUL into key and value   -f keep upper case in keys      -e a key without value is fine\n"
	    "  -o add to the map that is there       -r the later of two values wins -d keep both\n"
	    "  -D CHAR begins a comment line (#)     -t CHAR ends the key (a blank)  -u print the map   -v say each key   -l list the types\n"
	    "  -C -c -i -s are taken and mean nothing here\n", stderr);
	return EX_USAGE;
}

static void put(struct makemap *m, struct slice key, struct slice value)
{
	size_t at = (size_t)(uintptr_t)hmap_get(m->seen, key);
	const struct entry e = { arena_dup(m->arena, key), arena_dup(m->arena, value) };

	if (at != 0 && !m->dups) {
		m->entries[at - 1].value = e.value;
		return;
	}
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 256;
		m->entries = mem_grow(m->entries, m->room * sizeof(*m->entries));
	}
	m->entries[m->n++] = e;
	(void)hmap_put(m->seen, e.key, (void *)(uintptr_t)m->n);
}

static int put_old(void *ctx, struct slice key, struct slice value)
{
	put(ctx, key, value);
	return 0;
}

static int print_one(void *ctx, struct slice key, struct slice value)
{
	const struct makemap *m = ctx;

	printf("%.*s%c%.*s\n", SLICE_FMT(key), m->delimiter != '\0' ? m->delimiter : '\t', SLICE_FMT(value));
	return 0;
}

/* ---- the text ---- */

static int read_stdin(struct buf *b)
{
	char *room;
	size_t n;

	while ((room = buf_room(b, 65536)) != NULL && (n = fread(room, 1, 65536, stdin)) > 0)
		buf_filled(b, n);
	return room != NULL && !ferror(stdin) ? 0 : command_fail(EX_NOINPUT, "standard input is too large or unreadable");
}

static void wrong_line(struct makemap *m, unsigned line, const char *what, struct slice key)
{
	fprintf(stderr, "makemap: %s: line %u: %s%.*s\n", m->name, line, what, (int)slice_head(key, 100).n, key.n > 0 ? key.p : "");
	m->wrong++;
}

static bool is_end_of_key(const struct makemap *m, char c)
{
	return m->delimiter != '\0' ? c == m->delimiter : c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice take_key(const struct makemap *m, struct slice *line)
{
	char *p = arena_str(m->arena, *line);
	size_t n = 0;

	for (; n < line->n && !is_end_of_key(m, p[n]); n++)
		p[n] = m->keep_case ? p[n] : ascii_lower(p[n]);
	*line = slice_from(*line, n);
	while (line->n > 0 && is_end_of_key(m, line->p[0]))
		*line = slice_from(*line, 1);
	return slice_mem(p, n);
}

static void add_line(struct makemap *m, unsigned number, struct slice line)
{
	struct slice key;

	if (line.n == 0 || line.p[0] == m->comment)
		return;
	if (m->delimiter == '\0' && is_end_of_key(m, line.p[0])) {
		wrong_line(m, number, "syntax error (leading space)", SLICE_NONE);
		return;
	}
	key = take_key(m, &line);
	if (line.n == 0 && !m->empty_values) {
		wrong_line(m, number, "no RHS for LHS ", key);
	} else if (!m->replace && !m->dups && hmap_get(m->seen, key) != NULL) {
		wrong_line(m, number, "duplicate key (-r lets the later one win): ", key);
	} else {
		if (m->verbose)
			printf("key=`%.*s', val=`%.*s'\n", SLICE_FMT(key), SLICE_FMT(line));
		put(m, key, line);
	}
}

static int read_text(struct makemap *m)
{
	struct slice rest, line;
	struct buf text;
	unsigned number = 0;
	int status;

	buf_init(&text, INPUT_MAX);
	status = read_stdin(&text);
	rest = buf_view(&text);
	while (status == 0 && slice_next(&rest, '\n', &line))
		add_line(m, ++number, line);
	buf_done(&text);
	return status != 0 ? status : m->wrong > 0 ? command_fail(EX_DATAERR, "%s: nothing was written", m->name) : 0;
}

/* ---- the map ---- */

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
		rc = map_build_put(b, counted(m, m->entries[i].key), counted(m, m->entries[i].value), &e);
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
	char *full = realpath(m->db, NULL);
	int rc;

	if (full == NULL)
		return command_fail(EX_CANTCREAT, "map %s can't be opened", m->db);
	rc = map_open(&old, arena_printf(m->arena, "btree:%s", full), &e);
	if (rc == 0)
		rc = map_each(old, m->dump ? print_one : put_old, m, &e);
	map_close(&old);
	free(full);
	return rc == 0 ? EX_OK : command_fail(EX_DATAERR, "%s", e.text);
}

static int read_flag(struct makemap *m, int c)
{
	switch (c) {
	case 'N': m->with_nul = true; break;
	case 'D': m->comment = optarg[0]; break;
	case 'd': m->dups = true; break;
	case 'e': m->empty_values = true; break;
	case 'f': m->keep_case = true; break;
	case 'l': puts("hash\nbtree"); exit(EX_OK);
	case 'o': m->append = true; break;
	case 'r': m->replace = true; break;
	case 't': m->delimiter = optarg[0]; break;
	case 'u': m->dump = true; break;
	case 'v': m->verbose = true; break;
	case 'C': case 'c': case 'i': case 's': break;                /* another settings file, cache, implementation, safety of the file's owner */
	default: return usage();
	}
	return 0;
}

static int read_options(struct makemap *m, int argc, char **argv)
{
	int c, rc = 0;
	bool hash;

	while (rc == 0 && (c = getopt(argc, argv, "C:Nc:D:defi:lorst:uv")) != -1)
		rc = read_flag(m, c);
	if (rc != 0)
		return rc;
	if (argc - optind != 2)
		return usage();
	hash = strcmp(argv[optind], "hash") == 0;
	if (!hash && strcmp(argv[optind], "btree") != 0)
		return command_fail(EX_CANTCREAT, "makemap: '%s' is not a map type here; hash and btree are", argv[optind]);
	m->kind = m->dups ? (hash ? MAP_DB_HASH_DUPS : MAP_DB_BTREE_DUPS) : hash ? MAP_DB_HASH : MAP_DB_BTREE;
	m->name = argv[optind + 1];
	m->db = arena_printf(m->arena, slice_ends(slice_of(m->name), SLICE(".db")) ? "%s" : "%s.db", m->name);
	return 0;
}

int makemap_run(int argc, char **argv)
{
	struct makemap m = { .arena = arena_new(0), .seen = hmap_new(), .comment = '#' };
	int rc = read_options(&m, argc, argv);

	if (rc == 0 && (m.dump || m.append))
		rc = read_old(&m);
	if (rc == 0 && !m.dump)
		rc = read_text(&m);
	if (rc == 0 && !m.dump)
		rc = write_map(&m);
	hmap_free(&m.seen);
	free(m.entries);
	arena_free(&m.arena);
	return rc;
}
