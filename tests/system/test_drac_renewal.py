# not under sanitizers: it waits more than it works
"""tests/system/test_drac_renewal.py - a grant lives as long as the session that made it is in use, and no longer (serve/renew.h).

All sessions of a test run side by side, each from an address of its own in 127/8, so that their lifetimes pass at once.
"""
import json, os, socket, subprocess, threading, time

import lab

LIFETIME = 8 if lab.SANITIZED else 6
office = None


def world():
    """Parks idle connections after a second."""
    global office
    if office is None:
        office = appliance()
    return office


def appliance(**settings):
    return lab.Appliance(users=9, settings={"drac_lifetime": "%ds" % LIFETIME, "imap_park_after": "1s", "plaintext_login_from": "127.0.0.0/8",
                                            "accept_unresolvable_domains": "yes", **settings})


class Client:
    """One session, POP3 or IMAP, that says NOOP every second while `busy`."""

    def __init__(self, h, proto, source, user="u1", tls=False):
        self.lock, self.busy, self.proto = threading.Lock(), False, proto
        door = proto + ("s" if tls else "")
        self.s = socket.create_connection(("127.0.0.1", h.port[door]), 20 * lab.SLOW, (source, 0))
        if tls:
            self.s = h.tls_any().wrap_socket(self.s)
        self.f = self.s.makefile("rwb")
        self.f.readline()
        if proto == "pop3":
            self.say("USER %s@office.example" % user)
            self.say("PASS secret")
        else:
            self.say("LOGIN %s@office.example secret" % user)
            self.say("SELECT INBOX")

    def say(self, line):
        with self.lock:
            self.f.write((line if self.proto == "pop3" else "a " + line).encode() + b"\r\n")
            self.f.flush()
            while True:
                reply = self.f.readline()
                assert reply, "the connection was closed"
                if self.proto == "pop3" or reply.startswith((b"a ", b"+ ")):
                    break
        assert reply.startswith((b"+", b"a OK")), reply

    def work(self):
        self.busy = True
        def run():
            while self.busy:
                self.say("NOOP")
                time.sleep(1)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def idle(self):
        self.say("IDLE")
        return self

    def done(self):
        """DONE of IDLE: the session must still be there, wherever it slept."""
        with self.lock:
            self.f.write(b"DONE\r\n")
            self.f.flush()
            while not (reply := self.f.readline()).startswith(b"a "):
                assert reply, "the connection was closed"
        assert reply.startswith(b"a OK"), reply

    def logout(self):
        self.busy = False
        if hasattr(self, "thread"):
            self.thread.join()
        self.say("QUIT" if self.proto == "pop3" else "LOGOUT")
        self.s.close()


def left(h, source):
    """Seconds that the grant of this address has left; None: there is none."""
    for e in json.loads(h.posthouse("drac", "list", "--json")):
        if e["address"] == source:
            return e["expires"] - time.time()
    return None


def test_sessions_in_use_keep_their_grants():
    h = world()
    sessions = {
        "IMAP commands": Client(h, "imap", "127.0.6.1", "u1").work(),
        "IMAP IDLE, parked": Client(h, "imap", "127.0.6.2", "u2").idle(),
        "IMAP IDLE by TLS, parked": Client(h, "imap", "127.0.6.3", "u3", tls=True).idle(),
        "POP3 commands": Client(h, "pop3", "127.0.6.4", "u4").work(),
    }
    silent = Client(h, "imap", "127.0.6.5", "u5")
    lab.eventually("those in IDLE sleep at the front, without a process", lambda: len(h.pids("imapd:session")) == 2)
    address = {name: "127.0.6.%d" % (i + 1) for i, name in enumerate(sessions)}
    assert all(left(h, a) for a in address.values()) and left(h, "127.0.6.5")
    end = time.monotonic() + 2 * LIFETIME + 2
    while time.monotonic() < end:
        for name, a in address.items():
            seconds = left(h, a)
            assert seconds is not None and seconds > LIFETIME / 3, (name, seconds)
        time.sleep(0.5)
    assert left(h, "127.0.6.5") is None, "a session that does nothing keeps nothing"
    for name in sessions:
        if "IDLE" in name:
            sessions[name].done()
        sessions[name].logout()
    ended = time.monotonic()
    for a in address.values():
        assert left(h, a) > LIFETIME / 2, "what was done last counts too: one lifetime from there"
    time.sleep(max(0, ended + LIFETIME + 2 - time.monotonic()))
    assert all(left(h, a) is None for a in address.values()), "nothing renews after the logout"
    silent.logout()


