/*
 * dracd/doors.c - see the header.
 */
#include "dracd/doors.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "dracd/rpc.h"
#include "io/conn.h"
#include "io/tls_peer.h"
#include "io/udp.h"
#include "serve/flusher.h"

#define UDP_BATCH 64
#define WAIT_MAX_MS 60000
#define OUT_MAX (1u << 20)
#define REFUSED_AGAIN_MS 60000

struct door {
	struct doors *doors;
	struct list_node node;
	struct loop_fd watch;
	enum core_door kind;
	int fd;
};

struct stream {
	struct doors *doors;
	struct list_node node;                                        /* oldest activity first */
	struct conn *conn;
	struct core_caller caller;
	struct buf record;                                            /* fragments so far */
	bool in_record;
	struct rpc_mark pull;                                         /* of a PULL that waits */
	bool is_waiting;
	struct loop_timer wait_timer;
};

struct answer {                                                       /* waits for the flush */
	struct list_node node;
	struct stream *stream;                                        /* NULL: UDP, or gone */
	struct udp_way way;                                           /* of a datagram; fd -1: gone */
	struct rpc_mark mark;
	struct buf out;
};

struct doors {
	struct loop *loop;
	struct core *core;
	struct tls_ctx *tls;
	struct list_node all, streams;
	struct list_node answers, flying;                             /* that wait for the next flush; for the one that runs */
	struct flusher *flusher;
	unsigned n_streams;
	uint64_t told_serial;
	struct loop_task round;
	char refused_addr[NET_TEXT_MAX], refused_why[256];            /* the last one */
	int64_t refused_at;
	void (*on_change)(void *ctx);
	void *change_ctx;
};

struct table_time doors_now(const struct loop *l)
{
	return (struct table_time){ loop_wall_us(l) / 1000000, loop_now(l) / 1000 };
}

struct doors *doors_new(struct loop *l, struct core *c, struct tls_ctx *tls)
{
	struct doors *d = mem_new(sizeof(*d));

	d->loop = l;
	d->core = c;
	d->tls = tls ? tls_ctx_ref(tls) : NULL;
	list_init(&d->all);
	list_init(&d->streams);
	list_init(&d->answers);
	list_init(&d->flying);
	d->flusher = flusher_new(l);
	return d;
}

void doors_on_change(struct doors *d, void (*fn)(void *ctx), void *ctx)
{
	d->on_change = fn;
	d->change_ctx = ctx;
}

/*
 * Sending
 */

static void send_record(struct stream *st, struct slice reply)
{
	struct buf mark;

	buf_init(&mark, 16);
	xdr_put_u32(&mark, DRAC_RECORD_LAST | (uint32_t)reply.n);
	conn_write(st->conn, buf_view(&mark));
	conn_write(st->conn, reply);
	buf_done(&mark);
}

static void send_answer(struct answer *a)
{
	if (a->stream != NULL)
		send_record(a->stream, buf_view(&a->out));
	else if (a->way.fd >= 0)
		udp_send(&a->way, buf_view(&a->out));
}

static void answer_free(struct answer *a)
{
	list_remove(&a->node);
	buf_done(&a->out);
	free(a);
}

static void send_all(struct list_node *answers, bool ok)
{
	struct list_node *n;

	while ((n = list_first(answers)) != NULL) {
		struct answer *a = LIST_OF(n, struct answer, node);
		if (!ok) {
			buf_reset(&a->out);
			rpc_failed(&a->mark, &a->out);
		}
		send_answer(a);
		answer_free(a);
	}
}

static void flush_answers(struct doors *d);

static void flush_work(void *ctx)
{
	core_sync_work(((struct doors *)ctx)->core);
}

static void on_flushed(void *ctx)
{
	struct doors *d = ctx;

	send_all(&d->flying, core_sync_end(d->core) == 0);
	flush_answers(d);                                                 /* what gathered meanwhile */
	if (d->on_change != NULL)
		d->on_change(d->change_ctx);
}

