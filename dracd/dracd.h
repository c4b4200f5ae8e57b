/*
 * dracd/dracd.h - the daemon's table and the bodies of its processes.
 */
#ifndef DRACD_DRACD_H
#define DRACD_DRACD_H

#include "serve/super.h"

enum { DRACD_ON_UDP = 1, DRACD_ON_TCP, DRACD_ON_LOCAL, DRACD_ON_TLS };

extern const struct daemon_table dracd_table;

void dracd_run(struct proc *p);                                       /* proc_dracd.c: the table and all its doors */
void dracd_portmap_run(struct proc *p);                               /* proc_portmap.c: keeps rpcbind told of versions 1 and 2 */

#endif
