/*
 * serve/login.c - the front of pop3d and imapd: accept, TLS, the dialogue up to the login.
 *
 * Runs as posthouse, sandboxed. May open: nothing (sockets come from the supervisor, certificates are read before the sandbox closes). Never sees: a
 * mailbox, users.db. Strangers' octets are parsed here and by the protocol's login part alone.
 */
#include "serve/login.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "serve/front.h"
#include "serve/sandbox.h"

enum { ACCEPTS_PER_TURN = 16, DECIDE_MS = 300 };

unsigned login_front_count(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->front_processes > 0)
		return s->front_processes;
	return cores > 0 ? (unsigned)cores : 1;
}

unsigned login_auth_count(const struct settings *s)
{
	return s->auth_processes > 0 ? s->auth_processes : 1;
}

unsigned login_one(const struct settings *s)
{
	(void)s;
	return 1;
}

/*
 * The life of a connection
 */

void fconn_logged_in(struct fconn *fc)
{
	if (fc->counted) {
		fc->f->n_conns--;
		crowd_leave(fc->f->crowd, &fc->info.peer);
	}
	fc->counted = false;
	loop_timer_stop(fc->f->l, &fc->timer);
}

void front_retire_if_empty(struct front *f)
{
	if (f->decided && list_is_empty(&f->conns) && list_is_empty(&f->ready) && list_is_empty(&f->passed) && proxy_waiting(f->proxies) == 0)
		loop_stop(f->l);
}

void fconn_free(struct fconn *fc)
{
	struct front *f = fc->f;

	fconn_logged_in(fc);
	if (fc->auth != NULL)
		auth_cancel(fc->auth);
	if (fc->state == FC_PARKED && fc->link != NULL)
		session_msg_id(fc->link->c, SMSG_GONE, fc->card.id);
	if (fc->state == FC_SHOVEL || fc->state == FC_PARKED)
		(void)hmap_del(f->by_id, slice_mem(&fc->card.id, sizeof(fc->card.id)));
	loop_fd_del(f->l, &fc->watch);
	if (fc->fd >= 0)
		close(fc->fd);
	conn_free(&fc->c);
	conn_free(&fc->pair);
	arena_free(&fc->arena);
	buf_done(&fc->kept);
	free(fc->texts);
	list_remove(&fc->node);
	free(fc);
	front_retire_if_empty(f);
}

void fconn_close(struct fconn *fc)
{
	if (fc->state == FC_SHOVEL || fc->state == FC_PARKED)
		(void)hmap_del(fc->f->by_id, slice_mem(&fc->card.id, sizeof(fc->card.id)));
	fc->state = FC_CLOSING;
	if (fc->auth != NULL)
		auth_cancel(fc->auth);
	fc->auth = NULL;
	conn_flush(fc->c);
	conn_close(fc->c);
}

static void greet(struct fconn *fc)
{
	fc->s = fc->f->proto->open(fc->arena, &fc->info, conn_out(fc->c));
	fc->state = FC_DIALOGUE;
	conn_flush(fc->c);
}

static void set_offers(struct fconn *fc, bool tls)
{
	struct front *f = fc->f;

	fc->info.tls = tls;
	fc->info.starttls_ok = !tls && f->tls != NULL;
	fc->info.mechanisms = auth_mechanisms(f->s, tls, &fc->info.peer, fc->arena);
	fc->info.plaintext_ok = auth_plaintext_ok(f->s, tls, &fc->info.peer);
}

/* Octets behind STARTTLS in plain are an attack or a broken client: they never run, and the connection ends (CVE-2011-0411). */
static void start_tls(struct fconn *fc, size_t used, size_t out_before)
{
	char addr[NET_TEXT_MAX];

	if (conn_input(fc->c).n > used) {
		log_info("login failed: user=<>, method=STARTTLS, rip=%s, session=<%s>, reason=octets behind STARTTLS",
		    net_addr_text(&fc->info.peer, addr), fc->session_id);
		buf_cut(conn_out(fc->c), out_before);
		fc->f->proto->refuse("Nothing may follow STARTTLS before TLS is up", conn_out(fc->c));
		fconn_close(fc);
		return;
	}
	conn_take(fc->c, used);
	fc->state = FC_HANDSHAKE;
	conn_flush(fc->c);
	conn_start_tls(fc->c, fc->f->tls, NULL, NULL);
}