static void flush_answers(struct doors *d)
{
	struct list_node *n;

	if (flusher_is_busy(d->flusher) || (list_is_empty(&d->answers) && !core_is_dirty(d->core)))
		return;
	if (!core_sync_begin(d->core)) {
		send_all(&d->answers, core_sync_end(d->core) == 0);
		return;
	}
	while ((n = list_first(&d->answers)) != NULL) {
		list_remove(n);
		list_append(&d->flying, n);
	}
	flusher_start(d->flusher, flush_work, on_flushed, d);
}

static void tell_pull(struct stream *st)
{
	struct buf out;

	st->is_waiting = false;
	loop_timer_stop(st->doors->loop, &st->wait_timer);
	buf_init(&out, BUF_UNBOUNDED);
	rpc_pull(st->doors->core, &st->pull, &out);
	send_record(st, buf_view(&out));
	buf_done(&out);
}

static void on_round_end(void *ctx)
{
	struct doors *d = ctx;

	flush_answers(d);
	if (d->told_serial != core_serial(d->core)) {
		d->told_serial = core_serial(d->core);
		LIST_EACH_SAFE(n, &d->streams) {
			struct stream *st = LIST_OF(n, struct stream, node);
			if (st->is_waiting)
				tell_pull(st);
		}
	}
	if (d->on_change != NULL)
		d->on_change(d->change_ctx);
}

void doors_news(struct doors *d)
{
	loop_task_queue(d->loop, &d->round, on_round_end, d);
}

static struct answer *answer_later(struct doors *d, const struct rpc_mark *mark, struct buf *out)
{
	struct answer *a = mem_new(sizeof(*a));

	a->mark = *mark;
	a->out = *out;                                                    /* takes the octets over */
	a->way.fd = -1;
	list_append(&d->answers, &a->node);
	doors_news(d);
	return a;
}

/*
 * Streams
 */

static void forget_stream(struct list_node *answers, const struct stream *st)
{
	LIST_EACH(n, answers) {
		struct answer *a = LIST_OF(n, struct answer, node);
		if (a->stream == st)
			a->stream = NULL;
	}
}

static void stream_free(struct stream *st)
{
	forget_stream(&st->doors->answers, st);
	forget_stream(&st->doors->flying, st);
	loop_timer_stop(st->doors->loop, &st->wait_timer);
	list_remove(&st->node);
	st->doors->n_streams--;
	conn_free(&st->conn);
	buf_done(&st->record);
	free(st);
}

static void on_wait_over(void *ctx)
{
	tell_pull(ctx);
}

static void wait_for_news(struct stream *st, const struct rpc_mark *mark)
{
	int64_t ms = mark->pull.wait_ms < WAIT_MAX_MS ? (int64_t)mark->pull.wait_ms : WAIT_MAX_MS;

	if (st->is_waiting)
		tell_pull(st);                                            /* one at a time: the older one hears what there is */
	st->pull = *mark;
	st->is_waiting = true;
	loop_timer_start(st->doors->loop, &st->wait_timer, ms, on_wait_over, st);
}

static void handle_record(struct stream *st, struct slice record)
{
	struct doors *d = st->doors;
	struct rpc_mark mark;
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	switch (rpc_handle(d->core, &st->caller, record, doors_now(d->loop), &out, &mark)) {
	case RPC_NOW:
		send_record(st, buf_view(&out));
		break;
	case RPC_SYNC:
		answer_later(d, &mark, &out)->stream = st;
		return;
	case RPC_WAIT:
		wait_for_news(st, &mark);
		break;
	case RPC_DROP:
		break;
	}
	buf_done(&out);
}

static bool has_limits(const struct stream *st)
{
	return st->caller.door != DOOR_LOCAL;
}

