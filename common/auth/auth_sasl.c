/*
 * auth/auth_sasl.c - Cyrus SASL, kept on a short lead.
 *
 * What is checked here although the library might: the mechanism list (CVE-2022-24407 and kin sat in plug-ins that we never load), the GS2 header of
 * SCRAM against the mechanism (RFC 5802 section 6: "p" needs -PLUS and a binding, "y" where -PLUS was offered is a man in the middle), and that the
 * authorization identity is the authentication identity.
 */
#include "auth/auth_sasl.h"

#include <openssl/crypto.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <sasl/saslutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/password.h"
#include "base/limits.h"
#include "base/mem.h"

#define PLUGIN_NAME "posthouse"
#define CALLBACK(fn) ((int (*)(void))(void (*)(void))(fn))

struct auth_sasl {
	struct users *users;
	char *default_domain;
	sasl_callback_t callbacks[4];
};

struct mechanism {
	struct slice name;
	const char *method, *sasl;                                    /* in the log; for the library */
	bool scram, plus;
};

static const struct mechanism mechanisms[] = {
	{ SLICE_INIT("SCRAM-SHA-256-PLUS"), "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS", true, true },
	{ SLICE_INIT("SCRAM-SHA-256"), "SCRAM-SHA-256", "SCRAM-SHA-256", true, false },
	{ SLICE_INIT("PLAIN"), "PLAIN", "PLAIN", false, false },
	{ SLICE_INIT("LOGIN"), "LOGIN", "LOGIN", false, false },
};

struct auth_dialogue {
	struct auth_sasl *lib;
	const struct mechanism *mech;
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	sasl_channel_binding_t binding;
	struct arena *arena;                                          /* secret: holds the password of a claim */
	struct slice cb_type, cb_data, cb_end_point;
	struct slice user, password;
	bool plus_offered, tls, started, gs2_seen, temp;
	const char *why;
};

static int getopt_cb(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	static const struct { const char *name, *value; } options[] = {
		{ "mech_list", "SCRAM-SHA-256 PLAIN LOGIN" },
		{ "auxprop_plugin", PLUGIN_NAME },
		{ "canon_user_plugin", "INTERNAL" },
		{ "pwcheck_method", "none" },
		{ "auto_transition", "no" },
		{ "log_level", "0" },
	};

	(void)context;
	(void)plugin;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(option, options[i].name) != 0)
			continue;
		*result = options[i].value;
		if (len != NULL)
			*len = (unsigned)strlen(options[i].value);
		return SASL_OK;
	}
	return SASL_FAIL;
}

static int log_cb(void *context, int level, const char *text)
{
	(void)context;
	(void)level;
	(void)text;
	return SASL_OK;                                                   /* sasl_errdetail() says it again, to whom it concerns */
}

/* Plug-ins that we have no use for are not loaded; no other file of the library's is read. */
static int verifyfile_cb(void *context, const char *file, sasl_verify_type_t type)
{
	static const char *const wanted[] = { "/libscram.", "/libplain.", "/liblogin." };

	(void)context;
	if (type != SASL_VRFY_PLUGIN)
		return SASL_CONTINUE;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (slice_find(slice_of(file), slice_of(wanted[i])) >= 0)
			return SASL_OK;
	return SASL_CONTINUE;
}

/* SASL_CB_CANON_USER of a dialogue; its context is also how the auxprop plug-in finds the dialogue. */
static int canon_cb(sasl_conn_t *conn, void *context, const char *in, unsigned in_len, unsigned flags, const char *realm, char *out, unsigned out_max, unsigned *out_len)
{
	struct auth_dialogue *d = context;
	struct slice name;

	(void)conn;
	(void)realm;
	if (in_len == 0)
		in_len = (unsigned)strlen(in);
	if (users_canonical(slice_mem(in, in_len), d->lib->default_domain, d->arena, &name) != 0 || name.n + 1 > out_max) {
		d->why = "not a user name";
		return SASL_BADAUTH;
	}
	memcpy(out, name.p, name.n);
	out[name.n] = '\0';
	*out_len = (unsigned)name.n;
	if (flags & SASL_CU_AUTHID)
		d->user = name;
	return SASL_OK;
}

