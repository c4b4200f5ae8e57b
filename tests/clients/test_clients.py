"""tests/clients/test_clients.py - real mail programs from Debian against one appliance, over TLS wherever they can."""
import email, imaplib, os, poplib, subprocess, tempfile, time

import lab

office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=8)
    return office


def run(*cmd, stdin=None, env=None, ok=(0,)):
    r = subprocess.run(cmd, input=stdin, capture_output=True, timeout=60 * lab.SLOW, env={**os.environ, **(env or {})},
                       text=not isinstance(stdin, bytes))
    assert r.returncode in ok, "%s: status %d\n%s\n%s" % (" ".join(cmd), r.returncode, r.stdout, r.stderr)
    return r.stdout


def letter(token, to="u2"):
    return "From: u1@office.example\r\nTo: %s@office.example\r\nSubject: %s\r\n\r\n%s body\r\n" % (to, token, token)


# ---- submission ----

def swaks(*extra):
    lab.need("swaks")
    return run("swaks", "--server", "127.0.0.1", "--from", "u1@office.example", "--auth-user", "u1@office.example", "--auth-password", "secret", *extra)


def test_swaks_submission_starttls_plain():
    swaks("--port", str(box().port["submission"]), "--to", "u2@office.example", "--tls", "--auth", "PLAIN", "--body", "swaks-plain")
    box().wait_mail("u2", "swaks-plain")


def test_swaks_submissions_login():
    swaks("--port", str(box().port["submissions"]), "--to", "u2@office.example", "--tls-on-connect", "--auth", "LOGIN", "--body", "swaks-login")
    box().wait_mail("u2", "swaks-login")


def test_swaks_wrong_password_is_535():
    lab.need("swaks")
    r = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(box().port["submission"]), "--tls", "--auth", "PLAIN", "--auth-user", "u1@office.example",
                        "--auth-password", "wrong", "--from", "u1@office.example", "--to", "u2@office.example"], capture_output=True, text=True)
    assert r.returncode == 28 and "535 5.7.8" in r.stdout, r.stdout


def test_swaks_lmtp():
    lab.need("swaks")
    run("swaks", "--server", "127.0.0.1", "--port", str(box().port["lmtp"]), "--protocol", "LMTP", "--from", "a@b.example",
        "--to", "u2@office.example,u3@office.example", "--body", "swaks-lmtp")
    box().wait_mail("u2", "swaks-lmtp")
    box().wait_mail("u3", "swaks-lmtp")


def msmtp(auth, token):
    lab.need("msmtp")
    run("msmtp", "--host=127.0.0.1", "--port=%d" % box().port["submission"], "--tls=on", "--tls-starttls=on", "--tls-trust-file=" + box().ca,
        "--auth=" + auth, "--user=u1@office.example", "--passwordeval=echo secret", "--from=u1@office.example", "u2@office.example", stdin=letter(token))
    box().wait_mail("u2", token)


def test_msmtp_scram_sha_256():
    msmtp("scram-sha-256", "msmtp-scram")


def test_msmtp_plain():
    msmtp("plain", "msmtp-plain")


def test_curl_submission():
    lab.need("curl")
    run("curl", "-sS", "--ssl-reqd", "--cacert", box().ca, "-u", "u1@office.example:secret", "smtp://localhost:%d/laptop" % box().port["submission"],
        "--mail-from", "u1@office.example", "--mail-rcpt", "u2@office.example", "-T", "-", stdin=letter("curl-smtp"))
    box().wait_mail("u2", "curl-smtp")


def test_python_smtplib_large_message():
    body = "".join("line %d of a large message, long enough to fill the spool\r\n" % i for i in range(60000))
    box().submit("large", ["u4@office.example"], data="From: u1@office.example\r\nSubject: large-one\r\n\r\n" + body + "the-end\r\n")
    got = box().wait_mail("u4", "large-one", 20)[0]
    assert got.endswith(b"the-end\r\n") and got.count(b"\r\nline ") == 60000


# ---- reading ----

def fill(user, *tokens):
    for t in tokens:
        box().submit(t, ["%s@office.example" % user])
    for t in tokens:
        box().wait_mail(user, t)


