/*
 * io/chan.h - messages between our own processes: SOCK_SEQPACKET pairs, one struct a message, descriptors ride along.
 *
 * A message is a type and fields, packed by msg_put_* and read by msg_get_* in the same order; each protocol between two processes has one
 * module that does both. A reader that finds a message short or long treats its peer as broken: it closes the channel.
 * Sending never blocks: what the socket does not take waits in the channel. chan_is_full() says from half of LIMIT_CHAN_BACKLOG on that it
 * is time to stop; over the whole the channel is closed, as it is when a message is larger than LIMIT_CHAN_MESSAGE.
 * Every message that the peer sent before it went is told before on_close. on_close comes from the loop, never from inside chan_send().
 */
#ifndef IO_CHAN_H
#define IO_CHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "io/loop.h"

#define LIMIT_CHAN_BACKLOG (8u << 20)

struct chan;

struct msg {                                                          /* being written or read */
	uint32_t type;
	struct buf body;                                              /* writing: owned */
	struct slice rest;                                            /* reading: borrowed */
	int fd;                                                       /* -1: none. Reading: the receiver's to close; msg_take_fd() keeps it */
	bool broken;                                                  /* a get went past the end, or a text was over its cap */
};

struct chan_ops {
	void (*on_msg)(void *ctx, struct msg *m);                     /* m and its slices are borrowed for the call */
	void (*on_close)(void *ctx);                                  /* peer gone or broken; last call; then chan_free() */
	void (*on_space)(void *ctx);                                  /* backlog empty again after chan_is_full(); may be NULL */
};

int chan_pair(int fds[2], struct err *e);
struct chan *chan_new(struct loop *l, int fd, const struct chan_ops *ops, void *ctx);   /* takes over fd */
void chan_free(struct chan **c);                                      /* also from its own callbacks; what waits unsent is dropped */
void chan_drain(struct chan *c);                                      /* tells what waits in the socket now, not from the loop; on_msg may not free c then */
bool chan_is_full(const struct chan *c);

void msg_init(struct msg *m, uint32_t type);
void msg_put_u32(struct msg *m, uint32_t v);
void msg_put_u64(struct msg *m, uint64_t v);
void msg_put_slice(struct msg *m, struct slice s);                    /* with its length */
void msg_put_str(struct msg *m, const char *s);
uint32_t msg_get_u32(struct msg *m);                                  /* 0 and broken past the end */
uint64_t msg_get_u64(struct msg *m);
struct slice msg_get_slice(struct msg *m, size_t max);
bool msg_done(const struct msg *m);                                   /* everything read, nothing broken */
int msg_take_fd(struct msg *m);                                       /* -1: there was none */
void chan_send(struct chan *c, struct msg *m);                        /* m is done afterwards; its fd, if any, is closed after it went */

/* Synchronous use by commands (posthouse queue ...): one message out, one in, with a deadline over both. m is done afterwards. fd stays the
   caller's. On 0 the caller reads reply_out and ends it with msg_free(), which closes a descriptor that was not taken. */
int chan_call_fd(int fd, struct msg *m, struct msg *reply_out, int timeout_ms, struct err *e) WARN_UNUSED;
void msg_free(struct msg *m);

#endif
