/* imapd/main.c - imapd(8): hands mail out by IMAP. All of it is in the table of procs.c. */
#include "imapd/imapd.h"

int main(int argc, char **argv)
{
	return super_main(&imapd_table, argc, argv);
}
