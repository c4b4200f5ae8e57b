/*
 * server/front.c - the process: doors, accept, who may have how many connections, the end.
 */
#include "server/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/sandbox.h"
#include "server/front_in.h"

enum { ACCEPTS_PER_TURN = 32 };

unsigned smtpd_front_count(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->front_processes > 0)
		return s->front_processes;
	return cores > 0 ? (unsigned)cores : 1;
}

void smtp_front_dismiss(struct smtp_conn *sc)
{
	sc->f->n_conns--;
	if (sc->counted)
		crowd_leave(sc->f->crowd, &sc->peer);
}

/* One line and good-bye; the socket takes that much or the client goes without. */
static void turn_away(struct smtp_front *f, int fd, const struct smtp_listener *listener, enum code c, const char *why)
{
	struct arena *a = arena_new(0);
	const char *line = arena_printf(a, "%s\r\n", code_reply(a, c, "%s %s", f->s->myhostname, why));

	if ((listener->flags & LISTENER_TLS_AT_ONCE) == 0)
		(void)send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	arena_free(&a);
	close(fd);
}

static void take_in(struct smtp_front *f, int fd, const struct net_addr *peer, const struct smtp_listener *listener)
{
	bool inside = policy_in_mynetworks(f->policy, peer) != NULL;
	char text[NET_TEXT_MAX];
	struct err e = ERR_INIT;

	if (f->closed[0] != '\0' && smtp_front_refresh(f, &e) != 0)     /* mended meanwhile? */
		log_error("%s", e.text);
	if (f->closed[0] != '\0') {
		turn_away(f, fd, listener, CODE_OPEN_RELAY, "Server configuration error: the postmaster has been told");
	} else if (f->n_conns >= f->s->smtpd_connection_limit) {
		log_warn("%s: refused connect from unknown[%s]: %u connections are open already (smtpd_connection_limit)", listener->name, net_addr_text(peer, text), f->n_conns);
		turn_away(f, fd, listener, CODE_TOO_MANY_CONNECTIONS, "Too many connections, please come again");
	} else if (!inside && peer->len != 0 && !crowd_admit(f->crowd, peer, f->s->smtpd_client_connection_limit)) {
		log_warn("Connection concurrency limit exceeded: %u from unknown[%s] for service %s", f->s->smtpd_client_connection_limit, net_addr_text(peer, text),
		    listener->name);
		turn_away(f, fd, listener, CODE_TOO_MANY_YOURS, "Error: too many connections from your address");
	} else {
		f->n_conns++;
		smtp_conn_start(f, fd, peer, listener, !inside && peer->len != 0);
	}
}

static void on_accept(void *ctx, unsigned events)
{
	struct smtp_door *door = ctx;

	(void)events;
	for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
		struct net_addr peer;
		int fd = net_accept(door->watch.fd, &peer);

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				log_warn("accept: %s", strerror(errno));
			return;
		}
		if (proxy_is_listed(door->f->proxies, &peer))
			proxy_wait(door->f->proxies, fd, &peer, door);
		else
			take_in(door->f, fd, &peer, door->listener);
	}
}

static void on_proxied(void *ctx, int fd, const struct net_addr *peer, void *arg)
{
	const struct smtp_door *door = arg;

	take_in(ctx, fd, peer, door->listener);
}

static void on_bad_proxy(void *ctx, const struct net_addr *proxy, const char *why)
{
	char text[NET_TEXT_MAX];

	log_warn("refused connect from unknown[%s]: it is in proxy_protocol_from, but %s", net_addr_text(proxy, text), why);
	smtp_front_retire_if_empty(ctx);
}

static void know_proxies(struct smtp_front *f)
{
	static const struct proxy_set_ops ops = { .on_client = on_proxied, .on_bad = on_bad_proxy };
	struct err e = ERR_INIT;

	if (proxy_set_new(&f->proxies, f->l, f->s->proxy_protocol_from, &ops, f, &e) != 0)
		log_fatal("proxy_protocol_from: %s", e.text);
}

static void listen_all(struct smtp_front *f)
{
	const struct proc_socket *socks;

	f->n_doors = proc_sockets(f->p, &socks);
	f->doors = mem_array(f->n_doors + 1, sizeof(*f->doors));
	for (size_t i = 0; i < f->n_doors; i++) {
		f->doors[i].f = f;
		f->doors[i].listener = smtp_listener_of(socks[i].kind);
		if (f->doors[i].listener == NULL)
			log_fatal("no rules for the listener %s", socks[i].name);
		if ((f->doors[i].listener->flags & LISTENER_TLS_AT_ONCE) != 0 && f->tls == NULL) {
			log_error("%s is not served: no certificate (tls_cert_file, tls_key_file)", socks[i].name);
			continue;
		}
		loop_fd_add_shared(f->l, &f->doors[i].watch, socks[i].fd, on_accept, &f->doors[i]);
	}
}