static int authorize_cb(sasl_conn_t *conn, void *context, const char *wanted, unsigned wanted_len, const char *proved, unsigned proved_len,
    const char *realm, unsigned realm_len, struct propctx *props)
{
	struct auth_dialogue *d = context;

	(void)conn;
	(void)realm;
	(void)realm_len;
	(void)props;
	if (slice_eq(slice_mem(wanted, wanted_len), slice_mem(proved, proved_len)))
		return SASL_OK;
	d->why = "asked to act as another user";
	return SASL_NOAUTHZ;
}

/* Takes the password of PLAIN or LOGIN down. "OK" here lets the library finish its part; the caller checks the claim. */
static int checkpass_cb(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned pass_len, struct propctx *props)
{
	struct auth_dialogue *d = context;

	(void)conn;
	(void)user;
	(void)props;
	d->password = arena_dup(d->arena, slice_mem(pass, pass_len));
	return SASL_OK;
}

static struct slice scram_property(struct auth_dialogue *d, struct slice name)
{
	struct user u;
	int rc = users_get(d->lib->users, name, d->arena, &u, NULL);

	if (rc < 0) {
		d->temp = true;
		return SLICE_NONE;
	}
	struct slice v = rc == 1 ? u.scram : SLICE_NONE;
	if (slice_is_empty(v))
		v = password_scram_nobody(name, users_secret(d->lib->users), d->arena);
	return password_scram_property(v, d->arena);
}

static int lookup_cb(void *glob, sasl_server_params_t *sp, unsigned flags, const char *user, unsigned user_len)
{
	const struct propval *p = sp->utils->prop_get(sp->propctx);
	int (*proc)(void) = NULL;
	void *ctx = NULL;

	(void)glob;
	if ((flags & SASL_AUXPROP_AUTHZID) || sp->utils->getcallback(sp->utils->conn, SASL_CB_CANON_USER, &proc, &ctx) != SASL_OK)
		return SASL_OK;
	for (; p != NULL && p->name != NULL; p++) {
		if (strcmp(p->name, "*authPassword") != 0 || p->values != NULL)
			continue;
		struct slice value = scram_property(ctx, slice_mem(user, user_len));
		if (value.n != 0)
			sp->utils->prop_set(sp->propctx, p->name, value.p, (int)value.n);
	}
	return SASL_OK;
}

static void plug_free(void *glob, const sasl_utils_t *utils)
{
	(void)utils;
	free(glob);
}

static int plug_init(const sasl_utils_t *utils, int max_version, int *out_version, sasl_auxprop_plug_t **plug, const char *name)
{
	sasl_auxprop_plug_t *p;

	(void)utils;
	(void)name;
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return SASL_BADVERS;
	p = mem_new(sizeof(*p) + sizeof(PLUGIN_NAME));
	p->name = (char *)(p + 1);
	memcpy(p->name, PLUGIN_NAME, sizeof(PLUGIN_NAME));
	p->glob_context = p;
	p->auxprop_free = plug_free;
	p->auxprop_lookup = lookup_cb;
	*plug = p;
	*out_version = SASL_AUXPROP_PLUG_VERSION;
	return SASL_OK;
}

int auth_sasl_init(struct auth_sasl **lib_out, struct users *users, const char *default_domain, struct err *e)
{
	struct auth_sasl *lib = mem_new(sizeof(*lib));
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETOPT, CALLBACK(getopt_cb), NULL },
		{ SASL_CB_LOG, CALLBACK(log_cb), NULL },
		{ SASL_CB_VERIFYFILE, CALLBACK(verifyfile_cb), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};

	lib->users = users;
	lib->default_domain = mem_str(default_domain);
	memcpy(lib->callbacks, callbacks, sizeof(callbacks));
	if (sasl_auxprop_add_plugin(PLUGIN_NAME, plug_init) != SASL_OK || sasl_server_init(lib->callbacks, PLUGIN_NAME) != SASL_OK) {
		free(lib->default_domain);
		free(lib);
		return err_set(e, ERR_TEMP, 0, "Cyrus SASL does not start: are its modules (libsasl2-modules) installed?");
	}
	*lib_out = lib;
	return 0;
}

