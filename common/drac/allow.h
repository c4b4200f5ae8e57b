/*
 * drac/allow.h - who may call versions 1 and 2: the allow file, old lines and new.
 *
 *   255.255.255.0 192.0.2.0        netmask and address, as dracd 1.12 has them
 *   192.0.2.0/24                   the same
 *   192.0.2.7                      one host
 *   2001:db8::/32
 *
 * '#' begins a comment line. No file: this machine alone (127.0.0.1, ::1, and the addresses of its interfaces). An empty file: nobody. A line that the
 * old dracd passed over in silence is an error here, with file and line.
 */
#ifndef DRAC_ALLOW_H
#define DRAC_ALLOW_H

#include "base/err.h"
#include "io/net.h"

struct allow;

int allow_parse(struct allow **a_out, const char *path, struct slice text, struct err *e) WARN_UNUSED;
int allow_load(struct allow **a_out, const char *path, struct err *e) WARN_UNUSED;   /* a missing file is "this machine" */
void allow_free(struct allow **a);
bool allow_has(const struct allow *a, const struct net_addr *caller);
size_t allow_count(const struct allow *a);
/* Whether strangers are let in: by a rule that covers a large part of the world (net_prefix_is_world()), or by all of them together. also: only what
   that list has too counts; NULL for everything. *line_out: of the file, 0 where the rule came from a setting. */
bool allow_lets_strangers_in(const struct allow *a, const struct allow *also, unsigned *line_out) WARN_UNUSED;

/* Networks of a setting ("0.0.0.0/8 ::1"), for drac_never and the like; single addresses too. Errors name the setting. */
int allow_from_list(struct allow **a_out, const char *setting, const char *value, struct err *e) WARN_UNUSED;
/* More of them, of another setting or of a file in the syntax of the allow file (a missing one adds nothing). After -1 some may have been added. */
int allow_add_list(struct allow *a, const char *setting, const char *value, struct err *e) WARN_UNUSED;
int allow_add_file(struct allow *a, const char *path, struct err *e) WARN_UNUSED;

#endif