/* One fragment off the input. False: more octets are needed, or the stream was given up. */
static bool take_fragment(struct stream *st)
{
	struct xdr x = { conn_input(st->conn), false };
	uint32_t mark = xdr_get_u32(&x), n = mark & ~DRAC_RECORD_LAST;

	if (x.broken)
		return false;
	if (n > LIMIT_DRAC_CALL || st->record.len + n > LIMIT_DRAC_CALL || (n == 0 && !(mark & DRAC_RECORD_LAST))) {
		conn_abort(st->conn);
		return false;
	}
	if (x.rest.n < n)
		return false;
	buf_put(&st->record, slice_head(x.rest, n));
	conn_take(st->conn, 4 + n);
	if (mark & DRAC_RECORD_LAST) {
		handle_record(st, buf_view(&st->record));
		buf_reset(&st->record);
		st->in_record = false;
		if (has_limits(st))
			conn_deadline_ms(st->conn, 0);
	}
	return true;
}

static void on_input(void *ctx)
{
	struct stream *st = ctx;

	list_remove(&st->node);
	list_append(&st->doors->streams, &st->node);
	while (take_fragment(st))
		;
	if (!st->in_record && has_limits(st) && (conn_input(st->conn).n != 0 || st->record.len != 0)) {
		st->in_record = true;
		conn_deadline_ms(st->conn, DOORS_RECORD_MS);
	}
}

/* Who is at the other end is what the certificate says; the handshake has failed where there is none, or none that is listed (io/tls_peer.h). */
static void on_tls(void *ctx)
{
	struct stream *st = ctx;
	X509 *cert = SSL_get0_peer_certificate(conn_ssl(st->conn));
	char addr[NET_TEXT_MAX];
	struct buf names;

	conn_deadline_ms(st->conn, 0);
	if (cert == NULL || SSL_get_verify_result(conn_ssl(st->conn)) != X509_V_OK)
		return;
	st->caller.class = CLASS_PEER;
	buf_init(&names, BUF_UNBOUNDED);
	tls_peer_names(cert, &names);
	log_info("drac: peer connected, client=%s, certificate=%s", net_addr_text(&st->caller.addr, addr), buf_str(&names));
	buf_done(&names);
}

/* The same address with the same fault is told once a minute. */
static void log_refused(struct stream *st, const char *why)
{
	struct doors *d = st->doors;
	int64_t now = loop_now(d->loop);
	char addr[NET_TEXT_MAX];

	net_addr_text(&st->caller.addr, addr);
	if (strcmp(addr, d->refused_addr) == 0 && strcmp(why, d->refused_why) == 0 && now - d->refused_at < REFUSED_AGAIN_MS)
		return;
	snprintf(d->refused_addr, sizeof(d->refused_addr), "%s", addr);
	snprintf(d->refused_why, sizeof(d->refused_why), "%s", why);
	d->refused_at = now;
	log_warn("drac: refused caller=%s, reason=%s (see listen_drac_tls, drac_tls_peers and drac_tls_ca_file)", addr, why);
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	if (why == CONN_TLS_FAILED)
		log_refused(ctx, e->text);
	stream_free(ctx);
}

static const struct conn_ops stream_ops = { .on_input = on_input, .on_tls = on_tls, .on_close = on_close };

/* Our own user and root may do everything; whoever else may open the socket may ask. */
static enum core_class class_of(int fd)
{
	struct ucred uc;
	socklen_t n = sizeof(uc);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &n) != 0)
		return CLASS_NONE;
	return uc.uid == 0 || uc.uid == geteuid() ? CLASS_ADMIN : CLASS_READ;
}

static void stream_new(struct doors *d, int fd, enum core_door door, const struct net_addr *peer)
{
	static const struct conn_limits limits = { .in_max = LIMIT_DRAC_CALL + 64, .out_max = OUT_MAX, .out_high = OUT_MAX / 4 };
	struct stream *st = mem_new(sizeof(*st));

	st->doors = d;
	st->caller = (struct core_caller){ .door = door, .class = door == DOOR_LOCAL ? class_of(fd) : CLASS_NONE, .addr = *peer };
	buf_init(&st->record, LIMIT_DRAC_CALL + 4);
	list_append(&d->streams, &st->node);
	d->n_streams++;
	st->conn = conn_new(d->loop, fd, &limits, &stream_ops, st);
	if (has_limits(st))
		conn_idle_ms(st->conn, door == DOOR_TLS ? DOORS_IDLE_MS + WAIT_MAX_MS : DOORS_IDLE_MS);
	if (door == DOOR_TLS) {
		conn_deadline_ms(st->conn, DOORS_RECORD_MS);
		conn_start_tls(st->conn, d->tls, NULL, NULL);
	}
}

