/*
 * tests/system/drac_reader.c - reads dracd.db the way that milter-greylist and Exim do: open, get, close for each question, with no lock, as often as it
 * can until stdin ends.
 *
 *	drac_reader TABLE KEYS      KEYS: a file with one key a line that must be there; it may grow meanwhile
 *
 * Prints "QUESTIONS ERRORS MISSING"; says on stderr what the first error was.
 */
#include <db.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 100000, KEY_MAX = 64, READ_AGAIN = 100 };

static char (*keys)[KEY_MAX];
static unsigned n_keys;
static long keys_at;
static unsigned long questions, errors, missing;

static void read_keys(const char *path)
{
	FILE *f = fopen(path, "r");

	if (f == NULL || fseek(f, keys_at, SEEK_SET) != 0)
		exit(2);
	while (n_keys < KEYS_MAX && fgets(keys[n_keys], KEY_MAX, f) != NULL) {
		char *end = strchr(keys[n_keys], '\n');
		if (end == NULL)
			break;
		*end = '\0';
		keys_at = ftell(f);
		n_keys++;
	}
	fclose(f);
}

static void error(const char *what, const char *key, int rc)
{
	if (errors++ == 0)
		fprintf(stderr, "%s %s: %s\n", what, key, db_strerror(rc));
}

static void ask(const char *path, char *key)
{
	char value[64];
	DBT k, v;
	DB *db;
	int rc = db_create(&db, NULL, 0);

	if (rc != 0)
		exit(2);
	questions++;
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	k.data = key;
	k.size = (u_int32_t)strlen(key);
	v.data = value;
	v.ulen = sizeof(value);
	v.flags = DB_DBT_USERMEM;
	rc = db->open(db, NULL, path, NULL, DB_UNKNOWN, DB_RDONLY, 0);
	if (rc != 0)
		error("open for", key, rc);
	else if ((rc = db->get(db, NULL, &k, &v, 0)) == DB_NOTFOUND && missing++ == 0)
		fprintf(stderr, "not there: %s\n", key);
	else if (rc != 0 && rc != DB_NOTFOUND)
		error("get", key, rc);
	db->close(db, 0);
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	unsigned seed = 1;

	keys = calloc(KEYS_MAX, KEY_MAX);
	if (argc != 3 || keys == NULL)
		return 2;
	while (poll(&in, 1, 0) == 0) {
		read_keys(argv[2]);
		for (int i = 0; i < READ_AGAIN && n_keys != 0; i++) {
			seed = seed * 1103515245u + 12345u;
			ask(argv[1], keys[(seed >> 8) % n_keys]);
		}
	}
	printf("%lu %lu %lu\n", questions, errors, missing);
	return 0;
}
