/*
 * tests/unit/store/store_env.h - what every test of a mailbox needs: a directory of its own, a user in it, messages.
 */
#ifndef TEST_STORE_ENV_H
#define TEST_STORE_ENV_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/mbox.h"

#define MESSAGE "From: a@office.test\r\nTo: b@office.test\r\nSubject: hello\r\nMessage-ID: <1@office.test>\r\n\r\nbody\r\n"

struct env { char dir[128]; struct arena *a; struct box *b; struct box_options opt; struct err e; };

static inline int env_rm(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static inline int env_setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);
	const char *tmp = getenv("TMPDIR");

	snprintf(v->dir, sizeof v->dir, "%s/test-store.XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(v->dir) == NULL)
		return -1;
	v->a = arena_new(0);
	v->opt = (struct box_options){ .special_folders = "Drafts Sent Junk Trash Archive", .hostname = "mx.office.test" };
	*state = v;
	return 0;
}

/* The same on the object store: for tests that include object_store.h and touch no file. */
#define ENV_SETUP_OBJECT \
static int env_setup_object(void **state) \
{ \
	struct env *v; \
	char path[160]; \
	if (env_setup(state) != 0) \
		return -1; \
	v = *state; \
	snprintf(path, sizeof path, "%s/objects", v->dir); \
	v->opt.store = object_store_start(path); \
	return 0; \
} \
static int env_teardown_object(void **state) \
{ \
	struct env *v = *state; \
	box_close(&v->b); \
	object_store_stop(); \
	return env_teardown(state); \
}

static inline int env_teardown(void **state)
{
	struct env *v = *state;

	box_close(&v->b);
	arena_free(&v->a);
	nftw(v->dir, env_rm, 16, FTW_DEPTH | FTW_PHYS);
	free(v);
	return 0;
}

#define OK(v, call) do { (v)->e = (struct err)ERR_INIT; if ((call) != 0) fail_msg("%s: %s", #call, (v)->e.text); } while (0)

static inline void env_open(struct env *v)
{
	char path[256];

	snprintf(path, sizeof path, "%s/office.test/u1", v->dir);
	OK(v, box_open(&v->b, path, true, &v->opt, &v->e));
}

static inline const char *env_deliver(struct env *v, const char *folder, const char *id, const char *text)
{
	struct delivery d = { .queue_id = id, .octets = { text, strlen(text) }, .internaldate = 1700000000 };
	const char *path = NULL;

	OK(v, box_deliver(v->b, slice_of(folder), &d, v->a, &path, &v->e));
	return path;
}

static inline void env_deliver_n(struct env *v, const char *folder, int n)
{
	for (int i = 0; i < n; i++) {
		char id[32];

		snprintf(id, sizeof id, "Q%uN%d", (unsigned)strlen(folder), i);
		env_deliver(v, folder, id, MESSAGE);
	}
}

static inline struct mbox *env_folder(struct env *v, const char *name)
{
	struct mbox *m = NULL;

	OK(v, mbox_open(&m, v->b, slice_of(name), &v->e));
	return m;
}

#endif
