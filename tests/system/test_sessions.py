#!/usr/bin/env python3
"""Session processes: parking and waking, the limit of a user, a process that dies, reload and stop, half-closes. POP3 and IMAP, with and without TLS."""
import imaplib, os, poplib, re, signal, socket, ssl, time

import lab

DOMAIN = "office.example"
_box = []


def box():
    if not _box:
        _box.append(lab.Appliance(users=4, settings={"imap_park_after": "1s", "mail_user_connection_limit": "3"}))
    return _box[0]


class Imap:
    def __init__(self, user, tls=False):
        self.s = box().raw("imaps" if tls else "imap")
        if tls:
            self.s = box().tls_any().wrap_socket(self.s)
        self.f = self.s.makefile("rb")
        self.f.readline()
        assert b"OK" in self.ask("LOGIN %s secret" % user)[-1]
        assert b"OK" in self.ask("SELECT INBOX")[-1]

    def send(self, octets):
        self.s.sendall(octets)

    def line(self):
        return self.f.readline()

    def ask(self, command, tag="t"):
        self.send(("%s %s\r\n" % (tag, command)).encode())
        return self.until(tag)

    def until(self, tag):
        got = []
        while not got or (got[-1] and not got[-1].startswith(tag.encode() + b" ")):
            got.append(self.line())
        return got

    def idle(self):
        self.send(b"i IDLE\r\n")
        assert self.line().startswith(b"+")

    def close(self):
        self.f.close(), self.s.close()


def append(user):
    c = imaplib.IMAP4("127.0.0.1", box().port["imap"])
    c.login(user, "secret")
    assert c.append("INBOX", None, None, b"Subject: new\r\n\r\nx\r\n")[0] == "OK"
    c.logout()


def test_idle_connections_cost_no_process_and_wake():
    for tls in (False, True):
        pair = [Imap("u1", tls), Imap("u1", tls)]
        for c in pair:
            c.idle()
        lab.eventually("no session process left", lambda: not box().pids("imapd:session"), 20)
        append("u1")
        for c in pair:
            assert b"EXISTS" in c.line()
        lab.eventually("asleep again", lambda: not box().pids("imapd:session"), 20)
        for c in pair:                                     # a client's octets wake it too, and nothing that it sent is lost
            c.send(b"DONE\r\nn NOOP\r\n")
            got = c.until("n")
            assert any(line.startswith(b"i OK") for line in got) and got[-1].startswith(b"n OK"), got
            c.close()


def test_the_oldest_idle_connection_makes_room():
    old = [Imap("u2") for _ in range(3)]
    old[0].ask("NOOP"), old[1].ask("NOOP"), old[2].ask("NOOP")
    new = Imap("u2")
    assert new.ask("NOOP")[-1].startswith(b"t OK")
    assert old[0].line().startswith(b"* BYE"), "the first of three is the oldest"
    assert old[1].ask("NOOP")[-1].startswith(b"t OK") and old[2].ask("NOOP")[-1].startswith(b"t OK")
    for c in old[1:]:
        c.idle()
    new.idle()
    lab.eventually("all parked", lambda: not box().pids("imapd:session"), 20)
    newest = Imap("u2")
    assert b"BYE" in old[1].line() or b"BYE" in old[2].line(), "a parked one makes room"
    assert newest.ask("NOOP")[-1].startswith(b"t OK")
    for c in old + [new, newest]:
        c.close()


def test_a_session_process_that_dies():
    lab.eventually("those of the tests before are gone", lambda: not box().pids("imapd:session"), 20)
    plain, tls = Imap("u3"), Imap("u3", True)
    [pid] = box().pids("imapd:session")
    os.kill(pid, signal.SIGKILL)
    assert plain.line() == b"" and tls.line() == b""
    again = Imap("u3", True)
    assert again.ask("NOOP")[-1].startswith(b"t OK")
    again.close()
    assert re.search(r"session process %d of user=<u3@%s> died of signal 9" % (pid, DOMAIN), box().log())


