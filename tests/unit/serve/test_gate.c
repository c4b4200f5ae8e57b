/*
 * Who may come in at the spawner: a forged user, a ticket twice, an old one, both orders of arrival, a front that goes, and parked connections that return.
 * The auth process's side (serve/vouch.h) is the real one, over a real channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop.h"
#include "serve/gate.h"
#include "serve/parked.h"
#include "serve/vouch.h"

#define ANNA SLICE("anna@office.example")
#define BERT SLICE("bert@office.example")

static const struct net_addr LAPTOP = { .octets = { 192, 0, 2, 7 }, .len = 4, .port = 4711 };

struct fix {
	struct loop *l;
	struct gate *g;
	struct vouch *v;
	int passed, turned_away;
	char user[64], left[64];
	bool had_ticket;
};

static void pass(void *ctx, void *front, struct session_card *card, int fd)
{
	struct fix *f = ctx;

	assert_ptr_equal(front, f);
	f->passed++;
	assert_true(net_addr_eq(&card->peer, &LAPTOP));                   /* the auth process's word, whatever the front said */
	f->had_ticket = card->ticket.n > 0;
	snprintf(f->user, sizeof(f->user), "%.*s", SLICE_FMT(card->user));
	snprintf(f->left, sizeof(f->left), "%.*s", SLICE_FMT(card->left));
	assert_int_equal(close(fd), 0);
}

static void turn_away(void *ctx, void *front, struct session_card *card, int fd)
{
	struct fix *f = ctx;

	assert_ptr_equal(front, f);
	assert_true(card->user.n > 0);
	f->turned_away++;
	assert_int_equal(close(fd), 0);
}

static const struct gate_ops ops = { .pass = pass, .turn_away = turn_away };

static void fix_init(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	f->l = loop_new();
	f->g = gate_new(f->l, &ops, f);
	f->v = vouch_new(f->l);
}

static void fix_done(struct fix *f)
{
	vouch_free(&f->v);
	gate_free(&f->g);
	loop_free(&f->l);
}

static void link_both(struct fix *f)
{
	struct err e = ERR_INIT;
	int fds[2];

	assert_int_equal(chan_pair(fds, &e), 0);
	vouch_link(f->v, fds[0]);
	gate_link(f->g, fds[1]);
}

static void run_ms(struct fix *f, int64_t ms)
{
	struct loop_timer t = { 0 };

	loop_timer_start(f->l, &t, ms, (void (*)(void *))loop_stop, f->l);
	loop_run(f->l);
}

static int some_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int come(struct fix *f, const uint8_t *ticket, struct slice user)
{
	char text[] = "STAT\r\n";                                         /* what is held must be a copy */
	struct session_card card = { .id = 7, .user = user, .session_id = SLICE("s1"), .peer = { .octets = { 10 }, .len = 4 }, .left = slice_of(text), .ticket = slice_mem(ticket, AUTH_TICKET_SIZE) };
	int fd = some_fd();

	gate_come(f->g, f, &card, fd);
	memset(text, 'x', sizeof(text) - 1);
	return fd;
}

static void a_ticket_is_good_once(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE];

	(void)state;
	fix_init(&f);
	link_both(&f);
	assert_int_equal(vouch_for(f.v, ANNA, &LAPTOP, t), 0);
	run_ms(&f, 20);
	come(&f, t, ANNA);
	assert_int_equal(f.passed, 1);
	assert_false(f.had_ticket);
	assert_string_equal(f.user, "anna@office.example");
	come(&f, t, ANNA);
	assert_int_equal(f.passed, 1);
	run_ms(&f, GATE_HOLD_MS + 100);
	assert_int_equal(f.passed, 1);
	assert_int_equal(f.turned_away, 1);
	fix_done(&f);
}

static void a_forged_user_is_turned_away(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE], made_up[AUTH_TICKET_SIZE] = { 1 };
	struct session_card none = { .user = BERT }, shorter = { .user = BERT, .ticket = SLICE("short") };

	(void)state;
	fix_init(&f);
	link_both(&f);
	gate_come(f.g, &f, &none, some_fd());                             /* at once: there is nothing to wait for */
	gate_come(f.g, &f, &shorter, some_fd());
	assert_int_equal(f.turned_away, 2);
	assert_int_equal(vouch_for(f.v, ANNA, &LAPTOP, t), 0);
	run_ms(&f, 20);
	come(&f, t, BERT);                                                /* anna's ticket, and then it is gone */
	come(&f, t, ANNA);
	come(&f, t, SLICE("anna@office.exampl"));
	come(&f, made_up, BERT);
	run_ms(&f, GATE_HOLD_MS + 100);
	assert_int_equal(f.passed, 0);
	assert_int_equal(f.turned_away, 6);
	fix_done(&f);
}