static void heed(struct fconn *fc, enum login_want want, const struct login_ask *ask, size_t used, size_t out_before)
{
	switch (want) {
	case LOGIN_INPUT:
		conn_take(fc->c, used);
		break;
	case LOGIN_STARTTLS:
		start_tls(fc, used, out_before);
		break;
	case LOGIN_CLOSE:
		conn_take(fc->c, used);
		fconn_close(fc);
		break;
	case LOGIN_AUTH:
	case LOGIN_RESPONSE:
	case LOGIN_CANCEL:
	case LOGIN_PASSWORD:
		fconn_auth_want(fc, want, ask);                       /* ask borrows from the input: taken afterwards */
		if (fc->c != NULL)
			conn_take(fc->c, used);
		if (fc->state == FC_READY)
			fconn_hand_over(fc);
		break;
	}
}

/* Whom we do not know as a proxy shall not tell us who its client is. */
static bool is_false_proxy(struct fconn *fc, struct slice in)
{
	char addr[NET_TEXT_MAX];
	bool first = !fc->heard;

	fc->heard = true;
	if (!first || !proxy_is_header(in))
		return false;
	log_info("login refused: rip=%s, session=<%s>, reason=a PROXY header, and proxy_protocol_from does not list that address",
	    net_addr_text(&fc->info.peer, addr), fc->session_id);
	fc->f->proto->refuse("PROXY header not permitted from your address", conn_out(fc->c));
	fconn_close(fc);
	return true;
}

void fconn_drive(struct fconn *fc)
{
	while (fc->state == FC_DIALOGUE && conn_unsent(fc->c) < FRONT_OUT_HIGH) {
		struct slice in = conn_input(fc->c);
		struct login_ask ask;
		enum login_want want;
		size_t used = 0, before = conn_out(fc->c)->len;

		if (in.n == 0)
			break;
		if (is_false_proxy(fc, in))
			return;
		want = fc->f->proto->input(fc->s, in, &used, conn_out(fc->c), &ask);
		if (want == LOGIN_INPUT && used == 0)
			break;
		conn_flush(fc->c);
		heed(fc, want, &ask, used, before);
		if (want != LOGIN_INPUT && want != LOGIN_CANCEL)
			return;                                       /* it may be gone */
	}
}

static void on_input(void *ctx)
{
	struct fconn *fc = ctx;

	if (fc->state == FC_DIALOGUE)
		fconn_drive(fc);
	else if (fc->state == FC_SHOVEL)
		fconn_shovel_in(fc);
	else if (fc->state == FC_PARKED)
		fconn_unpark(fc);
}

static void on_drained(void *ctx)
{
	struct fconn *fc = ctx;

	if (fc->state == FC_READY)
		fconn_hand_over(fc);
	else if (fc->state == FC_DIALOGUE)
		fconn_drive(fc);
	else if (fc->state == FC_SHOVEL)
		fconn_shovel_out(fc);
}

static void on_tls(void *ctx)
{
	struct fconn *fc = ctx;

	set_offers(fc, true);
	if (fc->s == NULL) {
		greet(fc);
		return;
	}
	fc->f->proto->tls_started(fc->s);
	fc->state = FC_DIALOGUE;
}

/* A client that has said all it will may still wait for answers. */
static void on_eof(void *ctx)
{
	struct fconn *fc = ctx;

	fc->client_ended = true;
	if (fc->state == FC_DIALOGUE)
		fconn_close(fc);
	else if (fc->state == FC_SHOVEL)
		fconn_shovel_end(fc);
	else if (fc->state == FC_PARKED)
		fconn_free(fc);
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct fconn *fc = ctx;
	char addr[NET_TEXT_MAX];

	if (why == CONN_TLS_FAILED)
		log_info("TLS failed: rip=%s, session=<%s>: %s", net_addr_text(&fc->info.peer, addr), fc->session_id, e->text);
	fconn_free(fc);
}

static const struct conn_ops client_ops = { .on_input = on_input, .on_tls = on_tls, .on_drained = on_drained, .on_close = on_close,
	.on_eof = on_eof };