def test_not_beyond_max_age():
    h = appliance(drac_max_age="%ds" % (2 * LIFETIME))
    began = time.monotonic()
    c = Client(h, "imap", "127.0.7.1").idle()
    p = Client(h, "pop3", "127.0.7.2", "u2").work()
    time.sleep(max(0, began + 2 * LIFETIME - 2 - time.monotonic()))
    assert left(h, "127.0.7.1") and left(h, "127.0.7.2"), "renewed until then"
    time.sleep(max(0, began + 2 * LIFETIME + 2 - time.monotonic()))
    assert left(h, "127.0.7.1") is None and left(h, "127.0.7.2") is None
    c.done()
    p.logout()
    c.logout()
    h.destroy()


def test_a_new_password_and_a_deleted_account_cut_it():
    h = world()
    changed = Client(h, "imap", "127.0.8.1", "u6").work()
    parked = Client(h, "imap", "127.0.8.1", "u6").idle()
    deleted = Client(h, "pop3", "127.0.8.2", "u7").work()
    other = Client(h, "imap", "127.0.8.3", "u8").work()
    assert all(left(h, "127.0.8.%d" % i) for i in (1, 2, 3))
    time.sleep(LIFETIME / 2)
    h.posthouse("user", "passwd", "--password-stdin", "u6@office.example", input="another\n")
    h.posthouse("user", "del", "u7@office.example")
    end = time.monotonic() + LIFETIME
    while time.monotonic() < end:
        assert left(h, "127.0.8.1") is None and left(h, "127.0.8.2") is None, "no session brings back what was revoked"
        assert left(h, "127.0.8.3")
        time.sleep(0.5)
    for c in (changed, deleted, other):
        c.logout()
    parked.done()


def test_a_revoked_session_does_not_feed_on_a_later_login():
    """The old session was cut; a new login from the same address is granted, and its grant ends although the old session goes on."""
    h = world()
    old = Client(h, "imap", "127.0.9.1", "u9").work()
    h.posthouse("drac", "revoke", "u9@office.example")
    time.sleep(LIFETIME / 3 + 2)                                      # the old one has tried to renew
    Client(h, "pop3", "127.0.9.1", "u9").logout()
    assert left(h, "127.0.9.1")
    time.sleep(LIFETIME + 2)
    assert left(h, "127.0.9.1") is None
    old.logout()


def test_no_dracd_no_trouble():
    """Sessions go on while dracd is away, one line in the log says so, and renewals go on with the next dracd."""
    h = appliance()
    c = Client(h, "imap", "127.0.10.1").work()
    lab.kill(h.processes("dracd"))
    end = time.monotonic() + 2 * LIFETIME
    while time.monotonic() < end:
        c.say("NOOP")
        time.sleep(1)
    assert left(h, "127.0.10.1") is not None
    c.logout()
    h.destroy()


def test_who_logs_in_while_dracd_is_gone_is_granted_when_it_is_back():
    h = appliance()
    lab.kill([h.supervisor("dracd")] + h.processes("dracd"))
    began = time.monotonic()
    c = Client(h, "imap", "127.0.10.2").idle()
    assert time.monotonic() - began < 2 * lab.SLOW, "the login waits for nobody"
    back = subprocess.Popen([os.path.join(lab.BIN, "dracd"), "-f", "-C", h.conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lab.eventually("dracd is back", lambda: h.posthouse("drac", "list", check=False).returncode == 0)
        lab.eventually("the grant is made after all", lambda: left(h, "127.0.10.2"), 5)
        time.sleep(LIFETIME + 1)
        assert left(h, "127.0.10.2"), "and renewed like any other"
        c.done()
        c.logout()
    finally:
        back.terminate()
        back.wait()
    h.destroy()


if __name__ == "__main__":
    lab.main()