static void a_forged_user_that_came_first_too(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE] = { 9, 9 };

	(void)state;
	fix_init(&f);
	come(&f, t, BERT);
	gate_vouch(f.g, slice_mem(t, sizeof(t)), ANNA, &LAPTOP, 1000);
	come(&f, t, BERT);
	run_ms(&f, GATE_HOLD_MS + 100);
	assert_int_equal(f.passed, 0);
	assert_int_equal(f.turned_away, 2);
	fix_done(&f);
}

static void the_hand_over_may_be_first(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE];
	int fd;

	(void)state;
	fix_init(&f);
	assert_int_equal(vouch_for(f.v, ANNA, &LAPTOP, t), 0);                     /* no spawner is linked: it waits */
	fd = come(&f, t, ANNA);
	run_ms(&f, 50);
	assert_int_equal(f.passed + f.turned_away, 0);
	link_both(&f);
	run_ms(&f, 50);
	assert_int_equal(f.passed, 1);
	assert_string_equal(f.left, "STAT\r\n");
	assert_int_equal(fcntl(fd, F_GETFD), -1);                         /* handed on, not kept */
	run_ms(&f, GATE_HOLD_MS + 100);
	assert_int_equal(f.passed, 1);
	assert_int_equal(f.turned_away, 0);
	fix_done(&f);
}

static void an_old_ticket_is_none(void **state)
{
	struct fix f;
	const uint8_t t[AUTH_TICKET_SIZE] = { 3 };

	(void)state;
	fix_init(&f);
	gate_vouch(f.g, slice_mem(t, sizeof(t)), ANNA, &LAPTOP, 30);
	run_ms(&f, 60);
	come(&f, t, ANNA);
	assert_int_equal(f.passed, 0);
	run_ms(&f, GATE_HOLD_MS + 100);
	assert_int_equal(f.turned_away, 1);
	fix_done(&f);
}

static void bounds(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE] = { 0 };
	unsigned i;

	(void)state;
	fix_init(&f);
	for (i = 0; i < GATE_TICKETS + 1; i++) {
		memcpy(t, &i, sizeof(i));
		gate_vouch(f.g, slice_mem(t, sizeof(t)), ANNA, &LAPTOP, 30000);
	}
	come(&f, t, ANNA);                                                /* the newest is there, the oldest made room */
	assert_int_equal(f.passed, 1);
	memset(t, 0, sizeof(t));
	come(&f, t, ANNA);
	assert_int_equal(f.passed, 1);
	t[8] = 1;
	for (i = 1; i < GATE_HELD; i++)
		come(&f, t, ANNA);
	assert_int_equal(f.turned_away, 0);
	come(&f, t, ANNA);
	assert_int_equal(f.turned_away, 1);
	fix_done(&f);
	fix_init(&f);
	for (i = 0; i < 256; i++)
		assert_int_equal(vouch_for(f.v, ANNA, &LAPTOP, t), 0);
	assert_int_equal(vouch_for(f.v, ANNA, &LAPTOP, t), -1);
	fix_done(&f);
}

static void a_front_that_goes(void **state)
{
	struct fix f;
	uint8_t t[AUTH_TICKET_SIZE] = { 5 };
	int fd;

	(void)state;
	fix_init(&f);
	fd = come(&f, t, ANNA);
	gate_forget(f.g, &t);                                             /* another one */
	assert_true(fcntl(fd, F_GETFD) >= 0);
	gate_forget(f.g, &f);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	gate_vouch(f.g, slice_mem(t, sizeof(t)), ANNA, &LAPTOP, 1000);
	assert_int_equal(f.passed + f.turned_away, 0);
	fix_done(&f);
}

static void parked_connections_return_to_whom_they_were(void **state)
{
	struct hmap *map = hmap_new();
	struct parked *pk;

	(void)state;
	pk = parked_new(map, 1, 77, ANNA);
	assert_non_null(pk);
	assert_null(parked_new(map, 1, 77, BERT));                        /* no session process can take over another one's number */
	assert_null(parked_returns(map, 1, 77, BERT));
	assert_null(parked_returns(map, 1, 78, ANNA));
	assert_null(parked_returns(map, 2, 77, ANNA));                    /* another front's */
	assert_ptr_equal(parked_returns(map, 1, 77, ANNA), pk);
	assert_ptr_equal(parked_get(map, 1, 77), pk);
	parked_free(map, pk);
	assert_null(parked_returns(map, 1, 77, ANNA));                    /* once */
	hmap_free(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_good_once),
		cmocka_unit_test(a_forged_user_is_turned_away),
		cmocka_unit_test(a_forged_user_that_came_first_too),
		cmocka_unit_test(the_hand_over_may_be_first),
		cmocka_unit_test(an_old_ticket_is_none),
		cmocka_unit_test(bounds),
		cmocka_unit_test(a_front_that_goes),
		cmocka_unit_test(parked_connections_return_to_whom_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