/* ---- the maps ---- */

static void log_lines(struct slice rest)
{
	struct slice line;

	while (slice_next(&rest, '\n', &line))
		if (line.n > 0)
			log_warn("%.*s", SLICE_FMT(line));
}

/* A configuration that relays for strangers is not served: better no mail than everybody's. At the start, and whenever a map has changed. */
static void judge(struct smtp_front *f)
{
	struct err e = ERR_INIT;
	bool was_closed = f->closed[0] != '\0';

	f->judged = policy_generation(f->policy);
	f->closed[0] = '\0';
	if (policy_is_closed(f->policy, &e) != 0) {
		log_error("no mail is taken: %s", e.text);
		snprintf(f->closed, sizeof(f->closed), "%s", e.text);
	} else if (was_closed) {
		log_info("mail is taken again: the maps no longer relay for strangers");
	}
}

/* A broken text does not stop mail: the last good one answers, and this is said once. */
int smtp_front_refresh(struct smtp_front *f, struct err *e)
{
	struct buf now;

	if (policy_refresh(f->policy, e) != 0)
		return -1;
	if (policy_generation(f->policy) != f->judged)
		judge(f);
	buf_init(&now, BUF_UNBOUNDED);
	policy_warnings(f->policy, &now);
	if (!slice_eq(buf_view(&now), buf_view(&f->warned))) {
		log_lines(buf_view(&now));
		buf_done(&f->warned);
		f->warned = now;
	} else {
		buf_done(&now);
	}
	return 0;
}

/* Loops and dead ends, once at the start, by one of the fronts. */
static void log_lint(struct smtp_front *f)
{
	struct buf notes;

	if (proc_index(f->p) != 0)
		return;
	buf_init(&notes, BUF_UNBOUNDED);
	(void)route_lint(policy_router(f->policy), &notes);
	log_lines(buf_view(&notes));
	buf_done(&notes);
}

/* ---- the end ---- */

void smtp_front_retire_if_empty(struct smtp_front *f)
{
	if (f->retiring && list_is_empty(&f->conns) && proxy_waiting(f->proxies) == 0)
		loop_stop(f->l);
}

static void on_retire_late(void *ctx)
{
	struct smtp_front *f = ctx;

	LIST_EACH_SAFE(n, &f->conns)
		smtp_conn_end(LIST_OF(n, struct smtp_conn, node), "Service closing, please come again");
	loop_timer_start(f->l, &f->retire, 1000, on_retire_late, f);
}

/* Who is between two messages is told to come again, the others first finish theirs. */
static void on_retire(void *ctx)
{
	struct smtp_front *f = ctx;

	f->retiring = true;
	for (size_t i = 0; i < f->n_doors; i++)
		loop_fd_del(f->l, &f->doors[i].watch);
	LIST_EACH_SAFE(n, &f->conns) {
		struct smtp_conn *sc = LIST_OF(n, struct smtp_conn, node);

		if (sc->session == NULL || smtp_session_is_between(sc->session))
			smtp_conn_end(sc, "Service closing, please come again");
	}
	loop_timer_start(f->l, &f->retire, FRONT_SMTP_RETIRE_MS, on_retire_late, f);
	smtp_front_retire_if_empty(f);
}

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct smtp_front *f = ctx;

	if (strcmp(role, "auth") == 0)
		auth_client_link(f->auth, index, fd);
	else if (strcmp(role, "queue") == 0)
		entry_link(f->entry, fd);
	else if (strcmp(role, "room") == 0)
		room_client_link(f->room, fd);
	else
		close(fd);
}

/* ---- the beginning ---- */

/* Ready means that mail can be taken: the first segment is here. A queue that never gives one must not keep the daemon from saying why to its clients. */
static void say_ready(void *ctx)
{
	struct smtp_front *f = ctx;
	const char *why;

	if (entry_state(f->entry, &why) == ENTRY_NO_SEGMENT && f->ready_looks++ < FRONT_SMTP_READY_MS / FRONT_SMTP_READY_LOOK_MS)
		loop_timer_start(f->l, &f->ready, FRONT_SMTP_READY_LOOK_MS, say_ready, f);
	else
		proc_ready(f->p);
}

static void read_certificate(struct smtp_front *f)
{
	struct err e = ERR_INIT;

	if (f->s->tls_cert_file[0] == '\0' || f->s->tls_key_file[0] == '\0')
		return;
	if (tls_server_ctx(&f->tls, f->s->tls_cert_file, f->s->tls_key_file, "smtp", &e) != 0) {
		f->tls = NULL;
		log_error("no TLS: %s", e.text);
	}
}

