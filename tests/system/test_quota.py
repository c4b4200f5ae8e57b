#!/usr/bin/env python3
"""Quotas: what is full is said at RCPT, the way back is short, IMAP knows the user's own limit, and the sums stay exact through concurrency, kill -9 and foreign files."""
import contextlib, imaplib, os, random, signal, smtplib, threading, time

import lab

LIMIT = 200 << 10
_box = []


def box():
    if not _box:
        _box.append(lab.Appliance(users=8, settings={"over_quota_grace": "1d"}, files={
            "aliases": "pair: u1, u2\nfull: u1\nfulls: u1, u3\naway: u1, x@elsewhere.test\n"}))
        for u in ("u1", "u3"):
            _box[0].posthouse("user", "set", "--quota", "200K", u)
    return _box[0]


def path(user, *more):
    return os.path.join(box().dir, "state", "mail", box().domain, user, *more)


def fill(user, octets, name="fill"):
    with imap(user) as c:
        ok, data = c.append("INBOX", None, None, b"Subject: %s\r\n\r\n" % name.encode() + b"x" * (octets - 13 - len(name)))
        assert ok == "OK", data


def imap(user):
    c = imaplib.IMAP4("127.0.0.1", box().port["imap"])
    c.login(user, "secret")
    return c


def rcpt(to, size=None, door="smtp"):
    with box().smtp(door) as s:
        s.ehlo()
        assert s.mail("far@elsewhere.test", ["SIZE=%d" % size] if size else [])[0] == 250
        code, text = s.rcpt("%s@%s" % (to, box().domain))
        return code, text.decode()


def use(user):
    """(octets, messages) as posthouse quota says"""
    words = dict(w.split("=") for w in box().posthouse("quota", user).split() if "=" in w)
    return int(words["octets"]), int(words["messages"])


def truth(user):
    """the same from the files alone"""
    octets = n = 0
    for folder in os.listdir(path(user)):
        cur = path(user, folder, "cur") if folder.startswith(".") else path(user, "cur") if folder == "cur" else None
        for name in os.listdir(cur) if cur and os.path.isdir(cur) else []:
            octets, n = octets + os.path.getsize(os.path.join(cur, name)), n + 1
    return octets, n


def empty(user):
    with imap(user) as c:
        for folder in ("INBOX", "Archive", "Sent"):
            c.select(folder)
            c.store("1:*", "+FLAGS.SILENT", r"\Deleted")
            c.expunge()


def test_full_is_said_at_rcpt():
    assert rcpt("u1")[0] == 250
    fill("u1", LIMIT)
    code, text = rcpt("u1")
    assert code == 452 and text.startswith("4.2.2 <u1@") and "full" in text, (code, text)
    lab.eventually("the log says so", lambda: "452 4.2.2 <u1@office.example>: mailbox is full" in box().log())
    assert rcpt("u2")[0] == 250                                       # who has no limit
    r = box().posthouse("explain", "--client", "198.51.100.7", "--name", "", "--from", "far@elsewhere.test", "--to", "u1@" + box().domain, check=False)
    assert r.returncode == 75 and "verdict: %d %s" % (code, text) in r.stdout, (code, text, r.stdout)


def test_the_way_back_is_short():
    assert rcpt("u1")[0] == 452
    with imap("u1") as c:
        c.select()
        c.store("1", "+FLAGS", r"\Deleted")
        c.expunge()
        began = time.monotonic()
        assert rcpt("u1")[0] == 250
        assert time.monotonic() - began < 1
    fill("u1", LIMIT)
    assert rcpt("u1")[0] == 452
    box().posthouse("user", "set", "--quota", "300K", "u1")           # the other way back
    assert rcpt("u1")[0] == 250
    box().posthouse("user", "set", "--quota", "200K", "u1")
    assert rcpt("u1")[0] == 452


def test_size_of_mail_counts():
    empty("u3")
    assert rcpt("u3", LIMIT - 2000)[0] == 250
    code, text = rcpt("u3", LIMIT + 1)
    assert code == 552 and text.startswith("5.2.3 "), (code, text)    # can never fit
    fill("u3", 150 << 10)
    assert rcpt("u3", 40 << 10)[0] == 250
    code, text = rcpt("u3", 60 << 10)
    assert code == 452 and text.startswith("4.2.2 "), (code, text)
    assert rcpt("u3")[0] == 250
    assert rcpt("u7", LIMIT * 20)[0] == 250