static void on_login_timeout(void *ctx)
{
	struct fconn *fc = ctx;

	if (fc->state == FC_HANDSHAKE || fc->s == NULL) {
		fconn_free(fc);
		return;
	}
	fc->f->proto->timeout(fc->s, conn_out(fc->c));
	fconn_close(fc);
}

static void make_session_id(struct front *f, char out[16])
{
	uint64_t r;

	(void)f;
	text_random(&r, sizeof(r));
	(void)num_to_base36(r, out);
}

static struct fconn *fconn_new(struct front *f, int fd, const struct net_addr *peer)
{
	struct conn_limits lim = { .in_max = f->proto->line_max, .out_max = FRONT_OUT_MAX, .out_high = FRONT_OUT_HIGH };
	struct fconn *fc = mem_new(sizeof(*fc));

	fc->f = f;
	fc->fd = -1;
	fc->counted = true;
	fc->arena = arena_new(512);
	fc->info.s = f->s;
	fc->info.peer = *peer;
	make_session_id(f, fc->session_id);
	fc->info.session_id = fc->session_id;
	fc->c = conn_new(f->l, fd, &lim, &client_ops, fc);
	list_append(&f->conns, &fc->node);
	loop_timer_start(f->l, &fc->timer, (int64_t)f->s->login_timeout * 1000, on_login_timeout, fc);
	return fc;
}

/* One line and good-bye, without a connection of our own: the socket takes that much or the client goes without. */
static void turn_away(struct front *f, int fd, int kind, const char *why)
{
	struct buf out;

	buf_init(&out, 1024);
	f->proto->refuse(why, &out);
	if (kind != LOGIN_PORT_TLS)
		(void)send(fd, out.p, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	buf_done(&out);
}

static void take_in(struct front *f, int fd, const struct net_addr *peer, int kind)
{
	char addr[NET_TEXT_MAX];
	struct fconn *fc;

	if (!crowd_admit(f->crowd, peer, f->s->login_client_limit)) {
		log_info("login refused: rip=%s, reason=%u connections of that address wait for their login already", net_addr_text(peer, addr),
		    f->s->login_client_limit);
		turn_away(f, fd, kind, "Too many connections of your address wait for their login, close some of them");
		return;
	}
	f->n_conns++;
	fc = fconn_new(f, fd, peer);
	if (kind == LOGIN_PORT_TLS) {
		fc->state = FC_HANDSHAKE;
		conn_start_tls(fc->c, f->tls, NULL, NULL);
		return;
	}
	set_offers(fc, false);
	greet(fc);
}

/* Room for a new one is made by the stranger who waited longest (silent clients must not keep others out). */
static void make_room(struct front *f)
{
	struct list_node *n = list_first(&f->conns);
	struct fconn *fc;

	if (f->n_conns < f->s->login_limit || n == NULL)
		return;
	fc = LIST_OF(n, struct fconn, node);
	if (fc->s != NULL && fc->state == FC_DIALOGUE) {
		f->proto->refuse("Too many clients wait for their login, and you waited longest", conn_out(fc->c));
		conn_flush(fc->c);
	}
	list_remove(&fc->node);
	list_append(&f->conns, &fc->node);
	if (fc->state == FC_HANDSHAKE) {
		fconn_free(fc);
		return;
	}
	fconn_logged_in(fc);
	fconn_close(fc);
}

static void on_accept(void *ctx, unsigned events)
{
	struct front_listener *li = ctx;
	struct front *f = li->f;

	(void)events;
	for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
		struct net_addr peer;
		int fd = net_accept(li->watch.fd, &peer);

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				log_warn("accept: %s", strerror(errno));
			return;
		}
		if (proxy_is_listed(f->proxies, &peer)) {
			proxy_wait(f->proxies, fd, &peer, li);
			continue;
		}
		make_room(f);
		take_in(f, fd, &peer, li->kind);
	}
}

static void on_proxied(void *ctx, int fd, const struct net_addr *peer, void *arg)
{
	const struct front_listener *li = arg;

	make_room(ctx);
	take_in(ctx, fd, peer, li->kind);
}

static void on_bad_proxy(void *ctx, const struct net_addr *proxy, const char *why)
{
	char addr[NET_TEXT_MAX];

	log_warn("login refused: rip=%s, reason=it is in proxy_protocol_from, but %s", net_addr_text(proxy, addr), why);
	front_retire_if_empty(ctx);
}

