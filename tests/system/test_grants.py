"""tests/system/test_grants.py - pop3d and imapd tell dracd before they say yes, and never wait long for it: dracd busy, stopped, gone, and back.

Clients at many addresses are played by a listed proxy, as in test_auth.py.
"""
import os, signal, subprocess, time

import lab, test_auth

CLIENTS = iter("192.0.2.%d" % n for n in range(1, 250))
LIMIT = 0.4 * lab.SLOW + 0.1
office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=3, settings={"plaintext_login_from": "0.0.0.0/0", "proxy_protocol_from": test_auth.PROXY, "drac_addresses_per_user": "1000"})
    return office


def login(door, client, user="u1"):
    """How long the yes took; the connection stays open."""
    c = test_auth.Client(door, client, box())
    reply, seconds = c.login(user + "@office.example", "secret")
    assert reply.startswith((b"+OK", b"a OK")), reply
    return c, seconds


def rcpt(client):
    c = test_auth.Client("smtp", client, box())
    c.ask(b"HELO x")
    c.ask(b"MAIL FROM:<u1@office.example>")
    reply = c.ask(b"RCPT TO:<x@elsewhere.test>")
    c.sock.close()
    return reply


def test_the_grant_is_there_before_the_yes():
    """Whoever has read the yes may send, at once: sixty logins, sixty addresses, not one too early."""
    for door in ("pop3", "imap") * (3 if lab.SANITIZED else 30):
        client = next(CLIENTS)
        c, _ = login(door, client)
        assert rcpt(client).startswith(b"250"), (door, client)
        c.close()


def both_are_quick(why):
    for door in ("pop3", "imap"):
        c, took = login(door, next(CLIENTS))
        assert took < LIMIT, (why, door, took)
        c.close()


def test_a_stopped_dracd_delays_nobody():
    both_are_quick("at rest")                                # and the cache knows the password from here on
    pids = box().processes("dracd")
    lab.send(signal.SIGSTOP, pids)
    try:
        for _ in range(3):
            both_are_quick("stopped")
        assert "drac: no grant, the login goes on without" in box().log()
        assert rcpt(next(CLIENTS)).startswith(b"450 4.7.1")
    finally:
        lab.send(signal.SIGCONT, pids)
    client = next(CLIENTS)
    c, _ = login("imap", client)
    assert rcpt(client).startswith(b"250"), "it answers again"
    c.close()


def test_a_dracd_that_is_gone_refuses_nobody_and_is_found_again():
    top = box().supervisor("dracd")
    os.kill(top, signal.SIGTERM)
    lab.eventually("dracd is gone", lambda: not lab.is_alive(top))
    for _ in range(3):
        both_are_quick("gone")
    assert rcpt(next(CLIENTS)).startswith(b"450 4.7.1")
    with open(os.path.join(box().dir, "dracd.out"), "a") as out:
        subprocess.run([os.path.join(lab.BIN, "dracd"), "-C", box().conf], check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def granted():
        client = next(CLIENTS)
        c, _ = login("pop3", client)
        c.close()
        return rcpt(client).startswith(b"250")
    lab.eventually("logins grant again", granted)


def test_a_dracd_that_dies_again_and_again_loses_no_login():
    for _ in range(3):
        lab.kill(box().processes("dracd"))
        both_are_quick("killed")
        time.sleep(0.2)


if __name__ == "__main__":
    lab.main()
