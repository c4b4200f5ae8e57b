/*
 * admin/tables.c - every command family and every other name of the program, in the order of the manual page.
 */
#include "admin/tables.h"

const struct command_table *const command_tables[] = {
	&cmd_conf_table,
	&cmd_daemon_table,
	&cmd_user_table,
	&cmd_explain_table,
	&cmd_code_table,
	&cmd_store_table,
	&cmd_import_table,
	&cmd_drac_table,
	&cmd_queue_table,
	&cmd_trace_table,
	&cmd_manual_table,
	NULL,
};

const struct alias_program alias_programs[] = {
	{ "sendmail", sendmail_run },
	{ "mailq", mailq_run },
	{ "newaliases", newaliases_run },
	{ "makemap", makemap_run },
	{ NULL, NULL },
};