def test_curl_pop3s_and_imaps():
    lab.need("curl")
    fill("u5", "curl-read")
    url = "pop3s://localhost:%d/1" % box().port["pop3s"]
    assert "curl-read" in run("curl", "-sS", "--cacert", box().ca, "-u", "u5@office.example:secret", url)
    url = "imaps://localhost:%d/INBOX;UID=1" % box().port["imaps"]
    assert "curl-read" in run("curl", "-sS", "--cacert", box().ca, "-u", "u5:secret", url)
    run("curl", "-sS", "--cacert", box().ca, "-u", "u5:wrong", url, ok=(67,))


def test_fetchmail_imap_and_pop3():
    lab.need("fetchmail")
    for proto, door in (("IMAP", "imap"), ("POP3", "pop3")):
        token = "fetchmail-" + proto
        fill("u6", token)
        with tempfile.TemporaryDirectory() as d:
            rc, out = os.path.join(d, "rc"), os.path.join(d, "out")
            with open(rc, "w") as f:
                f.write('poll localhost service %d protocol %s user "u6@office.example" password "secret" sslproto TLS1.2+ sslcertfile "%s" sslcertck '
                        'fetchall mda "cat >>%s"\n' % (box().port[door], proto, box().ca, out))
            os.chmod(rc, 0o600)
            env = {"FETCHMAILHOME": d, "HOME": d, "FETCHMAIL_DISABLE_CBC_IV_COUNTERMEASURE": ""}
            run("fetchmail", "-f", rc, "--nodetach", "--nosyslog", env=env)
            with open(out) as f:
                assert token in f.read()
            assert not box().mail("u6"), "fetchmail deletes what it fetched"


def test_mbsync_twice_transfers_nothing_the_second_time():
    lab.need("mbsync")
    fill("u7", "mbsync-1", "mbsync-2")
    with tempfile.TemporaryDirectory() as d:
        rc = os.path.join(d, "rc")
        os.mkdir(os.path.join(d, "mail"))
        with open(rc, "w") as f:
            f.write("IMAPAccount a\nHost localhost\nPort %d\nUser u7@office.example\nPass secret\nSSLType IMAPS\nCertificateFile %s\n\n"
                    "IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/mail/\nInbox %s/mail/INBOX\nSubFolders Verbatim\n\n"
                    "Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n" % (box().port["imaps"], box().ca, d, d))
        run("mbsync", "-c", rc, "-a")
        got = "".join(open(os.path.join(d, "mail/INBOX", sub, n)).read() for sub in ("new", "cur") for n in os.listdir(os.path.join(d, "mail/INBOX", sub)))
        assert "mbsync-1" in got and "mbsync-2" in got
        state = {n: open(os.path.join(d, "mail/INBOX", n)).read() for n in (".mbsyncstate",)}
        run("mbsync", "-c", rc, "-a")
        assert state == {n: open(os.path.join(d, "mail/INBOX", n)).read() for n in state}, "the second run changed something"
        # A message put in on this side goes up.
        with open(os.path.join(d, "mail/INBOX/cur/1.local:2,S"), "w") as f:
            f.write("From: me\nSubject: pushed-up\n\nx\n")
        run("mbsync", "-c", rc, "-a")
    box().wait_mail("u7", "pushed-up")


def test_mutt_reads_and_lists():
    lab.need("mutt", "script")
    fill("u8", "mutt-letter")
    with tempfile.TemporaryDirectory() as d:
        rc, out = os.path.join(d, "rc"), os.path.join(d, "out")
        with open(rc, "w") as f:
            f.write('set folder=""\nset imap_pass="secret"\nset ssl_verify_host=no\nset certificate_file="%s"\nset header_cache=""\nset record=""\n'
                    'set wait_key=no\nset pipe_decode=yes\nset quit=yes\n'
                    "push '<pipe-message>cat >%s<enter><quit>'\n" % (box().ca, out))
        # mutt wants a terminal.
        run("script", "-qec", "mutt -n -F %s -f imaps://u8%%40office.example@localhost:%d/INBOX" % (rc, box().port["imaps"]), "/dev/null",
            env={"TERM": "vt100", "HOME": d, "LINES": "24", "COLUMNS": "80"}, stdin="")
        with open(out) as f:
            assert "mutt-letter" in f.read()


