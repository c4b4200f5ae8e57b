/*
 * admin/tables.h - the tables that the command families export, for admin/tables.c.
 */
#ifndef ADMIN_TABLES_H
#define ADMIN_TABLES_H

#include "admin/commands.h"

extern const struct command_table cmd_conf_table;                     /* admin/cmd_conf.c */
extern const struct command_table cmd_daemon_table;                   /* admin/cmd_daemon.c */
extern const struct command_table cmd_drac_table;                     /* admin/cmd_drac.c */
extern const struct command_table cmd_user_table;                     /* admin/cmd_user.c */
extern const struct command_table cmd_explain_table;                  /* admin/cmd_explain.c */
extern const struct command_table cmd_code_table;                     /* admin/cmd_code.c */
extern const struct command_table cmd_store_table;                    /* admin/cmd_store.c */
extern const struct command_table cmd_import_table;                   /* admin/cmd_import.c */
extern const struct command_table cmd_queue_table;                    /* admin/cmd_queue.c */
extern const struct command_table cmd_trace_table;                    /* admin/cmd_trace.c */
extern const struct command_table cmd_manual_table;                   /* admin/cmd_manual.c */

int sendmail_run(int argc, char **argv);                              /* admin/sendmail.c */
int mailq_run(int argc, char **argv);
int newaliases_run(int argc, char **argv);
int makemap_run(int argc, char **argv);                               /* admin/makemap.c */

#endif
