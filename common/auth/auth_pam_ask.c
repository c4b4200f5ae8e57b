/*
 * auth/auth_pam_ask.c - one conversation with PAM, in a child that may be killed at any moment.
 */
#include "auth/auth_pam.h"

#include <pwd.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conversation {
	const char *password;
	struct auth_pam_verdict *verdict;
};

static char *answer_to(int style, const char *password)
{
	if (style == PAM_PROMPT_ECHO_OFF)
		return strdup(password);
	return strdup("");                                                /* informational texts, and questions nobody can answer */
}

static int converse(int n, const struct pam_message **questions, struct pam_response **answers_out, void *ctx)
{
	const struct conversation *c = ctx;
	struct pam_response *answers;

	if (n <= 0 || n > PAM_MAX_NUM_MSG || (answers = calloc((size_t)n, sizeof(*answers))) == NULL)
		return PAM_CONV_ERR;
	for (int i = 0; i < n; i++)
		answers[i].resp = answer_to(questions[i]->msg_style, c->password);
	*answers_out = answers;
	return PAM_SUCCESS;
}

/* Linux-PAM calls this instead of sleeping. */
static void note_delay(int result, unsigned usec, void *ctx)
{
	struct conversation *c = ctx;

	if (result != PAM_SUCCESS)
		c->verdict->delay_ms = usec / 1000;
}

static enum auth_result result_of(int rc)
{
	switch (rc) {
	case PAM_SUCCESS:
		return AUTH_OK;
	case PAM_ABORT:
	case PAM_AUTHINFO_UNAVAIL:
	case PAM_BUF_ERR:
	case PAM_CONV_ERR:
	case PAM_OPEN_ERR:
	case PAM_SERVICE_ERR:
	case PAM_SYMBOL_ERR:
	case PAM_SYSTEM_ERR:
		return AUTH_TEMP;
	default:
		return AUTH_DENIED;
	}
}

static bool is_root(const char *user)
{
	const struct passwd *pw = getpwnam(user);

	return strcmp(user, "root") == 0 || (pw != NULL && pw->pw_uid == 0);
}

static void set_items(pam_handle_t *h, const struct net_addr *addr)
{
	char text[NET_TEXT_MAX];
	union { void (*fn)(int, unsigned, void *); const void *item; } delay = { .fn = note_delay };

	pam_set_item(h, PAM_FAIL_DELAY, delay.item);
	pam_set_item(h, PAM_TTY, "mail");
	if (addr->len != 0)
		pam_set_item(h, PAM_RHOST, net_addr_text(addr, text));
}

void auth_pam_ask(const char *pam_service, const char *user, const char *password, const struct net_addr *addr, struct auth_pam_verdict *out)
{
	struct conversation c = { password, out };
	const struct pam_conv conv = { converse, &c };
	pam_handle_t *h = NULL;
	const char *stage = "pam_start";
	int rc;

	memset(out, 0, sizeof(*out));
	rc = pam_start(pam_service, user, &conv, &h);
	if (rc == PAM_SUCCESS) {
		set_items(h, addr);
		stage = "pam_authenticate";
		rc = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	}
	if (rc == PAM_SUCCESS) {
		stage = "pam_acct_mgmt";
		rc = pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	}
	out->result = result_of(rc);
	snprintf(out->text, sizeof(out->text), "%s: %.100s", stage, pam_strerror(h, rc));
	if (rc == PAM_SUCCESS && is_root(user)) {
		out->result = AUTH_DENIED;
		snprintf(out->text, sizeof(out->text), "root may not log in");
	}
	if (h != NULL)
		pam_end(h, rc);
}
