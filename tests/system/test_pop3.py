#!/usr/bin/env python3
"""POP3 as clients meet it: long messages with and without TLS, in pipelines, by slow readers and by ones who leave; the unique-ids of earlier servers."""
import os, poplib, random, socket, subprocess, time

import lab

_box = []
LONG = 3 << 20


def box():
    if not _box:
        _box.append(lab.Appliance(users=5))
    return _box[0]


def mail_of(n, seed, dots):
    """A message of about n octets as SMTP brings it; `dots`: now and then a line begins with one."""
    rnd = random.Random(seed)
    lines = [b"Subject: long %d" % seed, b"From: a@b.example", b""]
    size = 0
    while size < n:
        line = (b"." if dots and rnd.random() < .0005 else b"x") + b"%074d" % rnd.getrandbits(60)
        lines.append(line)
        size += len(line) + 2
    return b"\r\n".join(lines) + b"\r\n"


def deliver(user, text):
    with socket.create_connection(("127.0.0.1", box().port["lmtp"]), 20 * lab.SLOW) as s:
        f = s.makefile("rb")

        def ask(octets):
            s.sendall(octets)
            line = f.readline()
            while line[3:4] == b"-":
                line = f.readline()
            assert line[:1] in b"23", line
        f.readline()
        for command in (b"LHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<%s@office.example>\r\n" % user.encode(), b"DATA\r\n"):
            ask(command)
        ask(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    lab.eventually("the mail in the mailbox", lambda: any(text in m for m in box().mail(user)), 20)


def without_trace(octets):
    """What the sender wrote, without the fields that delivery put above it."""
    return octets[octets.index(b"Subject: long"):]


def login(user, door="pop3"):
    kind, extra = (poplib.POP3_SSL, {"context": box().tls_any()}) if door == "pop3s" else (poplib.POP3, {})
    p = kind("127.0.0.1", box().port[door], timeout=30 * lab.SLOW, **extra)
    p.user(user), p.pass_("secret")
    return p


def test_long_messages_are_the_same_by_both_ways():
    texts = [mail_of(LONG, 1, False), mail_of(LONG, 2, True), mail_of(1 << 15, 3, True)]
    for t in texts:
        deliver("u1", t)
    for door in ("pop3", "pop3s"):
        p = login("u1", door)
        assert p.stat()[0] == len(texts)
        for n, t in enumerate(texts, 1):
            got = b"\r\n".join(p.retr(n)[1]) + b"\r\n"
            assert without_trace(got) == t, "%s, message %d differs" % (door, n)
            assert p.list(n).split()[2] == b"%d" % len(got)
        p.quit()


def test_without_tls_the_kernel_sends_the_file():
    lab.need("strace")
    deliver("u2", mail_of(LONG, 4, False))
    before = box().pids("pop3d:session")                                # of other users, on their way out
    p = login("u2")
    pids = [pid for pid in box().pids("pop3d:session") if pid not in before]
    assert len(pids) == 1, pids
    out = os.path.join(box().dir, "strace")
    tracer = subprocess.Popen(["strace", "-q", "-e", "trace=sendfile,sendto,write", "-o", out, "-p", str(pids[0])], stderr=subprocess.DEVNULL)
    lab.eventually("the tracer to be there", lambda: "TracerPid:\t0" not in open("/proc/%d/status" % pids[0]).read())
    got = b"\r\n".join(p.retr(1)[1])
    p.quit()
    tracer.terminate(), tracer.wait()
    sent = sum(int(line.rsplit("= ", 1)[1]) for line in open(out) if line.startswith("sendfile(") and "= -1" not in line)
    assert sent > .9 * len(got), "%d of %d octets by sendfile" % (sent, len(got))


def test_a_pipeline_of_long_and_short():
    texts = [mail_of(LONG // 4, 10 + n, n % 2 == 1) for n in range(4)]
    for t in texts:
        deliver("u3", t)
    with socket.create_connection(("127.0.0.1", box().port["pop3"]), 30 * lab.SLOW) as s:
        s.sendall(b"USER u3\r\nPASS secret\r\n" + b"".join(b"RETR %d\r\nNOOP\r\nTOP %d 2\r\n" % (n, n) for n in range(1, 5)) + b"QUIT\r\n")
        octets = b""
        while more := s.recv(1 << 16):
            octets += more
            if len(octets) < 1 << 20:
                time.sleep(.002)                           # a slow reader: the server waits in the middle of files
    at = 0
    for n, t in enumerate(texts, 1):
        stuffed = t.replace(b"\r\n.", b"\r\n..")
        at = octets.index(stuffed + b".\r\n+OK Still here\r\n+OK Its top\r\n", at)
        at += len(stuffed)
    assert octets.endswith(b"+OK Good-bye\r\n"), octets[-100:]


def test_who_leaves_in_the_middle_of_a_file_leaves_nothing():
    deliver("u4", mail_of(LONG, 20, False))
    for _ in range(5):
        s = socket.create_connection(("127.0.0.1", box().port["pop3"]), 30 * lab.SLOW)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"USER u4\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\n")
        s.recv(20000)
        s.close()
    p = lab.eventually("a login after them", lambda: try_login("u4"), 20)
    assert p.stat()[0] == 1                                # no QUIT, no deletion (RFC 1939 6)
    p.quit()
    assert "cannot be read" not in box().log()


def try_login(user):
    try:
        return login(user)
    except poplib.error_proto:
        return None


def set_format(word):
    with open(box().conf) as f:
        lines = [line for line in f if not line.startswith("pop3_uidl_format")]
    with open(box().conf, "w") as f:
        f.writelines(lines + ["pop3_uidl_format = %s\n" % word])


def test_unique_ids_are_those_of_the_server_before():
    deliver("u5", mail_of(100, 30, False))
    want = {"dovecot": "%08x%08x", "uw": "%08x%08x", "courier": "UID%d-%d", "cyrus": "%d.%d"}
    for word, form in want.items():
        set_format(word)
        box().posthouse("check")
        box().posthouse("reload")

        def given():
            p = login("u5")
            got = p.uidl(1).split()[2].decode()
            p.quit()
            name = os.listdir(os.path.join(box().dir, "state/mail/office.example/u5/cur"))[0]
            validity, uid = (int(x, 36) for x in name.split(",U=")[1].split(":")[0].split("."))
            return got == form % ((validity, uid) if word in ("uw", "cyrus") else (uid, validity))
        lab.eventually("unique-ids as %s makes them" % word, given, 20)
    set_format("dovecott")
    r = box().posthouse("check", check=False)
    assert r.returncode != 0 and "dovecott" in r.stdout + r.stderr and "courier" in r.stdout + r.stderr, r.stdout + r.stderr


if __name__ == "__main__":
    lab.main()
