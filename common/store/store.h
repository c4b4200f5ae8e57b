/*
 * store/store.h - the one door to durable state (DESIGN.md section 5): blob, log, kv, lease, notify.
 *
 * Mailboxes, queue and DRAC journal are written through these verbs and nothing above them calls open, rename or fsync on mail. The default backend is
 * local files and Berkeley DB; the interface must suit an object store with compare-and-append. (To be filled by its owner; see issue 4 part 2.)
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#endif
