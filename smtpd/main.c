/*
 * smtpd/main.c - smtpd: see procs.c for what runs, serve/super.h for the options.
 */
#include "smtpd/smtpd.h"

int main(int argc, char **argv)
{
	return super_main(&smtpd_table, argc, argv);
}
