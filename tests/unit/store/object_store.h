/*
 * tests/unit/store/object_store.h - a second backend of store/store.h: all state is in a server process that keeps objects, not files. It shows that
 * nothing above the verbs needs a file system, and runs the same tests as the local one.
 */
#ifndef TEST_OBJECT_STORE_H
#define TEST_OBJECT_STORE_H

#include "store/store.h"

/* Starts the server, which ends with its starter. One a process. */
const struct store *object_store_start(const char *socket_path);
void object_store_stop(void);

#endif
