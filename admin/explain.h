/*
 * admin/explain.h - what the files of `posthouse explain` share.
 */
#ifndef ADMIN_EXPLAIN_H
#define ADMIN_EXPLAIN_H

#include "admin/commands.h"
#include "server/policy.h"

/* One delivery that is asked about; borrowed texts. */
struct explain_case {
	const struct settings *s;
	const struct smtp_listener *listener;
	struct net_addr addr;
	struct slice name, login;
	enum relay_name name_state;
	const struct path *from, *to;
	enum policy_dns dns, rcpt_dns;                                /* of the sender's domain and the recipient's, where they were asked */
	enum relay_drac drac;                                         /* NOT_ASKED, until it must be */
	uint64_t size;                                                /* octets, as SIZE= of MAIL says; 0: nothing said */
};

/* smtpd's verdict on it by p; steps may be NULL. client_out and sender_out are filled in for whoever goes on with them. */
int explain_judge(struct policy *p, const struct explain_case *c, struct policy_client *client_out, struct policy_sender *sender_out, struct buf *steps, struct arena *a,
    struct policy_verdict *out, struct err *e) WARN_UNUSED;

/* The question for room: the verdict may become a refusal. Becomes the owner of the mail where it must. */
void explain_room(const struct explain_case *c, struct policy_verdict *v, struct buf *steps, struct arena *a);

/* Prints the smallest change that turns the verdict, tried out on a copy of the access map before it is told; then what else would help. */
void explain_change(const struct explain_case *c, const struct policy_client *client, const struct policy_verdict *v, struct arena *a);

/* `posthouse explain CODE`: a code, or a whole reply that ends in one. Returns the exit status. */
int explain_code(const char *text);

#endif