def test_of_an_alias_one_with_room_is_enough():
    empty("u3")
    assert rcpt("full")[0] == 452
    assert rcpt("pair")[0] == 250
    assert rcpt("away")[0] == 250
    assert rcpt("fulls")[0] == 250
    fill("u3", LIMIT)
    assert rcpt("fulls")[0] == 452
    assert rcpt("u1+lists")[0] == 452
    empty("u3")
    assert rcpt("fulls")[0] == 250


def test_after_the_grace_it_is_for_good():
    box().down()
    box().settings["over_quota_grace"] = "1s"
    box().up()
    code, text = rcpt("u1")                                           # begins the grace, or is behind it
    lab.eventually("552", lambda: rcpt("u1")[0] == 552, 5)
    assert rcpt("u1")[1].startswith("5.2.2 <u1@"), rcpt("u1")
    with imap("u1") as c:                         # it begins anew when something goes
        c.select()
        c.store("1", "+FLAGS", r"\Deleted")
        c.expunge()
    assert rcpt("u1")[0] == 250
    fill("u1", LIMIT)
    assert rcpt("u1")[0] == 452
    box().down()
    box().settings["over_quota_grace"] = "0"
    box().up()
    assert rcpt("u1")[0] == 552


def test_the_limit_survives_a_restart_of_the_machine():
    box().down()
    p = path("u1", "posthouse.quota")
    with open(p, "r+b") as f:                                         # sums of another boot
        f.seek(8)
        f.write(b"\0" * 8)
    box().up()
    assert rcpt("u1")[0] == 552                                       # counted again by the one who was asked
    os.unlink(p)
    assert rcpt("u1")[0] == 552
    assert use("u1") == truth("u1")


def test_nobody_answers_is_room():
    [pid] = box().pids("smtpd:room")
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert rcpt("u1")[0] == 250
    assert time.monotonic() - began < 2 * lab.SLOW
    os.kill(pid, signal.SIGCONT)
    assert rcpt("u1")[0] == 552
    lab.kill([pid])
    lab.eventually("the next one answers", lambda: rcpt("u1")[0] == 552)


def test_imap_knows_the_users_own_limit():
    box().posthouse("user", "set", "--quota", "64K", "--quota-messages", "5", "u4")
    with imap("u4") as c:
        assert "QUOTA=RES-STORAGE" in c.capabilities or "QUOTA=RES-STORAGE" in c.capability()[1][0].decode()
        assert b'(STORAGE 0 64 MESSAGE 0 5)' in c.getquotaroot("INBOX")[1][1][0], c.getquotaroot("INBOX")
        for i in range(5):
            assert c.append("INBOX", None, None, b"Subject: %d\r\n\r\n" % i)[0] == "OK"
        ok, data = c.append("INBOX", None, None, b"Subject: 6\r\n\r\n")
        assert ok == "NO" and b"[OVERQUOTA]" in data[0], data
        c.select()
        ok, data = c.copy("1", "Archive")
        assert ok == "NO" and b"[OVERQUOTA]" in data[0], data
        assert rcpt("u4")[0] in (452, 552)
        box().posthouse("user", "set", "--quota-messages", "6", "u4")
        assert c.copy("1", "Archive")[0] == "OK"                      # the session that is open hears of it
        assert b"MESSAGE 6 6" in c.getquota('""')[1][0]
        box().posthouse("user", "set", "--quota-messages", "none", "--quota", "default", "u4")
        assert c.copy("1:5", "Archive")[0] == "OK"
    assert rcpt("u4")[0] == 250
    assert "quota-messages=none" in box().posthouse("user", "list")


def test_delivery_that_was_accepted_too_early_waits():
    empty("u3")
    box().down()
    box().settings["over_quota_grace"] = "1d"
    box().up()
    with box().smtp() as s:
        s.ehlo()
        s.mail("far@elsewhere.test")
        s.rcpt("u3@office.example")
        assert s.data("Subject: nosize\r\n\r\n" + ("y" * 70 + "\r\n") * 3000)[0] == 250
    lab.eventually("deferred", lambda: "dsn=4.2.2, status=deferred (over quota" in box().log())