void auth_sasl_done(struct auth_sasl **lib)
{
	if (lib == NULL || *lib == NULL)
		return;
	sasl_server_done();
	free((*lib)->default_domain);
	free(*lib);
	*lib = NULL;
}

static const struct mechanism *mechanism_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (slice_ieq(name, mechanisms[i].name))
			return &mechanisms[i];
	return NULL;
}

struct auth_dialogue *auth_dialogue_new(struct auth_sasl *lib, const struct auth_dialogue_spec *spec)
{
	const struct mechanism *mech = mechanism_find(spec->mechanism);
	struct auth_dialogue *d;

	if (mech == NULL)
		return NULL;
	d = mem_new(sizeof(*d));
	d->lib = lib;
	d->mech = mech;
	d->arena = arena_new_secret(0);
	d->cb_type = arena_dup(d->arena, spec->cb_type);
	d->cb_data = arena_dup(d->arena, spec->cb_data);
	d->cb_end_point = arena_dup(d->arena, spec->cb_end_point);
	d->plus_offered = spec->plus_offered;
	d->tls = spec->tls;
	d->why = "";
	return d;
}

static int open_conn(struct auth_dialogue *d)
{
	const sasl_security_properties_t props = { .max_ssf = 0, .maxbufsize = 0, .security_flags = SASL_SEC_NOANONYMOUS };
	const sasl_ssf_t ssf = d->tls ? 128 : 0;
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_CANON_USER, CALLBACK(canon_cb), d },
		{ SASL_CB_PROXY_POLICY, CALLBACK(authorize_cb), d },
		{ SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(checkpass_cb), d },
		{ SASL_CB_LIST_END, NULL, NULL },
	};

	memcpy(d->callbacks, callbacks, sizeof(callbacks));
	if (sasl_server_new("posthouse", "localhost", NULL, NULL, NULL, d->callbacks, SASL_SUCCESS_DATA, &d->conn) != SASL_OK)
		return -1;
	if (sasl_setprop(d->conn, SASL_SEC_PROPS, &props) != SASL_OK || sasl_setprop(d->conn, SASL_SSF_EXTERNAL, &ssf) != SASL_OK)
		return -1;
	return 0;
}

/* The library knows one binding a connection: the one that the client speaks of. */
static bool bind_by(struct auth_dialogue *d, struct slice type)
{
	const char *name = d->cb_type.p;
	struct slice data = d->cb_data;

	if (slice_eqs(type, "tls-server-end-point")) {
		name = "tls-server-end-point";
		data = d->cb_end_point;
	} else if (!slice_eq(type, d->cb_type)) {
		return false;
	}
	if (data.n == 0)
		return false;
	d->binding = (sasl_channel_binding_t){ .name = name, .critical = 1, .len = data.n, .data = (const unsigned char *)data.p };
	return sasl_setprop(d->conn, SASL_CHANNEL_BINDING, &d->binding) == SASL_OK;
}

/* The first octets of SCRAM, "n,", "y," or "p=type,": what they say of channel binding must fit the mechanism. */
static bool gs2_is_ok(struct auth_dialogue *d, struct slice first)
{
	struct slice type;

	d->gs2_seen = true;
	if (!slice_starts(first, SLICE("p="))) {
		if (d->mech->plus)
			d->why = "-PLUS without channel binding";
		else if (slice_starts(first, SLICE("y")) && d->plus_offered)
			d->why = "the client did not see SCRAM-SHA-256-PLUS in our list: someone is between us";
		else
			return true;
		return false;
	}
	first = slice_from(first, 2);
	if (!d->mech->plus)
		d->why = "channel binding without -PLUS";
	else if (!slice_next(&first, ',', &type) || !bind_by(d, type))
		d->why = "another kind of channel binding than this connection has";
	else
		return true;
	return false;
}

