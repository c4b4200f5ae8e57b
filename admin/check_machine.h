/*
 * admin/check_machine.h - what `posthouse check` looks at outside the settings: the owner of mail, certificate and key, secrets, accounts, PAM's file.
 *
 * Appends a line for each thing that an admin would want to know before users do, with what to do about it. None of them is wrong in the settings.
 * As root it asks what mail_owner can read, by becoming him in a child; started by anybody else it asks for itself.
 */
#ifndef ADMIN_CHECK_MACHINE_H
#define ADMIN_CHECK_MACHINE_H

#include "base/buf.h"
#include "conf/settings.h"

void check_machine(const struct settings *s, struct buf *warnings);

#endif
