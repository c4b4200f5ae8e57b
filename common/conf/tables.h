/*
 * conf/tables.h - the rows, a file a group. For conf.c only.
 */
#ifndef CONF_TABLES_H
#define CONF_TABLES_H

#include "conf/conf.h"
#include "conf/settings.h"

#define CONF_TABLE(title, rows) { title, rows, sizeof(rows) / sizeof(rows[0]) }

extern const struct conf_table conf_site_table, conf_auth_table, conf_smtpd_table, conf_queue_table, conf_drac_table, conf_mail_table;

#endif
