/* pop3d/main.c - pop3d(8): hands mail out by POP3 (RFC 1939). All of it is in the table of procs.c. */
#include "pop3d/pop3d.h"

int main(int argc, char **argv)
{
	return super_main(&pop3d_table, argc, argv);
}
