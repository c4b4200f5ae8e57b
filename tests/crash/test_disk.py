"""tests/crash/test_disk.py - a disk that is full, a disk whose flush fails, and a session process that dies in the middle."""
import contextlib, imaplib, os, poplib, shutil, smtplib, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab
from account import drained, found_below, leftovers

DOMAIN = "office.example"


def sh(*args):
    r = subprocess.run(args, capture_output=True, text=True)
    assert r.returncode == 0, "%s: %s%s" % (" ".join(args), r.stdout, r.stderr)
    return r.stdout.strip()


running = []                                          # appliances that stand on a disk of ours: stopped before it goes


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="disk.", dir="/tmp")
    try:
        yield path
    finally:
        stop_running()
        subprocess.run(["umount", path], capture_output=True)
        shutil.rmtree(path, ignore_errors=True)


def stop_running():
    while running:
        running.pop().destroy()


def appliance(**settings):
    running.append(lab.Appliance(users=2, domain=DOMAIN, settings=settings))
    return running[-1]


def send(office, token, user="u1", padding=1000):
    """The reply to the first command that was refused, or to the final dot: (code, text)."""
    with office.smtp() as s:
        s.ehlo()
        for command in ("MAIL FROM:<sender@elsewhere.example>", "RCPT TO:<%s@%s>" % (user, DOMAIN)):
            code, text = s.docmd(command)
            if code != 250:
                return code, text.decode()
        code, text = s.data("Subject: x\r\nX-Token: <%s>\r\n\r\n%s\r\n[end %s]\r\n" % (token, "padding " * (padding // 8), token))
        return code, text.decode()


def send_one(office, token, **kw):
    try:
        return send(office, token, **kw)
    except smtplib.SMTPServerDisconnected:
        return 0, "connection closed"
    except smtplib.SMTPResponseException as e:
        return e.smtp_code, e.smtp_error.decode() if isinstance(e.smtp_error, bytes) else e.smtp_error


def login(office, user="u1"):
    c = imaplib.IMAP4("127.0.0.1", office.port["imap"], timeout=20)
    c.login("%s@%s" % (user, DOMAIN), "secret")
    return c


def fill(path, leave):
    """Takes all space but `leave` octets."""
    with open(path, "wb", buffering=0) as f:
        v = os.fstatvfs(f.fileno())
        left = v.f_bavail * v.f_frsize - leave
        chunk = bytes(1 << 16)
        with contextlib.suppress(OSError):
            while left > 0:
                left -= f.write(chunk[:left])
    return path


def found_once(office, tokens, state=None):
    found, broken = found_below(os.path.join(state or os.path.join(office.dir, "state"), "mail"))
    lost, doubled = set(tokens) - set(found), [t for t, n in found.items() if n > 1]
    assert not lost and not doubled and not broken, (sorted(lost)[:5], doubled[:5], broken[:5])
    return found


def small_disk(mnt, size, **settings):
    if os.geteuid() != 0:
        raise lab.Skip("needs root for a small file system")
    sh("mount", "-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", mnt)
    os.mkdir(mnt + "/state", 0o700)
    return appliance(state_directory=mnt + "/state", journal_segment_size="1M", front_processes="1", checkpoint_interval="1s", **settings)


def test_below_the_reserve_mail_is_refused_and_the_rest_works():
    with folder() as mnt:
        office = small_disk(mnt, "40M", queue_minfree="8M")
        tokens = ["r%d" % i for i in range(10)]
        for t in tokens:
            assert send_one(office, t)[0] == 250
        lab.eventually("delivered", lambda: len(office_mail(mnt, "u1")) == 10)
        filler = fill(mnt + "/filler", 4 << 20)
        code, text = lab.eventually("mail is refused", lambda: (lambda r: r if r[0] != 250 else None)(send_one(office, "late")), 5)
        assert code == 452 and text.startswith("4.3.1 "), (code, text)
        assert len(text) > 20, "the refusal has no words: " + text
        assert "spool full" in office.log() and "kept free" in office.log()
        c = login(office)
        count = int(c.select("INBOX")[1][0])           # some more than ten: the queue looks once a second
        assert c.store("1:5", "+FLAGS", "\\Deleted")[0] == "OK"
        assert c.expunge()[0] == "OK"
        assert len(c.search(None, "ALL")[1][0].split()) == count - 5
        c.logout()
        p = poplib.POP3("127.0.0.1", office.port["pop3"], timeout=20)
        p.user("u1@" + DOMAIN), p.pass_("secret")
        assert p.stat()[0] == count - 5
        p.dele(1), p.quit()
        os.unlink(filler)
        lab.eventually("mail is taken again", lambda: send_one(office, "again")[0] == 250, 5)
        lab.eventually("and delivered", lambda: "again" in found_below(mnt + "/state/mail")[0])
        assert "room again" in office.log()
        office.destroy()


def office_mail(mnt, user):
    d = os.path.join(mnt, "state", "mail", DOMAIN, user, "cur")
    return os.listdir(d) if os.path.isdir(d) else []


def starts(office):
    """Does smtpd start? Its words go to a file: under sanitizers it keeps its stderr, and a pipe would never end."""
    with open(os.path.join(office.dir, "smtpd.out"), "a") as f:
        return subprocess.run([os.path.join(lab.BIN, "smtpd"), "-C", office.conf], stdout=f, stderr=f).returncode == 0


def test_not_an_octet_left():
    """The journal's segments are written beforehand, so what it takes it can keep; delivery waits for room."""
    with folder() as mnt:
        office = small_disk(mnt, "40M", queue_minfree="0")
        assert send_one(office, "before")[0] == 250
        lab.eventually("delivered", lambda: len(office_mail(mnt, "u1")) == 1)
        filler = fill(mnt + "/filler", 0)
        acked, refused = {"before"}, set()
        for i in range(30):
            code, text = send_one(office, "f%d" % i, padding=20000)
            assert code == 250 or 400 <= code < 500, (code, text)
            (acked if code == 250 else refused).add("f%d" % i)
        c = login(office)
        assert c.select("INBOX")[0] == "OK"
        assert c.fetch("1", "(BODY.PEEK[])")[0] == "OK"
        status, text = c.append("INBOX", None, None, b"Subject: a\r\n\r\n" + b"x" * 70000 + b"\r\n")
        assert status == "NO", (status, text)
        c.logout()
        # Everything dies on the full disk, and comes back on it.
        lab.kill([office.supervisor("smtpd")] + office.processes("smtpd"))
        started_full = starts(office)
        os.unlink(filler)
        if not started_full:
            assert "space" in office.log(), office.log()[-1000:]
            assert starts(office)
        office.posthouse("queue", "flush", check=False)
        lab.eventually("the queue is empty", lambda: drained(office), 30)
        found = found_once(office, acked, mnt + "/state")
        assert not set(found) & refused, "refused and yet delivered: %s" % sorted(set(found) & refused)[:5]
        # Without a restart: what queue.log could not take waited in memory.
        lab.eventually("mail is taken again", lambda: send_one(office, "after")[0] == 250, 10)
        lab.eventually("delivered", lambda: "after" in found_below(mnt + "/state/mail")[0])
        lab.eventually("no stray file", lambda: not leftovers(mnt + "/state"), 10)
        print("note: full disk: %d acknowledged, %d refused, 0 lost; a start on the full disk %s" % (
            len(acked), len(refused), "works" if started_full else "is refused with words"))
        office.destroy()


def test_no_room_for_the_log():
    """Mail to /dev/null needs nothing but lines of queue.log, so that is what finds no room: 452 until there is some, then 250, by the same processes."""
    with folder() as mnt:
        office = small_disk(mnt, "40M", queue_minfree="0")
        with open(os.path.join(office.dir, "etc", "aliases"), "a") as f:
            f.write("sink: /dev/null\n")
        lab.eventually("the alias is known", lambda: send_one(office, "n", user="sink")[0] == 250)
        assert send_one(office, "before")[0] == 250
        lab.eventually("delivered", lambda: len(office_mail(mnt, "u1")) == 1)
        pids, acked, refused = sorted(office.pids()), {"before"}, set()
        filler = fill(mnt + "/filler", 0)

        def refusal():
            code, text = send_one(office, "n", user="sink", padding=100)
            assert code == 250 or 400 <= code < 500, (code, text)
            return (code, text) if code != 250 else None

        for _ in range(150):                           # more lines than a page has room for
            if refusal():
                break
        code, text = lab.eventually("mail is refused", refusal, 5)
        assert code == 452 and text.startswith("4.3.1 "), (code, text)
        code, text = send_one(office, "late")
        assert code == 452, (code, text)
        refused.add("late")
        assert "queue.log" in office.log() and "tried each second" in office.log(), office.log()[-2000:]
        os.unlink(filler)
        lab.eventually("mail is taken again", lambda: send_one(office, "after")[0] == 250, 10)
        assert "queue.log is written again" in office.log()
        office.posthouse("queue", "flush", check=False)
        lab.eventually("the queue is empty", lambda: drained(office), 30)
        assert sorted(office.pids()) == pids, "healed by a restart"
        found = found_once(office, acked | {"after"}, mnt + "/state")
        assert not set(found) & refused, "refused and yet delivered: %s" % sorted(set(found) & refused)[:5]
        lab.eventually("no stray file", lambda: not leftovers(mnt + "/state"), 10)
        print("note: no room for queue.log: 452 meanwhile, healed without a restart")
        office.destroy()


@contextlib.contextmanager
def recording_disk(work):
    """An ext4 on a disk whose flushes can be made to fail; yields (mount point, FUSE folder)."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        raise lab.Skip("needs root, /dev/fuse and loop devices")
    lab.need("mkfs.ext4", "fusermount3", "losetup")
    live, log, fuse, mnt = (os.path.join(work, n) for n in ("live", "log", "fuse", "mnt"))
    os.mkdir(fuse), os.mkdir(mnt)
    sh("truncate", "-s", "96M", live)
    sh("mkfs.ext4", "-q", "-E", "nodiscard", live)
    rec = subprocess.Popen([os.path.join(lab.HERE, lab.BUILD, "tests/crash/blkrec"), live, log, fuse],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.eventually("the recording disk is there", lambda: os.path.exists(fuse + "/disk"), 5)
    loop = sh("losetup", "-f", "--show", fuse + "/disk")
    try:
        # No commit of its own accord: the only flushes are ours.
        sh("mount", "-t", "ext4", "-o", "noatime,commit=600", loop, mnt)
        yield mnt, fuse, loop
    finally:
        stop_running()
        for _ in range(100):
            if subprocess.run(["umount", mnt], capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        subprocess.run(["losetup", "-d", loop])
        for _ in range(100):                           # the loop device lets go of its file a moment later
            if subprocess.run(["umount", fuse], capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        rec.wait(10)


def fail_next_flush(fuse):
    with open(fuse + "/fail", "wb", buffering=0) as f:
        f.write(b"1")


def test_a_flush_that_fails():
    with folder() as work, recording_disk(work) as (mnt, fuse, loop):
        # Only the spool is on it, and no checkpoint comes: the one flush that fails is the journal's, so the file system itself stays whole.
        office = appliance(spool_directory=mnt + "/spool", journal_segment_size="1M", front_processes="1", queue_minfree="1M", checkpoint_interval="600s")
        acked, refused = set(), set()
        for i in range(5):
            assert send_one(office, "a%d" % i)[0] == 250
            acked.add("a%d" % i)
        time.sleep(1.5)                                # the segments that are made at the start have been flushed
        fail_next_flush(fuse)
        code, text = send_one(office, "bad1")
        assert code == 451, "a flush failed and the reply was %d %s" % (code, text)
        refused.add("bad1")
        assert "suspect" in office.log()
        # A fresh segment: the next message is taken.
        lab.eventually("mail is taken again", lambda: send_one(office, "b0")[0] == 250, 5)
        acked.add("b0")
        c = login(office)
        assert c.select("INBOX")[0] == "OK"
        c.logout()
        office.down()
        # The disk is mended: mounted anew, so nothing comes from the page cache.
        sh("umount", mnt)
        sh("mount", "-t", "ext4", "-o", "noatime", loop, mnt)
        office.up()
        lab.eventually("the queue is empty", lambda: drained(office), 20)
        found = found_once(office, acked)
        assert not set(found) & refused, "refused and yet delivered: %s" % sorted(set(found) & refused)
        assert send_one(office, "after")[0] == 250
        print("note: failing flush: %d acknowledged, %d refused with 451, 0 lost, 0 claimed in spite of the refusal" % (len(acked), len(refused)))
        office.destroy()


def test_sessions_killed_in_the_middle():
    office = lab.Appliance(users=2, domain=DOMAIN, settings={"checkpoint_interval": "1s"})
    stop, acked, cycles = threading.Event(), [], 0

    def appender():
        n = 0
        while not stop.is_set():
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                c = login(office)
                c.select("INBOX")
                while not stop.is_set():
                    n += 1
                    t = "i%d" % n
                    if c.append("INBOX", None, None, b"Subject: x\r\nX-Token: <%s>\r\n\r\n[end %s]\r\n" % (t.encode(), t.encode()))[0] == "OK":
                        acked.append(t)
                    c.store("1:*", "+FLAGS", "\\Flagged"), c.fetch("1:*", "(UID FLAGS RFC822.SIZE)")

    thread = threading.Thread(target=appender, daemon=True)
    thread.start()
    end = time.monotonic() + (3 if lab.SANITIZED else 8)
    while time.monotonic() < end:
        before = len(acked)
        victims = office.pids("imapd:session")
        lab.kill(victims)
        cycles += len(victims)
        lab.eventually("appended again", lambda: len(acked) > before + 2, 15)
    stop.set()
    thread.join(30)
    found_once(office, acked)
    c = login(office)
    count = int(c.select("INBOX")[1][0])
    assert count >= len(acked), (count, len(acked))
    uids = [int(x) for x in c.uid("SEARCH", None, "ALL")[1][0].split()]
    assert uids == sorted(set(uids)) and len(uids) == count
    c.logout()
    # POP3: killed between DELE and QUIT nothing is gone; killed at QUIT it is gone or there, and the mailbox opens at once.
    for _ in range(5):
        p = poplib.POP3("127.0.0.1", office.port["pop3"], timeout=20)
        p.user("u1@" + DOMAIN), p.pass_("secret")
        n = p.stat()[0]
        p.dele(1), p.dele(2)
        lab.kill(lab.eventually("a session", lambda: office.pids("pop3d:session")))
        with contextlib.suppress(OSError, poplib.error_proto, EOFError):
            p.quit()
        p = poplib.POP3("127.0.0.1", office.port["pop3"], timeout=20)
        p.user("u1@" + DOMAIN), p.pass_("secret")
        assert p.stat()[0] == n, (p.stat(), n)
        p.quit()
    assert not leftovers(os.path.join(office.dir, "state"))
    print("note: %d imapd sessions killed, %d APPENDs acknowledged, 0 lost, 0 doubled; 5 pop3d sessions killed, nothing deleted before QUIT" % (cycles, len(acked)))
    office.destroy()


lab.main()
