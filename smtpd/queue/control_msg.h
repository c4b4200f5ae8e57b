/*
 * queue/control_msg.h - the messages on the control socket, for its two ends: control.c and control_ask.c.
 *
 *   request   verb: id                    SUBMIT: envelope text; the message's descriptor rides along
 *   answer    status: words               LIST and SHOW: a descriptor of a file rides along, which holds the envelopes:
 *                                         le32 flags, le32 length, text; and again to its end
 */
#ifndef QUEUE_CONTROL_MSG_H
#define QUEUE_CONTROL_MSG_H

enum { CONTROL_ENTRY_HEAD = 8, CONTROL_ENTRY_ACTIVE = 1, CONTROL_TEXT_MAX = 4096, CONTROL_ENVELOPE_MAX = 100 << 10 };

#endif
