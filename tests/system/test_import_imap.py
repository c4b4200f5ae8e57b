#!/usr/bin/env python3
"""posthouse import imap: from a server of ours and from a real Dovecot, with folders, special uses, flags, keywords, dates, UIDs and subscriptions, each message once."""
import atexit, contextlib, imaplib, os, re, shutil, socket, subprocess, tempfile, threading

import lab

ANCHOR = os.path.join(os.environ.get("BENCH_ROOT", "/var/tmp/posthouse-bench"), "upper")     # tests/bench/run installs Postfix and Dovecot there
N = 120
_box = []


def box():
    if not _box:
        _box.append(lab.Appliance(users=12))
        with open(_box[0].dir + "/pw", "w") as f:
            f.write("secret\n")
    return _box[0]


def imap(user, port=None, login=None):
    c = imaplib.IMAP4("127.0.0.1", port or box().port["imap"])
    c.login(login or user, "secret")
    return c


def body(i, name=""):
    return ("From: a%d@far.example\r\nSubject: %s %d\r\nMessage-ID: <%s%d@far.example>\r\n\r\n" % (i, "x", i, re.sub(r"\W", "", name), i)
            + "line \xe9\r\n.\r\nFrom here\r\n" * (i % 7)).encode("latin-1")


def flags(i):
    return " ".join(f for f, on in ((r"\Seen", i % 2), (r"\Answered", i % 3 == 0), (r"\Flagged", i % 5 == 0), (r"\Draft", i % 11 == 0),
                                    ("Work", i % 4 == 0), ("$Label1", i % 6 == 0)) if on)


def fill(c, folder, numbers):
    for i in numbers:
        ok, data = c.append('"%s"' % folder, "(%s)" % flags(i), '"%02d-Feb-20%02d 12:00:%02d +0100"' % (i % 28 + 1, i % 20 + 1, i % 60), body(i, folder))
        assert ok == "OK", data


def read(c):
    """folder -> (UIDVALIDITY, {uid: (flags, date, octets)}); the subscribed ones"""
    found = {}
    for line in c.list()[1]:
        m = re.match(rb'\((.*?)\) "?(.*?)"? "?(.*?)"?$', line)
        if rb"\Noselect" in m.group(1) or rb"\NonExistent" in m.group(1):
            continue
        name = m.group(3).decode()
        assert c.select('"%s"' % name, readonly=True)[0] == "OK", name
        validity = int(c.response("UIDVALIDITY")[1][0])
        messages = {}
        for item in c.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1] or []:
            if isinstance(item, tuple):
                have = frozenset(f.decode() for f in imaplib.ParseFlags(item[0])) - {r"\Recent"}
                date = imaplib.Internaldate2tuple(item[0])
                messages[int(re.search(rb"UID (\d+)", item[0]).group(1))] = (have, date, item[1])
        found[name] = (validity, messages)
    subscribed = {re.match(rb'\((.*?)\) "?(.*?)"? "?(.*?)"?$', line).group(3).decode() for line in c.lsub()[1] if line}
    return found, subscribed


def run(user, login, *more, port="imaps", host="localhost", check=True):
    args = ["import", "imap", "--login", login, "--password-file", box().dir + "/pw", *more, user, "%s:%d" % (host, box().port[port] if isinstance(port, str) else port)]
    return box().posthouse(*args, check=check)


def ca():
    return ["--ca-file", box().ca]


def source():
    with imap("u1") as c:
        if int(c.select()[1][0]) == 0:
            fill(c, "INBOX", range(N))
            c.select()
            c.store("5:9", "+FLAGS", r"\Deleted")
            c.expunge()                                               # UIDs with holes
            for name in ("Gr&APwA3w-e", "a.b/c.d", "Empty"):
                assert c.create('"%s"' % name)[0] == "OK"
                c.subscribe('"%s"' % name)
            c.unsubscribe("Empty")
            fill(c, "Gr&APwA3w-e", range(20))
            fill(c, "a.b/c.d", range(3))
            fill(c, "Sent", range(5))


def same(a, b, names=None):
    assert names or sorted(a) == sorted(b), (sorted(a), sorted(b))
    for name in names or a:
        assert a[name][0] == b[name][0], (name, "UIDVALIDITY")
        assert a[name][1] == b[name][1], (name, sorted(a[name][1])[:5], sorted(b[name][1])[:5])


def test_a_dry_run_changes_nothing():
    source()
    assert "%d messages would be imported, 0 are there" % (N - 5 + 28) in run("u2", "u1", "--dry-run", *ca())
    assert not os.path.exists(os.path.join(box().dir, "state", "mail", box().domain, "u2"))


def test_everything_comes_with_its_uids():
    source()
    assert "%d messages imported, 0 were" % (N - 5 + 28) in run("u2", "u1", *ca())
    with imap("u1") as a, imap("u2") as b:
        (one, subs_one), (two, subs_two) = read(a), read(b)
    same(one, two)
    assert subs_one == subs_two, (subs_one, subs_two)
    assert "fine" in box().posthouse("verify", "u2")