static void know_proxies(struct front *f)
{
	static const struct proxy_set_ops proxy_ops = { .on_client = on_proxied, .on_bad = on_bad_proxy };
	struct err e = ERR_INIT;

	if (proxy_set_new(&f->proxies, f->l, f->s->proxy_protocol_from, &proxy_ops, f, &e) != 0)
		log_fatal("proxy_protocol_from: %s", e.text);
}

/*
 * The process
 */

static void listen_all(struct front *f)
{
	const struct proc_socket *socks;

	f->n_listeners = proc_sockets(f->p, &socks);
	f->listeners = mem_array(f->n_listeners, sizeof(*f->listeners));
	for (size_t i = 0; i < f->n_listeners; i++) {
		if (socks[i].kind == LOGIN_PORT_TLS && f->tls == NULL) {
			log_error("%s is not served: no certificate (tls_cert_file, tls_key_file)", socks[i].name);
			continue;
		}
		f->listeners[i].f = f;
		f->listeners[i].kind = socks[i].kind;
		loop_fd_add_shared(f->l, &f->listeners[i].watch, socks[i].fd, on_accept, &f->listeners[i]);
	}
}

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct front *f = ctx;

	if (strcmp(role, "auth") == 0)
		auth_client_link(f->auth, index, fd);
	else if (strcmp(role, "spawner") == 0)
		front_spawner_link(f, proc_link_generation(f->p), fd);
	else
		close(fd);
}

/* Where the daemon only reloads, the next generation's spawner has linked itself by now. Strangers then finish their login, the others stay. */
static void on_decide(void *ctx)
{
	struct front *f = ctx;

	f->decided = true;
	if (f->next_generation && !proc_is_stopping(f->p)) {
		front_retire_if_empty(f);
		return;
	}
	LIST_EACH_SAFE(n, &f->conns) {
		struct fconn *fc = LIST_OF(n, struct fconn, node);

		if (fc->s == NULL) {
			fconn_free(fc);
			continue;
		}
		f->proto->refuse("The server is being stopped, please come again", conn_out(fc->c));
		fconn_close(fc);
	}
	front_end_all(f);
	front_retire_if_empty(f);
}

static void on_retire(void *ctx)
{
	struct front *f = ctx;

	f->retiring = true;
	for (size_t i = 0; i < f->n_listeners; i++)
		loop_fd_del(f->l, &f->listeners[i].watch);
	loop_timer_start(f->l, &f->decide, DECIDE_MS, on_decide, f);
}

static void read_certificate(struct front *f)
{
	struct err e = ERR_INIT;

	if (f->s->tls_cert_file[0] == '\0' || f->s->tls_key_file[0] == '\0')
		return;
	if (tls_server_ctx(&f->tls, f->s->tls_cert_file, f->s->tls_key_file, f->proto->name, &e) < 0) {
		f->tls = NULL;
		log_error("no TLS: %s", e.text);
	}
}

static void confine(void)
{
	static const char *const nothing[] = { NULL };
	struct sandbox sb = { .needs = SANDBOX_DGRAM, .read_paths = nothing, .write_paths = nothing };
	struct err e = ERR_INIT;

	if (sandbox_enter(&sb, &e) < 0)
		log_fatal("front cannot confine itself: %s", e.text);
}

void login_front_run(struct proc *p, const struct login_proto *proto)
{
	static const struct proc_events events = { .on_link = on_link, .on_retire = on_retire };
	struct front f = { .p = p, .l = proc_loop(p), .s = proc_settings(p), .proto = proto };

	list_init(&f.conns);
	list_init(&f.ready);
	list_init(&f.passed);
	list_init(&f.links);
	f.by_id = hmap_new();
	f.crowd = crowd_new(proc_shared(p), proc_generation(p), proc_index(p));
	text_random(&f.next_id, sizeof(f.next_id));
	read_certificate(&f);
	f.auth = auth_client_new(f.l, f.s);
	know_proxies(&f);
	listen_all(&f);
	confine();
	proc_start(p, &events, &f);
	proc_ready(p);
	loop_run(f.l);
	auth_client_free(&f.auth);
	front_links_free(&f);
	proxy_set_free(&f.proxies);
	tls_ctx_unref(&f.tls);
	hmap_free(&f.by_id);
	crowd_free(&f.crowd);
	free(f.listeners);
}