static void read_policy(struct smtp_front *f)
{
	struct err e = ERR_INIT;

	if (policy_new(&f->policy, f->s, &e) != 0)
		log_fatal("%s", e.text);
	judge(f);
}

static void open_dns(struct smtp_front *f)
{
	struct err e = ERR_INIT;

	if (dns_new(&f->dns, f->l, f->s->resolv_conf, f->s->dns_server, &e) != 0) {
		f->dns = NULL;
		log_error("no DNS: %s", e.text);
	}
	f->names = names_new(f->l, f->dns, "/etc/hosts");
}

static const char *dir_of(const char *path, struct arena *a)
{
	ptrdiff_t slash = slice_rchr(slice_of(path), '/');

	return slash <= 0 ? "/" : arena_str(a, slice_head(slice_of(path), (size_t)slash));
}

static const char *large_of(const struct settings *s, struct arena *a)
{
	return arena_printf(a, "%s/large", s->spool_directory);
}

/* Directories, not files, where a file is replaced by rename. The table of DRAC only where policy reads it (policy.c). */
void smtpd_front_sandbox(const struct settings *s, struct arena *a, struct sandbox *out)
{
	const char *table = s->drac && !s->drac_match_sender ? dir_of(s->drac_table, a) : NULL;
	const char *const read[] = { s->config_directory, dir_of(s->accounts_db, a), s->spool_directory, s->resolv_conf, "/etc/hosts", "/etc/localtime",
	    "/usr/share/zoneinfo", table, NULL };
	const char **reads = arena_array(a, sizeof(read) / sizeof(read[0]), sizeof(*reads)), **writes = arena_array(a, 2, sizeof(*writes));

	memcpy(reads, read, sizeof(read));
	writes[0] = large_of(s, a);
	writes[1] = NULL;
	*out = (struct sandbox){ .needs = SANDBOX_UNIX | SANDBOX_NET_OUT | SANDBOX_THREADS, .read_paths = reads, .write_paths = writes };
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0' || (n > 0 && dir[n - 1] == '/'));
}

/* Landlock knows no exceptions below a directory: a secret that lies there can be read by whoever takes this process over. */
static void warn_of_secret(const struct sandbox *sb, const char *setting, const char *path)
{
	for (const char *const *dir = sb->read_paths; *dir != NULL; dir++)
		if (is_below(path, *dir))
			log_warn("%s: %s lies below %s, which the processes that speak with strangers may read: move it to a directory of its own", setting, path, *dir);
}

static void confine(const struct smtp_front *f)
{
	struct arena *a = arena_new(0);
	struct sandbox sb;
	struct err e = ERR_INIT;

	smtpd_front_sandbox(f->s, a, &sb);
	if (proc_index(f->p) == 0) {
		warn_of_secret(&sb, "users_db", f->s->users_db);
		warn_of_secret(&sb, "tls_key_file", f->s->tls_key_file);
	}
	if (file_mkdirs(large_of(f->s, a), 0700, &e) != 0)
		log_fatal("%s", e.text);
	if (sandbox_enter(&sb, &e) != 0)
		log_fatal("front cannot confine itself: %s", e.text);
	arena_free(&a);
}

void smtpd_front_run(struct proc *p)
{
	static const struct proc_events events = { .on_link = on_link, .on_retire = on_retire };
	struct smtp_front f = { .p = p, .l = proc_loop(p), .s = proc_settings(p) };

	list_init(&f.conns);
	buf_init(&f.warned, BUF_UNBOUNDED);
	f.crowd = crowd_new(proc_shared(p), proc_generation(p), proc_index(p));
	read_certificate(&f);
	read_policy(&f);
	log_lint(&f);
	open_dns(&f);
	f.auth = auth_client_new(f.l, f.s);
	f.drac = f.s->drac ? drac_client_new(f.l, f.s->drac_socket) : NULL;
	know_proxies(&f);
	listen_all(&f);
	confine(&f);
	f.entry = entry_new(f.l, f.s);
	f.room = room_client_new(f.l);
	proc_start(p, &events, &f);
	say_ready(&f);
	loop_run(f.l);
	loop_timer_stop(f.l, &f.ready);
	room_client_free(&f.room);
	entry_free(&f.entry);
	auth_client_free(&f.auth);
	drac_client_free(&f.drac);
	names_free(&f.names);
	dns_free(&f.dns);
	policy_free(&f.policy);
	proxy_set_free(&f.proxies);
	tls_ctx_unref(&f.tls);
	crowd_free(&f.crowd);
	buf_done(&f.warned);
	free(f.doors);
}
