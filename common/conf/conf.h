/*
 * conf/conf.h - a setting lives in one row, with its prose. From the rows come parser, bounds, `posthouse conf`, and posthouse.conf(5).
 *
 * One file serves all daemons, so every program knows every row (an unknown name is an error with file, line and the nearest real name).
 * Settings are read-only after load; a reload fills a new struct and swaps it.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include "conf/settings.h"

enum conf_type { CONF_T_STRING, CONF_T_LIST, CONF_T_BOOL, CONF_T_NUMBER, CONF_T_SECS, CONF_T_SIZE, CONF_T_CHOICE };

struct conf_param {
	const char *name;
	enum conf_type type;
	size_t offset;                                                /* of the field in struct settings */
	const char *def;                                              /* as one would write it; may hold $name of another setting */
	const char *min, *max;                                        /* bounds as written; NULL: none. CHOICE: min lists the words */
	const char *prose;                                            /* one to four sentences, mdoc-safe */
};

/* Each checks at compile time that the field has the right type: const char *, bool, uint32_t, uint64_t (seconds, octets). */
#define CONF_FIELD_IS(field, type) (0 * sizeof(&((struct settings *)0)->field == (type *)0))
#define CONF_STRING(field, def, prose) \
	{ #field, CONF_T_STRING, offsetof(struct settings, field) + CONF_FIELD_IS(field, const char *), def, NULL, NULL, prose }
#define CONF_LIST(field, def, prose) /* words apart by blanks or commas; stored with single blanks */ \
	{ #field, CONF_T_LIST, offsetof(struct settings, field) + CONF_FIELD_IS(field, const char *), def, NULL, NULL, prose }
#define CONF_BOOL(field, def, prose) \
	{ #field, CONF_T_BOOL, offsetof(struct settings, field) + CONF_FIELD_IS(field, bool), def, NULL, NULL, prose }
#define CONF_NUMBER(field, def, min, max, prose) \
	{ #field, CONF_T_NUMBER, offsetof(struct settings, field) + CONF_FIELD_IS(field, uint32_t), def, min, max, prose }
#define CONF_SECS(field, def, min, max, prose) \
	{ #field, CONF_T_SECS, offsetof(struct settings, field) + CONF_FIELD_IS(field, uint32_t), def, min, max, prose }
#define CONF_SIZE(field, def, min, max, prose) \
	{ #field, CONF_T_SIZE, offsetof(struct settings, field) + CONF_FIELD_IS(field, uint64_t), def, min, max, prose }
#define CONF_CHOICE(field, def, words, prose) \
	{ #field, CONF_T_CHOICE, offsetof(struct settings, field) + CONF_FIELD_IS(field, const char *), def, words, NULL, prose }

struct conf_table {
	const char *title;                                            /* section of the manual page */
	const struct conf_param *rows;
	size_t n;
};
extern const struct conf_table *const conf_tables[];                  /* NULL-terminated: all of conf/rows_*.c */

/*
 * Reads path (NULL: defaults alone), then "name=value" overrides (NULL-terminated list, may be NULL). Expands $name and ${name}; $$ is a dollar sign.
 * Besides settings, $system_hostname, $settings_directory and $parent_domain (of myhostname) are known: the defaults stand on them.
 * The result lives in its own arena; conf_free() ends it. Every error names file:line. Warnings, a line each, go to *warnings (may be NULL).
 */
int conf_load(struct settings **s_out, const char *path, const char *const *overrides, struct buf *warnings, struct err *e);
void conf_free(struct settings **s);

/* Where a setting got its value: "posthouse.conf:12", "-o mynetworks", "mynetworks by default". name is a row's. In the arena. */
const char *conf_where(const struct settings *s, const char *name, struct arena *a);

const struct conf_param *conf_next(const struct conf_param *p);       /* walks all rows: NULL starts, NULL ends */
const struct conf_param *conf_find(const char *name);
const char *conf_nearest(const char *name);                           /* the name that was probably meant; never NULL */
void conf_value(const struct settings *s, const struct conf_param *p, struct buf *out);   /* as one would write it */
bool conf_is_default(const struct settings *s, const struct conf_param *p);
void conf_dump(const struct settings *s, bool only_changed, struct buf *out);
void conf_print_mdoc(struct buf *out);                                /* body of posthouse.conf(5) */

/* Walk the words of a CONF_LIST value. */
bool conf_word(struct slice *rest, struct slice *word_out);

#endif