static enum auth_step failed(struct auth_dialogue *d, int rc)
{
	if (d->temp || rc == SASL_NOMEM || rc == SASL_UNAVAIL) {
		d->why = "password store unreadable";
		return AUTH_STEP_TEMP;
	}
	if (d->why[0] != '\0')
		return AUTH_STEP_DENIED;
	if (rc == SASL_BADPROT && d->user.n == 0) {
		d->why = "malformed response";
		return AUTH_STEP_SYNTAX;
	}
	/* From here on a wrong proof, a forged channel binding and nonsense look alike, as they should. */
	d->why = rc == SASL_BADPROT || rc == SASL_BADAUTH ? "wrong password or channel binding" : sasl_errstring(rc, NULL, NULL);
	return AUTH_STEP_DENIED;
}

static enum auth_step outcome(struct auth_dialogue *d, int rc, const char *out, unsigned out_len, struct slice *challenge_out)
{
	if (rc == SASL_CONTINUE) {
		*challenge_out = slice_mem(out, out_len);
		return AUTH_STEP_MORE;
	}
	if (rc != SASL_OK || d->user.n == 0)
		return failed(d, rc);
	*challenge_out = out != NULL ? slice_mem(out, out_len) : SLICE_NONE;
	return d->mech->scram ? AUTH_STEP_PROVED : AUTH_STEP_CLAIMED;
}

enum auth_step auth_dialogue_start(struct auth_dialogue *d, const struct slice *initial, struct slice *challenge_out)
{
	const char *out = NULL;
	unsigned out_len = 0;
	int rc;

	if (d->mech->plus && d->cb_data.n == 0 && d->cb_end_point.n == 0) {
		d->why = "no channel binding to be had on this connection";
		return AUTH_STEP_SYNTAX;
	}
	if (open_conn(d) != 0) {
		d->why = "Cyrus SASL gives no context";
		return AUTH_STEP_TEMP;
	}
	if (initial == NULL) {                                            /* an empty challenge asks for the first response */
		*challenge_out = SLICE("");
		if (slice_eqs(d->mech->name, "LOGIN")) {
			d->started = true;
			rc = sasl_server_start(d->conn, d->mech->sasl, NULL, 0, &out, &out_len);
			return outcome(d, rc, out, out_len, challenge_out);
		}
		return AUTH_STEP_MORE;
	}
	return auth_dialogue_step(d, *initial, challenge_out);
}

enum auth_step auth_dialogue_step(struct auth_dialogue *d, struct slice response, struct slice *challenge_out)
{
	const char *out = NULL, *in = response.p ? response.p : "";
	unsigned out_len = 0;
	int rc;

	if (response.n > LIMIT_AUTH_LINE) {
		d->why = "response too long";
		return AUTH_STEP_SYNTAX;
	}
	if (d->mech->scram && !d->gs2_seen && !gs2_is_ok(d, response))
		return AUTH_STEP_DENIED;
	if (response.n == 0 && !d->started && !slice_eqs(d->mech->name, "LOGIN")) {
		d->why = "empty response";
		return AUTH_STEP_SYNTAX;
	}
	if (!d->started)
		rc = sasl_server_start(d->conn, d->mech->sasl, in, (unsigned)response.n, &out, &out_len);
	else
		rc = sasl_server_step(d->conn, in, (unsigned)response.n, &out, &out_len);
	d->started = true;
	return outcome(d, rc, out, out_len, challenge_out);
}

struct slice auth_dialogue_user(const struct auth_dialogue *d)
{
	return d->user;
}

struct slice auth_dialogue_password(const struct auth_dialogue *d)
{
	return d->password;
}

const char *auth_dialogue_method(const struct auth_dialogue *d)
{
	return d->mech->method;
}

const char *auth_dialogue_why(const struct auth_dialogue *d)
{
	return d->why;
}

void auth_dialogue_free(struct auth_dialogue **dp)
{
	if (dp == NULL || *dp == NULL)
		return;
	struct auth_dialogue *d = *dp;

	if (d->conn != NULL)
		sasl_dispose(&d->conn);
	arena_free(&d->arena);
	free(d);
	*dp = NULL;
}