def test_a_second_run_adds_what_is_new():
    source()
    assert "0 messages imported, %d were" % (N - 5 + 28) in run("u2", "u1", *ca())
    with imap("u1") as a:
        fill(a, "INBOX", (500,))
    assert "1 messages imported, " in run("u2", "u1", *ca())
    assert "0 messages would be imported" in run("u2", "u1", "--dry-run", *ca())
    with imap("u1") as a, imap("u2") as b:
        same(read(a)[0], read(b)[0])


def test_killed_and_run_again():
    source()
    p = subprocess.Popen([os.path.join(lab.BIN, "posthouse"), "-C", box().conf, "import", "imap", "--login", "u1", "--password-file", box().dir + "/pw", *ca(), "u3",
                          "localhost:%d" % box().port["imaps"]], stdout=subprocess.DEVNULL)
    lab.eventually("some are in", lambda: len(box().mail("u3")) > 20)
    p.kill()
    p.wait()
    run("u3", "u1", *ca())
    with imap("u1") as a, imap("u3") as b:
        same(read(a)[0], read(b)[0])


def test_a_folder_with_mail_of_its_own_keeps_its_uids():
    source()
    with imap("u4") as c:
        fill(c, "INBOX", (900,))
    run("u4", "u1", *ca())
    with imap("u1") as a, imap("u4") as b:
        one, two = read(a)[0], read(b)[0]
    assert one["INBOX"][0] != two["INBOX"][0]
    assert len(two["INBOX"][1]) == len(one["INBOX"][1]) + 1
    same(one, two, ["Sent", "Gr&APwA3w-e"])


def test_below_a_folder():
    source()
    run("u5", "u1", "--folder", "Old", *ca())
    with imap("u1") as a, imap("u5") as b:
        one, two = read(a)[0], read(b)[0]
    assert one["INBOX"][1] == two["Old"][1] and one["Sent"][1] == two["Old/Sent"][1]