def test_exact_under_concurrency_and_kill():
    """Deliveries, sessions and commands at once; session processes and deliver are killed; then the sums are those of the files, and the limit was never passed."""
    end = time.monotonic() + float(os.environ.get("POSTHOUSE_QUOTA_SECONDS", "8"))
    users = ("u5", "u6")
    limit = 100 << 10
    for u in users:
        box().posthouse("user", "set", "--quota", "100K", u)
    over = []

    def deliver(u):
        while time.monotonic() < end:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                with box().smtp() as s:
                    s.sendmail("far@elsewhere.test", [u + "@office.example"], "Subject: d\r\n\r\n" + "x\r\n" * random.randrange(1000))

    def session(u):
        r = random.Random()
        while time.monotonic() < end:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                with imap(u) as c:
                    for _ in range(20):
                        n = int(c.select("INBOX")[1][0])
                        what = r.randrange(4)
                        if what == 0:
                            c.append("INBOX", None, None, b"Subject: a\r\n\r\n" + b"y" * r.randrange(4000))
                        elif n and what == 1:
                            c.copy("1:%d" % min(n, 5), "Archive")
                        elif n and what == 2:
                            c.store("1:%d" % min(n, 8), "+FLAGS.SILENT", r"\Deleted"), c.expunge()
                        elif n:
                            c.uid("MOVE", "1:*", "Sent") if r.randrange(2) else None
                        else:
                            c.select("Archive"), c.store("1:10", "+FLAGS.SILENT", r"\Deleted"), c.expunge()

    def kill():
        while time.monotonic() < end:
            time.sleep(0.2)
            victims = box().pids("imapd:session", "smtpd:deliver")
            if victims:
                lab.kill([random.choice(victims)])

    def watch():
        while time.monotonic() < end:
            for u in users:
                octets = truth_now(u)
                if octets > limit:
                    over.append((u, octets))
            time.sleep(0.05)

    threads = [threading.Thread(target=f, args=a) for u in users for f, a in ((deliver, (u,)), (deliver, (u,)), (session, (u,)), (session, (u,)))]
    threads += [threading.Thread(target=kill), threading.Thread(target=watch)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    lab.eventually("all delivered or deferred", lambda: "active" not in box().posthouse("queue", "list").lower(), 10)
    for u in users:
        with imap(u) as c:                        # looks at each folder: what a killed one left undone is done
            for folder in ("INBOX", "Archive", "Sent"):
                c.select(folder)
        said = use(u)
        assert said == truth(u), (u, said, truth(u))
        assert "fine" in box().posthouse("verify", u)
    assert len(over) == 0, over[:5]


def truth_now(user):
    """Octets in all folders by the names, without counting twice what is just being moved; less than the truth at worst."""
    sizes = {}
    for folder in os.listdir(path(user)) if os.path.isdir(path(user)) else []:
        cur = path(user, folder, "cur") if folder.startswith(".") else path(user, "cur") if folder == "cur" else None
        for name in os.listdir(cur) if cur and os.path.isdir(cur) else []:
            with contextlib.suppress(FileNotFoundError):
                st = os.stat(os.path.join(cur, name))
                sizes[(folder, st.st_ino)] = st.st_size
    inodes = {}
    for (folder, ino), size in sizes.items():
        inodes.setdefault(ino, []).append(size)
    return sum(v[0] for v in inodes.values())


def test_foreign_files_count():
    assert use("u7") == (0, 0)                                        # an account without a mailbox
    fill("u7", 3000)
    octets, n = use("u7")
    with open(path("u7", "new", "1700000000.foreign.host"), "w") as f:
        f.write("Subject: foreign\n\nx\n")
    with imap("u7") as c:
        assert int(c.select()[1][0]) >= 1
    assert use("u7")[1] == n + 1
    name = [x for x in os.listdir(path("u7", "cur")) if "foreign" in x][0]
    os.unlink(path("u7", "cur", name))
    with imap("u7") as c:
        c.select()
    assert use("u7") == (octets, n)
    assert "octets=%d" % octets in box().posthouse("quota", "--recount", "u7")


def test_a_damaged_sum_is_counted_again():
    fill("u8", 5000)
    had = use("u8")
    p = path("u8", "posthouse.quota")
    for damage in (lambda f: (f.seek(64 + 8), f.write(b"\xff" * 16)), lambda f: f.truncate(100), lambda f: f.truncate(0), lambda f: (f.seek(0), f.write(os.urandom(4096)))):
        with open(p, "r+b") as f:
            damage(f)
        assert use("u8") == had
    os.unlink(p)
    os.mkfifo(p)
    assert box().posthouse("quota", "u8", check=False).returncode == 75
    os.unlink(p)
    assert use("u8") == had


if __name__ == "__main__":
    lab.main()
