/*
 * serve/flusher.h - one thread for what blocks in the device: write, fdatasync, syncfs. The only threads of the product are these.
 *
 * One job at a time: work() runs in the thread and may touch nothing that the loop touches until done() runs in the loop.
 *
 * Where the process forks beside it without exec (dracd does), work() must make system calls alone: a child inherits every lock that the thread holds in
 * that moment, for good. The C library takes care of its own malloc, a sanitizer's does not. flusher_new() returns when the thread has begun, so that
 * its own beginnings are over too.
 */
#ifndef SERVE_FLUSHER_H
#define SERVE_FLUSHER_H

#include "io/loop.h"

struct flusher;
struct flusher *flusher_new(struct loop *l);
void flusher_free(struct flusher **f);                                /* waits for a running job; its done() is not called */
bool flusher_is_busy(const struct flusher *f);                        /* until done() was called */
void flusher_start(struct flusher *f, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);   /* must not be busy */

#endif
