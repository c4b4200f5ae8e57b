/*
 * tests/unit/store/object_wire.h - what object_store.c asks of object_server.c: the few things that an object store with compare-and-append can do.
 */
#ifndef TEST_OBJECT_WIRE_H
#define TEST_OBJECT_WIRE_H

#include <stdint.h>

enum object_op {
	OBJ_SHELF,           /* text: path NUL name; a: make the place -> its number */
	OBJ_SHELF_MAKE,      /* shelf, text: name */
	OBJ_SHELF_LIST,      /* shelf -> names with their NULs */
	OBJ_SHELF_RENAME,    /* shelf, text: from NUL to */
	OBJ_SHELF_REMOVE,    /* shelf, text: name */
	OBJ_PUT,             /* shelf, bay, text: name, data; a: mtime, b: 1 replace, c: whoever is to have its lock -> object */
	OBJ_GET,             /* shelf, bay, text: name -> object, size, mtime, data */
	OBJ_STAT,            /* the same without the data */
	OBJ_LINK,            /* shelf, bay, text: name NUL as; a: to shelf, b: 1 the old name goes */
	OBJ_DELETE,          /* shelf, bay, text: name */
	OBJ_LIST,            /* shelf, bay -> names with their NULs */
	OBJ_STAMP,           /* shelf, bay -> number */
	OBJ_READ,            /* object a, from b, at most c -> data */
	OBJ_APPEND,          /* object a, expected b, data */
	OBJ_CUT,             /* object a, to b */
	OBJ_LOCK,            /* of a (object, shelf, tally), who b; c: 0 give it back -> 1: has it */
	OBJ_TALLY_PUT, OBJ_TALLY_EACH, OBJ_TALLY_NOTE,
	OBJ_LISTEN, OBJ_NOTIFY    /* text: path NUL topic */
};

struct object_ask { uint32_t op, bay; uint64_t shelf, a, b, c; uint32_t text_len, data_len; };
struct object_answer { uint32_t kind, data_len; uint64_t object, size; int64_t mtime; };

/* In a process of its own until the last descriptor of `listener` and of its clients is closed. */
void object_serve(int listener);

#endif