def pass_on(host, port):
    """A port at another address that leads to the same server."""
    s = socket.create_server((host, 0))

    def copy(a, b):
        with contextlib.suppress(OSError):
            while octets := a.recv(65536):
                b.sendall(octets)

    def serve():
        while True:
            a = s.accept()[0]
            b = socket.create_connection(("127.0.0.1", port))
            for pair in ((a, b), (b, a)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return s.getsockname()[1]


def test_tls_is_checked_and_no_is_explicit():
    source()
    elsewhere = pass_on("127.0.0.3", box().port["imaps"])             # the certificate is not for that address
    for status, word, args, kw in (
            (77, "certificate", [], {}),                              # of no authority that we know
            (77, "mismatch", ca(), {"host": "127.0.0.3", "port": elsewhere}),
            (66, "no such host", ca(), {"host": "no.such.host.invalid"}),
            (77, "logging in", ca() + ["--login", "nobody"], {}),
            (75, "greet", ["--no-tls"], {"port": "pop3"}),
            (64, "exclude", ["--no-tls", "--starttls"], {}),
            (64, "unexpected", ["--nonsense"], {}),
            (75, "", ca(), {"port": 1})):
        r = run("u6", "u1", *args, check=False, **kw)
        assert r.returncode == status and word in r.stderr, (args, r.returncode, r.stderr)
    for args, port in ((["--no-verify"], "imaps"), (["--starttls"] + ca(), "imap"), (["--no-tls"], "imap")):
        assert "messages would be" in run("u6", "u1", "--dry-run", *args, port=port)


def test_export_and_back():
    """Every reader of ours gives back what our writer wrote: UIDs, flags, keywords, dates, octets, names with dots and beyond ASCII, subscriptions."""
    source()
    tree, files = box().dir + "/out.tree", {"INBOX": "INBOX", "Gr&APwA3w-e": "Gr\u00fc\u00dfe", "a.b/c.d": "a.b/c.d", "Sent": "Sent"}
    box().posthouse("export", "maildir", "u1", tree)
    box().posthouse("import", "maildir", "u9", tree)
    for i, (wire, name) in enumerate(files.items()):
        box().posthouse("export", "mbox", "--folder", name, "u1", box().dir + "/out.%d" % i)
        for _ in range(2):
            box().posthouse("import", "mbox", "--folder", name, "u10", box().dir + "/out.%d" % i)
    with imap("u1") as a, imap("u9") as b, imap("u10") as c:
        one, subs_one = read(a)
        two, subs_two = read(b)
        three = read(c)[0]
    same(one, two)
    assert subs_one == subs_two, (subs_one, subs_two)
    same(one, three, files)


DOVECOT = """
protocols = imap
listen = 127.0.0.1
log_path = /dev/stderr
ssl = yes
ssl_cert = </etc/dovecot/t.pem
ssl_key = </etc/dovecot/t.key
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = maildir:/srv/t/%%n
mail_uid = 8
mail_gid = 8
first_valid_uid = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=8 gid=8 home=/srv/t/%%n
}
namespace inbox {
  inbox = yes
  separator = .
  prefix = INBOX.
  mailbox "Sent Messages" {
    special_use = \\Sent
    auto = subscribe
  }
  mailbox Spam {
    special_use = \\Junk
    auto = create
  }
}
service imap-login {
  inet_listener imap {
    port = %d
  }
  inet_listener imaps {
    port = %d
  }
}
"""


class Dovecot:
    """Debian's, in a mount namespace of its own over the overlay that the benchmark installed; ends with us."""

    def __init__(self):
        if os.getuid() != 0 or not os.path.exists(ANCHOR + "/usr/sbin/dovecot"):
            raise lab.Skip("no Dovecot in %s (as root, tests/bench/run installs it)" % ANCHOR)
        lab.need("unshare", "openssl")
        self.dir = tempfile.mkdtemp(prefix="ph.dove.", dir="/tmp")
        for d in ("upper", "work", "root"):
            os.makedirs(os.path.join(self.dir, d))
        subprocess.run(["cp", "-a", ANCHOR + "/etc", ANCHOR + "/usr", self.dir + "/upper"], check=True)
        for d in ("upper/etc/dovecot", "upper/srv/t", "upper/run/dovecot"):
            os.makedirs(os.path.join(self.dir, d), exist_ok=True)
        os.chown(self.dir + "/upper/srv/t", 8, 8)
        os.chmod(self.dir, 0o755)
        self.port, self.ports = lab.free_port(), lab.free_port()
        with open(self.dir + "/upper/etc/dovecot/dovecot.conf", "w") as f:
            f.write(DOVECOT % (self.port, self.ports))
        self.ca = self.dir + "/upper/etc/dovecot/t.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", self.dir + "/upper/etc/dovecot/t.key", "-out", self.ca], check=True, capture_output=True)
        script = ("mount -t overlay overlay -o lowerdir=/,upperdir=%s/upper,workdir=%s/work %s/root && cd %s/root && mount --rbind /proc proc && mount --rbind /dev dev "
                  "&& exec chroot . dovecot -F") % ((self.dir,) * 4)
        self.log = open(self.dir + "/log", "w")
        self.proc = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                     start_new_session=True)
        atexit.register(self.stop)
        lab.eventually("Dovecot answers: " + open(self.dir + "/log").read(), lambda: self.proc.poll() is not None or lab._taken(self.port), 20)
        if self.proc.poll() is not None:
            raise lab.Skip("Dovecot does not run here: " + open(self.dir + "/log").read()[-300:])

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def test_from_dovecot():
    d = Dovecot()
    try:
        with imap("u1", d.port) as c:
            fill(c, "INBOX", range(N))
            c.select()
            c.store("10:30", "+FLAGS", r"\Deleted")
            c.expunge()
            for name in ("INBOX.Projects.2024", "INBOX.Gr&APwA3w-e", "INBOX.Empty"):
                c.create('"%s"' % name)
                c.subscribe('"%s"' % name)
                fill(c, name, range(9) if name != "INBOX.Empty" else ())
            fill(c, "INBOX.Sent Messages", range(4))
            fill(c, "INBOX.Spam", range(2))
            theirs, subscribed = read(c)
        assert "%d messages imported, 0 were" % (N - 21 + 24) in run("u7", "u1", "--ca-file", d.ca, port=d.ports)
        assert "0 messages imported, %d were" % (N - 21 + 24) in run("u7", "u1", "--starttls", "--ca-file", d.ca, port=d.port)
        with imap("u7") as c:
            ours, subs = read(c)
            special = dict(reversed(re.match(rb'\((.*?)\) "/" "?(.*?)"?$', x).groups()) for x in c._simple_command("LIST", '""', '"*"') and c.response("LIST")[1])
        names = {n: re.sub(r"^INBOX\.", "", n).replace("/", "_").replace(".", "/") for n in theirs if n not in ("INBOX.Projects",)}
        for n, o in names.items():
            assert theirs[n] == ours[o], (n, theirs[n][0], ours[o][0], sorted(theirs[n][1])[:3], sorted(ours[o][1])[:3])
        assert rb"\Sent" in special[b"Sent Messages"] and b"Sent" not in special, special
        assert rb"\Junk" in special[b"Spam"], special
        for n in subscribed:
            assert names.get(n, n) in subs, (n, subs)
        tree = os.path.join(d.dir, "upper/srv/t/u1")                 # and the same by its files, for another user
        subprocess.run(["cp", "-a", tree, box().dir + "/tree"], check=True)
        box().posthouse("import", "maildir", "u8", box().dir + "/tree")
        with imap("u8") as c:
            files = read(c)[0]
        for n in ("INBOX", "Projects/2024", "Gr&APwA3w-e", "Sent Messages"):
            assert ours[n] == files[n], (n, ours[n][0], files[n][0])
    finally:
        d.stop()


if __name__ == "__main__":
    lab.main()
