#!/usr/bin/env python3
"""posthouse import and export: mbox and Maildir, with flags, keywords and dates, read back by imaplib; each message once, and out again unchanged."""
import imaplib, mailbox, os, re, subprocess

import lab

DAY = 86400
START = 1_000_000_000
N = 1000
_box = []


def box():
    if not _box:
        _box.append(lab.Appliance(users=4))
    return _box[0]


def octets(i):
    return ("From: a%d@far.example\nTo: u1@office.example\nSubject: number %d\nMessage-ID: <%d@far.example>\n" % (i, i, i),
            "From here on text\n>From there\nline %d \xe9\n" % i + ("long " * (i % 50)) + "\n")


def wire(i):
    return ("%s\n%s" % octets(i)).encode("latin-1").replace(b"\n", b"\r\n")


def flags(i):
    return {f for f, on in ((r"\Seen", i % 2), (r"\Answered", i % 3 == 0), (r"\Flagged", i % 5 == 0), (r"\Deleted", i % 7 == 0), (r"\Draft", i % 11 == 0),
                            ("Work", i % 4 == 0), ("$Label1", i % 6 == 0)) if on}


def write_mbox(path, numbers):
    import time
    with open(path, "wb") as f:
        for i in numbers:
            head, body = octets(i)
            have = flags(i)
            marks = "Status: %sO\n" % ("R" if r"\Seen" in have else "")
            x = "".join(c for c, name in (("A", r"\Answered"), ("F", r"\Flagged"), ("T", r"\Draft"), ("D", r"\Deleted")) if name in have)
            marks += "X-Status: %s\n" % x if x else ""
            marks += "X-Keywords: %s\n" % " ".join(k for k in ("Work", "$Label1") if k in have)
            marks += "X-UID: %d\n" % (i * 10)
            date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(START + i * DAY))
            text = "From a%d@far.example %s\n" % (i, date) + head + marks + "\n" + re.sub("(?m)^(>*From )", r">\1", body) + "\n"
            f.write(text.encode("latin-1"))


def read(user, folder="INBOX"):
    """number -> (flags, internal date, octets), and how many messages there are"""
    c = imaplib.IMAP4("127.0.0.1", box().port["imap"])
    c.login(user, "secret")
    ok, data = c.select('"%s"' % folder, readonly=True)
    assert ok == "OK", data
    found, count = {}, int(data[0])
    if count:
        for item in c.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(item, tuple):
                i = int(re.search(rb"Subject: number (\d+)", item[1]).group(1))
                have = {f.decode() for f in imaplib.ParseFlags(item[0])} - {r"\Recent"}
                found[i] = (have, re.search(rb'INTERNALDATE "([^"]+)"', item[0]).group(1).decode(), item[1])
    c.logout()
    return found, count


def stamp(text):
    import datetime
    return int(datetime.datetime.strptime(text.strip(), "%d-%b-%Y %H:%M:%S %z").timestamp())


def check(found, numbers):
    assert sorted(found) == list(numbers), len(found)
    for i in numbers:
        have, date, body = found[i]
        assert body == wire(i), (i, body, wire(i))
        assert have == flags(i), (i, have, flags(i))
        assert stamp(date) == START + i * DAY, (i, date)


def path(name):
    return os.path.join(box().dir, name)


def test_mbox_of_a_thousand():
    write_mbox(path("in.mbox"), range(N))
    before = open(path("in.mbox"), "rb").read()
    assert "%d messages imported, 0 were" % N in box().posthouse("import", "mbox", "u1", path("in.mbox"))
    found, count = read("u1")
    assert count == N
    check(found, range(N))
    assert open(path("in.mbox"), "rb").read() == before


def test_second_run_adds_nothing():
    assert "0 messages imported, %d were there" % N in box().posthouse("import", "mbox", "u1", path("in.mbox"))
    assert read("u1")[1] == N


