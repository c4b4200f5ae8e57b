#!/usr/bin/env python3
"""mail_spool_directory: a spool mbox is moved into the mailbox at login, under the locks that procmail, dotlockfile and others hold; nothing is lost, nothing comes twice."""
import contextlib, fcntl, imaplib, os, poplib, re, shutil, signal, subprocess, threading, time

import lab

_box = []


def box():
    if not _box:
        spool = "/tmp/ph.spool.%d" % os.getpid()
        os.makedirs(spool, exist_ok=True)
        _box.append(lab.Appliance(users=12, settings={"mail_spool_directory": spool}))
        _box[0].spool = spool
    return _box[0]


def path(user):
    return os.path.join(box().spool, user)


def entry(i, marks=""):
    return ("From far@elsewhere.test Thu Feb  %d 12:00:%02d 2024\nSubject: number %d\n%s\nbody %d\n>From here\n\n" % (i % 9 + 1, i % 60, i, marks, i)).encode()


def put(user, octets):
    with open(path(user), "ab") as f:
        f.write(octets)
    os.chmod(path(user), 0o660)


def numbers(user):
    """what INBOX has, by IMAP"""
    with imaplib.IMAP4("127.0.0.1", box().port["imap"]) as c:
        c.login(user, "secret")
        n = int(c.select(readonly=True)[1][0])
        data = c.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1] if n else []
        return sorted(int(re.search(rb"number (\d+)", x[1]).group(1)) for x in data if isinstance(x, tuple))


