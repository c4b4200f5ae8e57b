"""tests/system/test_crowd.py - an address may have so many connections and no more, however many front processes a daemon has."""
import time

import lab

LIMIT, FRONTS = 6, 4
SOURCE, OTHER = "127.0.0.77", "127.0.0.78"
DAEMONS = (("smtp", "smtpd", b"220", b"421 4.7.0"), ("pop3", "pop3d", b"+OK", b"-ERR"), ("imap", "imapd", b"* OK", b"* BYE"))
office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=1, settings={"front_processes": str(FRONTS), "smtpd_client_connection_limit": str(LIMIT), "login_client_limit": str(LIMIT)})
    return office


def knock(door, n, source=SOURCE):
    """n connections one after another: (socket, greeting) of each."""
    found = []
    for _ in range(n):
        s = box().raw(door, source)
        found.append((s, s.makefile("rb", buffering=0).readline()))
    return found


def close(connections):
    for s, _ in connections:
        s.close()


def welcome(connections, good, bad):
    """How many were let in; the others were told why."""
    for _, greeting in connections:
        assert greeting.startswith((good, bad)), greeting
    return sum(greeting.startswith(good) for _, greeting in connections)


def gone(door, good, bad, free=LIMIT):
    """After the other side has noticed, so many get in again, and no more."""
    def tries():
        c = knock(door, free + 2)
        n = welcome(c, good, bad)
        close(c)
        assert n <= free, n
        return n == free
    lab.eventually("%d places at %s" % (free, door), tries)


def test_the_limit_holds_over_all_fronts():
    for door, daemon, good, bad in DAEMONS:
        assert len(box().pids(daemon + ":front")) == FRONTS, daemon
        first = knock(door, LIMIT * 3)
        assert welcome(first, good, bad) == LIMIT, (door, [g for _, g in first])
        others = knock(door, 1, OTHER)
        assert welcome(others, good, bad) == 1, "another address is let in"
        close(first + others)
        gone(door, good, bad)


def test_a_login_makes_room():
    for door, login in (("pop3", b"USER u1\r\nPASS secret\r\n"), ("imap", b"a LOGIN u1 secret\r\n")):
        good, bad = (b"+OK", b"-ERR") if door == "pop3" else (b"* OK", b"* BYE")
        c = knock(door, LIMIT)
        assert welcome(c, good, bad) == LIMIT
        c[0][0].sendall(login)
        f = c[0][0].makefile("rb", buffering=0)
        replies = [f.readline() for _ in range(2 if door == "pop3" else 1)]
        assert all(r.startswith((b"+OK", b"a OK")) for r in replies), replies
        more = knock(door, 2)
        assert welcome(more, good, bad) == 1, door
        close(c + more)
        gone(door, good, bad)


def test_fronts_that_are_killed_take_their_count_with_them():
    for door, daemon, good, bad in DAEMONS:
        c = knock(door, LIMIT)
        assert welcome(c, good, bad) == LIMIT
        lab.kill(box().pids(daemon + ":front"))
        lab.eventually("new fronts", lambda: len(box().pids(daemon + ":front")) == FRONTS)
        close(c)
        gone(door, good, bad)


def test_a_reload_forgets_nobody():
    for door, daemon, good, bad in DAEMONS:
        c = knock(door, LIMIT - 2)
        assert welcome(c, good, bad) == LIMIT - 2
        before = box().log().count(daemon + ": new settings in use")
        box().posthouse("reload", daemon)
        lab.eventually("the new settings", lambda: box().log().count(daemon + ": new settings in use") > before)
        time.sleep(0.5)                                      # smtpd's idle sessions are told to come again; strangers at pop3d and imapd finish their login
        if door == "smtp":
            close(c)
            gone(door, good, bad)
            continue
        more = knock(door, 5)
        assert welcome(more, good, bad) == 2, (door, [g for _, g in more])
        close(c + more)
        gone(door, good, bad)


if __name__ == "__main__":
    lab.main()