def test_a_longer_file_adds_what_is_new_and_deleted_ones_stay_away():
    c = imaplib.IMAP4("127.0.0.1", box().port["imap"])
    c.login("u1", "secret")
    c.select()
    c.store("1:10", "+FLAGS", r"\Deleted")
    gone = len(c.expunge()[1])
    c.uid("MOVE", c.uid("SEARCH", "SUBJECT", '"number 500"')[1][0].decode(), "Archive")
    c.logout()
    write_mbox(path("in.mbox"), range(N + 5))
    assert "5 messages imported, %d were there" % N in box().posthouse("import", "mbox", "u1", path("in.mbox"))
    assert read("u1")[1] == N + 5 - gone - 1


def test_killed_and_run_again():
    write_mbox(path("killed.mbox"), range(N))
    p = subprocess.Popen([os.path.join(lab.BIN, "posthouse"), "-C", box().conf, "import", "mbox", "u2", path("killed.mbox")], stdout=subprocess.DEVNULL)
    lab.eventually("some are in", lambda: len(box().mail("u2")) > 50)
    p.kill()
    p.wait()
    box().posthouse("import", "mbox", "u2", path("killed.mbox"))
    found, count = read("u2")
    assert count == N, count
    check(found, range(N))
    assert "fine" in box().posthouse("verify", "u2")


def test_after_a_power_cut_torn_files_come_anew():
    state = os.path.join(box().dir, "state", "mail", box().domain, "u2")
    names = sorted(os.listdir(os.path.join(state, "cur")))
    names = [n for n in names if ",S=" in n]
    os.truncate(os.path.join(state, "cur", names[3]), 10)
    os.unlink(os.path.join(state, "cur", names[7]))
    with open(os.path.join(state, "posthouse.import"), "w") as f:
        f.write("1\n")                                     # a run that began when the machine had started then, and did not end
    assert "2 messages imported, %d were there" % (N - 2) in box().posthouse("import", "mbox", "u2", path("killed.mbox"))
    assert not os.path.exists(os.path.join(state, "posthouse.import"))
    found, count = read("u2")
    assert count == N, count
    check(found, range(N))


def test_export_mbox_and_back():
    box().posthouse("export", "mbox", "u2", path("out.mbox"))
    assert len(mailbox.mbox(path("out.mbox"))) == N
    box().posthouse("import", "mbox", "--folder", "Old/Post", "u3", path("out.mbox"))
    found, count = read("u3", "Old/Post")
    assert count == N
    check(found, range(N))
    assert box().posthouse("export", "mbox", "u2", path("out.mbox"), check=False).returncode == 73


def test_export_maildir_and_back():
    box().posthouse("import", "mbox", "--folder", "Gr\u00fc\u00dfe", "u2", path("out.mbox"))
    assert "%d messages exported" % (2 * N) in box().posthouse("export", "maildir", "u2", path("tree"))
    assert len(mailbox.Maildir(path("tree"), create=False)) == N
    for expect in ("%d messages imported, 0 were" % (2 * N), "0 messages imported, %d were" % (2 * N)):
        assert expect in box().posthouse("import", "maildir", "u4", path("tree"))
    for folder in ("INBOX", "Gr&APwA3w-e"):
        found, count = read("u4", folder)
        assert count == N
        check(found, range(N))


def test_what_is_wrong_is_said():
    with open(path("no.mbox"), "w") as f:
        f.write("Subject: x\n\nno mbox\n")
    os.makedirs(path("nodir"))
    for status, word, *args in ((65, "no mbox", "mbox", "u1", path("no.mbox")), (66, "missing", "mbox", "u1", path("missing")), (67, "no account", "mbox", "nobody", path("in.mbox")),
                                (65, "no Maildir", "maildir", "u1", path("nodir")), (65, "plain file", "mbox", "u1", path("nodir")), (64, "user", "mbox")):
        r = box().posthouse("import", *args, check=False)
        assert r.returncode == status and word in r.stderr, (args, r.returncode, r.stderr)


if __name__ == "__main__":
    lab.main()