def test_imap_login_moves_it():
    put("u1", entry(1, "Status: RO\nX-Status: F\n") + entry(2) + entry(3))
    before = os.stat(path("u1"))
    with imaplib.IMAP4("127.0.0.1", box().port["imap"]) as c:
        c.login("u1", "secret")
        assert int(c.select()[1][0]) == 3
        data = c.fetch("1:3", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
        first = data[0]
        assert rb"\Seen" in first[0] and rb"\Flagged" in first[0] and b"02-Feb-2024 12:00:01" in first[0].replace(b'" ', b'"0'), first[0]
        assert first[1] == b"Subject: number 1\r\n\r\nbody 1\r\nFrom here\r\n", first[1]
    after = os.stat(path("u1"))
    assert after.st_size == 0 and (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(box().spool) == ["u1"]
    assert numbers("u1") == [1, 2, 3]
    assert "spool: user=<u1@office.example>, 3 messages moved" in box().log()
    put("u1", entry(2) + entry(4))                                    # an equal one of another filling is another message
    assert numbers("u1") == [1, 2, 2, 3, 4]


def test_pop3_login_moves_it():
    put("u2", b"".join(entry(i) for i in range(10)))
    p = poplib.POP3("127.0.0.1", box().port["pop3"])
    p.user("u2")
    p.pass_("secret")
    assert p.stat()[0] == 10
    p.quit()


def hold(what, seconds):
    """The user's file is locked by a real program of that name; returns its process."""
    if what == "dotlockfile":
        lab.need("dotlockfile")
        subprocess.run(["dotlockfile", "-l", path("u3") + ".lock"], check=True)
        return lambda: subprocess.run(["dotlockfile", "-u", path("u3") + ".lock"], check=True)
    if what == "lockfile":
        lab.need("lockfile")
        subprocess.run(["lockfile", path("u3") + ".lock"], check=True)
        return lambda: os.unlink(path("u3") + ".lock")
    f = open(path("u3"), "r+")
    fcntl.lockf(f, fcntl.LOCK_EX)
    return f.close


def wait_for_lock(what):
    had = len(numbers("u3"))
    put("u3", entry(had))
    release = hold(what, 2)
    threading.Timer(1.5, release).start()
    began = time.monotonic()
    assert len(numbers("u3")) == had + 1
    assert time.monotonic() - began >= 1.0, "the lock was not honoured"


def test_dotlockfile_is_waited_for():
    wait_for_lock("dotlockfile")


def test_lockfile_of_procmail_is_waited_for():
    wait_for_lock("lockfile")


def test_fcntl_is_waited_for():
    put("u3", b"")
    wait_for_lock("fcntl")


def test_login_never_hangs_on_a_lock():
    put("u4", entry(7))
    with open(path("u4") + ".lock", "w"):
        pass
    began = time.monotonic()
    assert numbers("u4") == []
    assert time.monotonic() - began < 9 * lab.SLOW
    assert "locked by another program" in box().log()
    assert open(path("u4"), "rb").read() == entry(7)
    began = time.monotonic()
    assert numbers("u4") == []                                        # nor a second time, for a while
    assert time.monotonic() - began < 3 * lab.SLOW
    os.unlink(path("u4") + ".lock")


def test_a_lock_of_the_dead_is_taken():
    put("u5", entry(7))
    dead = subprocess.Popen(["true"])
    dead.wait()
    with open(path("u5") + ".lock", "w") as f:
        f.write("%d\n" % dead.pid)
    assert numbers("u5") == [7]
    put("u5", entry(8))
    with open(path("u5") + ".lock", "w"):
        pass
    os.utime(path("u5") + ".lock", (time.time() - 2000,) * 2)
    assert numbers("u5") == [7, 8]


def test_what_is_no_mbox_stays():
    for user, octets in (("u6", b"Subject: x\n\nno From line\n"), ("u7", os.urandom(20000))):
        put(user, octets)
        assert numbers(user) == []
        assert open(path(user), "rb").read() == octets
    assert "it is no mbox" in box().log()
    os.unlink(path("u6"))
    os.symlink(path("u7"), path("u6"))
    assert numbers("u6") == []


def test_a_full_mailbox_leaves_it_there():
    box().posthouse("user", "set", "--quota", "10K", "u8")
    numbers("u8")
    octets = b"".join(entry(i) for i in range(300))
    put("u8", octets)
    assert numbers("u8") == []
    assert open(path("u8"), "rb").read() == octets
    assert "no room" in box().log()


def test_a_large_file():
    with open(path("u9"), "wb") as f:
        for i in range(2000):
            f.write(entry(i) + (b"x" * 70 + b"\n") * 300 + b"\n")
    began = time.monotonic()
    with imaplib.IMAP4("127.0.0.1", box().port["imap"]) as c:
        c.login("u9", "secret")
        assert time.monotonic() - began < 15 * lab.SLOW
    lab.eventually("all are there", lambda: len(box().mail("u9")) == 2000, 60)
    lab.eventually("and it is empty", lambda: os.path.getsize(path("u9")) == 0)


def test_with_a_live_procmail():
    """procmail delivers while the user logs in and out: each message arrives, once."""
    lab.need("procmail")
    rc = box().dir + "/procmailrc"
    with open(rc, "w") as f:
        f.write("LOGFILE=%s/procmail.log\n:0:\n%s\n" % (box().dir, path("u10")))
    n, stop = 30, threading.Event()

    def deliver():
        for i in range(n):
            subprocess.run(["procmail", "-f", "far@elsewhere.test", "-m", rc], input=b"Subject: number %d\n\nx\n" % i, check=True)
        stop.set()

    t = threading.Thread(target=deliver)
    t.start()
    while not stop.is_set():
        numbers("u10")
        time.sleep(0.05)
    t.join()
    assert numbers("u10") == list(range(n)), numbers("u10")
    assert os.path.getsize(path("u10")) == 0


def test_killed_while_moving():
    """The processes that move are killed again and again; in the end all is there once."""
    n, kills = 4000, 0
    with open(path("u11"), "wb") as f:
        f.write(b"".join(entry(i) for i in range(n)))

    def login():
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            numbers("u11")

    for turn in range(40):
        if kills == 6 or os.path.getsize(path("u11")) == 0:
            break
        t = threading.Thread(target=login)
        t.start()
        victims, end = [], time.monotonic() + 2
        while not victims and time.monotonic() < end:
            victims = box().pids("spool")
        time.sleep(0.01 * (turn % 5))
        for pid in victims[:turn % 2 + 1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        t.join()
        forget_pauses()
    assert kills > 0, "nothing was killed: the test proves nothing"
    lab.eventually("the rest is moved", lambda: (forget_pauses(), numbers("u11"))[1] == list(range(n)), 30)
    assert os.path.getsize(path("u11")) == 0 and not os.path.exists(path("u11") + ".lock")


def forget_pauses():
    """A new spawner does not know that moving failed a moment ago."""
    lab.kill(box().pids("imapd:spawner"))
    lab.eventually("a spawner is back", lambda: box().pids("imapd:spawner"))


if __name__ == "__main__":
    try:
        lab.main()
    finally:
        shutil.rmtree("/tmp/ph.spool.%d" % os.getpid(), ignore_errors=True)