static bool give_way(struct doors *d, enum core_class below)
{
	LIST_EACH(n, &d->streams) {
		struct stream *st = LIST_OF(n, struct stream, node);
		if (has_limits(st) && st->caller.class < below) {
			stream_free(st);
			return true;
		}
	}
	return false;
}

/* Strangers first: a crowd of them must not push out the hosts that are ours. */
static void make_place(struct doors *d)
{
	if (!give_way(d, CLASS_PEER))
		give_way(d, CLASS_ADMIN);
}

static void on_accept(void *ctx, unsigned events)
{
	struct door *door = ctx;
	struct net_addr peer;
	int fd;

	(void)events;
	for (int i = 0; i < UDP_BATCH && (fd = net_accept(door->fd, &peer)) >= 0; i++) {
		if (door->doors->n_streams >= DOORS_STREAMS_MAX)
			make_place(door->doors);
		stream_new(door->doors, fd, door->kind, &peer);
	}
}

/*
 * Datagrams
 */

static void handle_datagram(struct doors *d, const struct udp_way *way, struct slice call)
{
	struct core_caller who = { .door = DOOR_UDP };
	struct answer now = { .way = *way };
	struct rpc_mark mark;

	net_addr_from_sockaddr((const struct sockaddr *)&way->peer, &who.addr);
	buf_init(&now.out, BUF_UNBOUNDED);
	switch (rpc_handle(d->core, &who, call, doors_now(d->loop), &now.out, &mark)) {
	case RPC_SYNC:
		answer_later(d, &mark, &now.out)->way = *way;
		return;
	case RPC_NOW:
		send_answer(&now);
		break;
	default:
		break;
	}
	buf_done(&now.out);
}

static void on_datagram(void *ctx, unsigned events)
{
	struct door *door = ctx;
	char octets[LIMIT_DRAC_CALL + 1];
	struct udp_way way;
	ssize_t n;

	(void)events;
	for (int i = 0; i < UDP_BATCH && (n = udp_receive(door->fd, octets, sizeof(octets), &way)) >= 0; i++)
		if ((size_t)n <= LIMIT_DRAC_CALL)
			handle_datagram(door->doors, &way, slice_mem(octets, (size_t)n));
}

static struct door *door_new(struct doors *d, int fd, enum core_door kind)
{
	struct door *door = mem_new(sizeof(*door));

	door->doors = d;
	door->kind = kind;
	door->fd = fd;
	list_append(&d->all, &door->node);
	return door;
}

void doors_udp(struct doors *d, int fd)
{
	struct door *door = door_new(d, fd, DOOR_UDP);

	udp_prepare(fd);
	loop_fd_add(d->loop, &door->watch, fd, LOOP_READ, on_datagram, door);
}

void doors_listen(struct doors *d, int fd, enum core_door kind)
{
	struct door *door = door_new(d, fd, kind);

	loop_fd_add(d->loop, &door->watch, fd, LOOP_READ, on_accept, door);
}

void doors_free(struct doors **dp)
{
	struct doors *d = dp ? *dp : NULL;
	struct list_node *n;

	if (d == NULL)
		return;
	bool was_busy = flusher_is_busy(d->flusher);

	flusher_free(&d->flusher);                                        /* waits for the flush that runs */
	if (was_busy)
		send_all(&d->flying, core_sync_end(d->core) == 0);
	send_all(&d->answers, core_sync(d->core) == 0);
	while ((n = list_first(&d->streams)) != NULL)
		stream_free(LIST_OF(n, struct stream, node));
	while ((n = list_first(&d->all)) != NULL) {
		struct door *door = LIST_OF(n, struct door, node);
		loop_fd_del(d->loop, &door->watch);
		list_remove(n);
		free(door);
	}
	loop_task_cancel(&d->round);
	tls_ctx_unref(&d->tls);
	free(d);
	*dp = NULL;
}
