/*
 * smtpd.h - the tables of smtpd: its processes and doors.
 */
#ifndef SMTPD_H
#define SMTPD_H

#include "serve/super.h"

extern const struct daemon_table smtpd_table;

#endif