def test_half_closes():
    for tls in (False, True):
        append("u4")
        lines = b"USER u4\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nQUIT\r\n"
        s = box().raw("pop3s" if tls else "pop3")
        if not tls:
            s.sendall(lines)
            s.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: s.recv(65536), b""))
        else:
            got = tls_pipeline(s, lines)
        assert got.endswith(b"\r\n.\r\n+OK Good-bye\r\n"), got[-80:]
        s.close()


def tls_pipeline(s, lines):
    """Sends all, then close_notify, and reads on."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = box().tls_any().wrap_bio(into, out)
    got = b""

    def turn(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                s.sendall(out.read())
                octets = s.recv(65536)
                if not octets:
                    raise EOFError
                into.write(octets)

    turn(obj.do_handshake)
    obj.write(lines)
    try:
        obj.unwrap()
    except ssl.SSLWantReadError:
        pass
    s.sendall(out.read())
    try:
        while True:
            octets = turn(lambda: obj.read(65536))
            if not octets:
                return got
            got += octets
    except (EOFError, ssl.SSLError):
        return got


def test_in_use_and_the_folder_behind_the_plus():
    first = poplib.POP3("127.0.0.1", box().port["pop3"])
    first.user("u4"), first.pass_("secret")
    second = poplib.POP3("127.0.0.1", box().port["pop3"])
    second.user("u4")
    try:
        second.pass_("secret")
        raise AssertionError("two POP3 sessions on one mailbox")
    except poplib.error_proto as e:
        assert b"[IN-USE]" in e.args[0]
    first.quit()
    other = poplib.POP3("127.0.0.1", box().port["pop3"])
    other.user("u4+Sent"), other.pass_("secret")
    assert other.stat() == (0, 0)
    other.quit()


def test_a_spawner_or_an_auth_process_that_dies():
    """The new spawner does not believe a front whose connections sleep there: they are told so, and a new login is as good as ever."""
    lab.eventually("those of the tests before are gone", lambda: not box().pids("imapd:session"), 20)
    pair = [Imap("u3"), Imap("u3", True)]
    for c in pair:
        c.idle()
    lab.eventually("all parked", lambda: not box().pids("imapd:session"), 20)
    [pid] = box().pids("imapd:spawner")
    os.kill(pid, signal.SIGKILL)
    for c in pair:
        assert c.line().startswith(b"* BYE")
        c.close()
    for role in ("imapd:spawner", "imapd:auth"):
        lab.kill(box().pids(role))
        for tls in (False, True):                          # waits for the next one, not for a time-out
            again = Imap("u3", tls)
            assert again.ask("NOOP")[-1].startswith(b"t OK")
            again.close()


def test_parked_connections_wake_after_a_reload():
    pair = [Imap("u1"), Imap("u1", True)]
    for c in pair:
        c.idle()
    lab.eventually("all parked", lambda: not box().pids("imapd:session"), 20)
    before = box().log().count("new settings in use")
    os.kill(box().supervisor("imapd"), signal.SIGHUP)
    lab.eventually("the reload", lambda: box().log().count("new settings in use") > before)
    append("u1")
    for c in pair:
        assert b"EXISTS" in c.line()
        c.send(b"DONE\r\nn NOOP\r\n")
        assert c.until("n")[-1].startswith(b"n OK")
        c.close()


def test_reload_keeps_connections_and_stop_is_quick():
    plain, tls = Imap("u1"), Imap("u1", True)
    pid = box().supervisor("imapd")
    reloads = box().log().count("new settings in use")
    os.kill(pid, signal.SIGHUP)
    lab.eventually("the reload", lambda: box().log().count("new settings in use") > reloads)
    assert plain.ask("NOOP")[-1].startswith(b"t OK") and tls.ask("NOOP")[-1].startswith(b"t OK")
    fresh = Imap("u3")
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    for c in (plain, tls, fresh):
        assert c.line().startswith(b"* BYE")
    lab.eventually("the end of imapd", lambda: not os.path.exists("/proc/%d" % pid))
    assert time.monotonic() - began < 5 * lab.SLOW


lab.main()
