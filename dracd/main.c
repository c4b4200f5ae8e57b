/* dracd/main.c - dracd(8): remembers who may relay because of a login. All of it is in the table of procs.c. */
#include "dracd/dracd.h"

int main(int argc, char **argv)
{
	return super_main(&dracd_table, argc, argv);
}