def test_python_poplib_session():
    fill("u3", "pop-a", "pop-b")
    p = poplib.POP3("localhost", box().port["pop3"], timeout=20)
    caps = p.capa()
    for word in ("STLS", "TOP", "UIDL", "PIPELINING", "RESP-CODES"):
        assert word in caps, caps
    p.stls(context=box().tls())
    p.user("u3@office.example"), p.pass_("secret")
    count, size = p.stat()
    texts = [b"\r\n".join(p.retr(i + 1)[1]) for i in range(count)]
    assert any(b"pop-a" in t for t in texts) and sum(len(t) + 2 for t in texts) == size
    assert b"pop-b" in texts[-1].split(b"\r\n") and b"pop-b" not in p.top(count, 0)[1], "TOP n 0 is the header alone"
    uidls = p.uidl()[1]
    assert len(set(u.split()[1] for u in uidls)) == count
    p.dele(count)
    p.rset()
    p.dele(1)
    p.quit()
    with_left = poplib.POP3_SSL("localhost", box().port["pop3s"], context=box().tls())
    with_left.user("u3"), with_left.pass_("secret")
    assert with_left.stat()[0] == count - 1
    assert [u.split()[1] for u in with_left.uidl()[1]] == [u.split()[1] for u in uidls[1:]]
    with_left.quit()


def imap(user):
    m = imaplib.IMAP4_SSL("localhost", box().port["imaps"], ssl_context=box().tls())
    m.login(user + "@office.example", "secret")
    return m


def test_python_imaplib_day():
    fill("u2", "imap-one", "imap-two")
    m = imap("u2")
    ok, folders = m.list()
    names = b"\n".join(folders)
    for attr, name in ((b"\\Sent", b"Sent"), (b"\\Drafts", b"Drafts"), (b"\\Trash", b"Trash"), (b"\\Junk", b"Junk")):
        assert attr in names and name in names, names
    ok, n = m.select("INBOX")
    assert ok == "OK"
    ok, found = m.search(None, "SUBJECT", "imap-two")
    seq = found[0].split()[-1].decode()
    ok, data = m.fetch(seq, "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    assert b"imap-two" in data[0][1] and b"ENVELOPE" in data[0][0]
    size = int(data[0][0].split(b"RFC822.SIZE ")[1].split()[0])
    assert size == len(data[0][1])
    assert m.store(seq, "+FLAGS", "(\\Flagged $Label1)")[0] == "OK"
    assert b"$Label1" in m.fetch(seq, "(FLAGS)")[1][0]
    assert m.create("Projekte/2026")[0] == "OK"
    ok, _ = m.copy(seq, "Projekte/2026")
    assert ok == "OK"
    assert m.append("Sent", "(\\Seen)", imaplib.Time2Internaldate(time.time()), b"Subject: sent-copy\r\n\r\nx\r\n")[0] == "OK"
    assert b"MESSAGES 1" in m.status("Sent", "(MESSAGES UIDNEXT UNSEEN)")[1][0]
    assert m._simple_command("MOVE", seq, "Trash")[0] == "OK"
    assert m.rename("Projekte/2026", "Projekte/2027")[0] == "OK"
    ok, n = m.select('"Projekte/2027"')
    assert ok == "OK" and n == [b"1"], (ok, n)
    assert b"$Label1" in m.fetch("1", "(FLAGS)")[1][0]
    m.store("1", "+FLAGS", "\\Deleted")
    assert m.expunge()[1] == [b"1"]
    m.close()
    assert m.delete("Projekte/2027")[0] == "OK"
    m.logout()


def test_imap_idle_tells_at_once():
    m = imap("u4")
    m.select("INBOX")
    m.send(b"x1 IDLE\r\n")
    assert m.readline().startswith(b"+")
    began = time.monotonic()
    box().submit("idle-news", ["u4@office.example"])
    line = m.readline()
    took = time.monotonic() - began
    assert b"EXISTS" in line or b"RECENT" in line, line
    assert took < 3 * lab.SLOW, took
    m.send(b"DONE\r\n")
    while not m.readline().startswith(b"x1 OK"):
        pass
    m.logout()


lab.main()
