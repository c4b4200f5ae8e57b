"""tests/system/test_roaming.py - the whole story of DRAC: people on the road, who send without AUTH after they have read their mail.

Real hosts (network namespaces with cables between them): the office's server, two laptops that move from one address to the next, and two desks behind
one router that really masquerades (nftables). The laptops' mail programs are Python's libraries and fetchmail, mbsync, msmtp and swaks.
"""
# not under sanitizers: it waits more than it works
import imaplib, os, poplib, re, shutil, smtplib, tempfile, threading, time

import lab, nets

LIFETIME = 7 * lab.SLOW
SERVER4, SERVER6 = "198.51.100.1", "2001:db8:100::1"
ROUTER = "198.51.100.50"
REFUSED = re.compile(r"5\.7\.1 <.*>\.\.\. Relaying denied.*: log in to send \(port 587\), or fetch your mail first")
office = sink = None


class Net:
    """server, laptop, phone and router on one bridge; desk1 and desk2 behind the router."""

    def __init__(self):
        nets.bridge("inter")
        self.server, self.laptop, self.phone, self.router = (nets.Host(n) for n in ("server", "laptop", "phone", "router"))
        for h in (self.server, self.laptop, self.phone, self.router):
            h.plug("inter")
        self.server.move(SERVER4 + "/24", SERVER6 + "/64")
        self.router.move(ROUTER + "/24")
        nets.bridge("home", ns="router")
        self.router.ip("addr", "add", "10.9.0.1/24", "dev", "home")
        self.router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.masquerades = self.masquerade()
        self.desks = [nets.Host("desk1"), nets.Host("desk2")]
        for i, desk in enumerate(self.desks):
            desk.plug("home", ns="router")
            desk.move("10.9.0.1%d/24" % i, gateway="10.9.0.1")

    def masquerade(self):
        if shutil.which("nft") is None:
            return False
        return all(self.router.run("nft", *words, check=False).returncode == 0 for words in (
            ("add", "table", "ip", "home"), ("add", "chain", "ip", "home", "out", "{ type nat hook postrouting priority 100; }"),
            ("add", "rule", "ip", "home", "out", "oifname", "eth0", "masquerade")))


net = None


def world():
    global net, office, sink
    nets.need()
    if net is not None:
        return
    net = Net()
    hosts = tempfile.NamedTemporaryFile("w", prefix="ph-hosts.", delete=False)
    hosts.write("127.0.0.1 localhost\n::1 localhost\n%s mail.office.example\n%s mail6.office.example\n" % (SERVER4, SERVER6))
    hosts.close()
    nets.run("mount", "--bind", hosts.name, "/etc/hosts")
    os.unlink(hosts.name)
    with net.server.here():
        sink = lab.Sink()
        dns = lab.Dns(["mx-host=elsewhere.test,mx.elsewhere.test,10", "host-record=mx.elsewhere.test,127.0.0.1", "local=/in-addr.arpa/", "local=/ip6.arpa/"], netns="server")
    base = lab.free_base()
    doors = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "pop3s": 995, "imap": 143, "imaps": 993}
    office = lab.Appliance(base=base, netns="server", users=3, settings={
        **{"listen_" + door: "0.0.0.0:%d [::]:%d" % (base + offset, base + offset) for door, offset in doors.items()},
        "drac_lifetime": "%ds" % LIFETIME, "dns_server": dns.setting, "client_port": sink.port, "client_tls": "none", "plaintext_login_from": ""})


# ---- what people do ----

def tls():
    c = office.tls_any()                                     # reached by its address: the name in the certificate is another
    return c


def send(host, server, token=None, sender="u1@office.example", door="smtp", to="friend@elsewhere.test"):
    """Without AUTH. The reply to RCPT; where it was 250, the message goes."""
    with host.here(), smtplib.SMTP(server, office.port[door], "laptop.test", 20 * lab.SLOW) as s:
        if door == "submission":
            s.starttls(context=tls())
        s.ehlo()
        code, text = s.mail(sender)
        assert code == 250, (code, text)
        code, text = s.rcpt(to)
        if code == 250 and token is not None:
            assert s.data("From: %s\r\nSubject: %s\r\n\r\n%s\r\n" % (sender, token, token))[0] == 250
    return code, text.decode()


def refused(host, server, **kw):
    code, text = send(host, server, **kw)
    assert code == 550 and REFUSED.match(text), (code, text)


def fetch_by_pop3(host, server, user="u1"):
    with host.here():
        p = poplib.POP3_SSL(server, office.port["pop3s"], context=tls(), timeout=20 * lab.SLOW)
        p.user(user + "@office.example")
        p.pass_("secret")
        p.stat()
        p.quit()


def fetch_by_imap(host, server, user="u1"):
    with host.here():
        m = imaplib.IMAP4(server, office.port["imap"], timeout=20 * lab.SLOW)
        m.starttls(ssl_context=tls())
        m.login(user + "@office.example", "secret")
        assert m.select()[0] == "OK"
        m.logout()


def received_of(message):
    return re.sub(rb"\r\n\s+", b" ", message[2].split(b"\r\n\r\n")[0])


def arrived(token, address, user="u1"):
    """At the other end, with our line on top that says in words who vouched; and so does the log."""
    top = received_of(sink.wait(token, 15)[0]).decode()
    tag = "IPv6:" if ":" in address else ""
    assert re.match(r"Received: from laptop\.test \(\S+ \[%s%s\]\) \(relayed for %s@office\.example, who has just read mail from this address\) by mail\.office\.example "
                    % (tag, re.escape(address), user), top), top
    qid = re.search(r"with ESMTPS? id (\w+)", top).group(1)
    log = office.log()
    assert "%s: client=" % qid in log and re.search(r"%s: client=\S+\[%s\], permit=drac:%s@office\.example" % (qid, re.escape(address), user), log), qid


def round_trip(host, server, address, fetch, token, user="u1", wait=True):
    """Refused; fetch; send; after the lifetime refused again."""
    sender = user + "@office.example"
    host.move(address + ("/64" if ":" in address else "/24"))
    refused(host, server, sender=sender)
    began = time.time()
    fetch(host, server, user)
    granted = time.time()
    code, text = send(host, server, token, sender)
    assert code == 250, (code, text)
    arrived(token, address, user)
    if not wait:
        return
    time.sleep(max(0, began + LIFETIME - 1.5 - time.time()))
    assert send(host, server, sender=sender)[0] == 250 or time.time() > began + LIFETIME, "the window closed too early"
    time.sleep(max(0, granted + LIFETIME + 1 - time.time()))
    refused(host, server, sender=sender)


def both(first, second):
    """Two stories at the same time; the first failure is the test's."""
    failed = []

    def tell(story):
        try:
            story()
        except BaseException as e:
            failed.append(e)
    threads = [threading.Thread(target=tell, args=(s,)) for s in (first, second)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]


# ---- the tests ----

def test_a_laptop_at_a_new_address_by_pop3_then_by_imap():
    world()

    def ipv4():
        round_trip(net.laptop, SERVER4, "198.51.100.20", fetch_by_pop3, "pop3-v4", wait=False)
        round_trip(net.laptop, SERVER4, "198.51.100.21", fetch_by_pop3, "pop3-v4-moved")      # a grant stays where it was given
        round_trip(net.laptop, SERVER4, "198.51.100.22", fetch_by_imap, "imap-v4")

    def ipv6():
        round_trip(net.phone, SERVER6, "2001:db8:100::20", fetch_by_pop3, "pop3-v6", "u3")
        round_trip(net.phone, SERVER6, "2001:db8:100::21", fetch_by_imap, "imap-v6", "u3")
    both(ipv4, ipv6)


def test_a_wrong_password_opens_nothing():
    world()
    net.laptop.move("198.51.100.23/24")
    with net.laptop.here():
        p = poplib.POP3_SSL(SERVER4, office.port["pop3s"], context=tls(), timeout=20 * lab.SLOW)
        p.user("u1@office.example")
        try:
            p.pass_("guess")
            raise AssertionError("a wrong password was right")
        except poplib.error_proto:
            p.close()
    refused(net.laptop, SERVER4)


def test_real_mail_programs():
    lab.need("fetchmail", "mbsync", "msmtp", "swaks")
    world()
    letter = "From: u1@office.example\nTo: friend@elsewhere.test\nSubject: %s\n\n%s\n"

    def msmtp(token):
        return net.laptop.run("msmtp", "--host=mail.office.example", "--port=%d" % office.port["smtp"], "--auth=off", "--tls=off", "--domain=laptop.test",
                              "--from=u1@office.example", "friend@elsewhere.test", input=letter % (token, token), check=False)

    def swaks(token):
        return net.laptop.run("swaks", "--server", "mail.office.example:%d" % office.port["smtp"], "--helo", "laptop.test", "--from", "u1@office.example",
                              "--to", "friend@elsewhere.test", "--body", token, check=False)
    with tempfile.TemporaryDirectory() as d:
        env = {**os.environ, "HOME": d, "FETCHMAILHOME": d}
        out = os.path.join(d, "got")
        with open(os.path.join(d, "fetchmailrc"), "w") as f:
            f.write('poll mail.office.example service %d protocol POP3 user "u1@office.example" password "secret" sslproto TLS1.2+ sslcertfile "%s" sslcertck '
                    'fetchall mda "cat >>%s"\n' % (office.port["pop3"], office.ca, out))
        os.chmod(f.name, 0o600)
        net.laptop.move("198.51.100.30/24")
        r = msmtp("too-soon")
        assert r.returncode != 0 and "fetch your mail first" in r.stderr, r.stderr
        with net.server.here():
            office.submit("for-the-laptop", "u1@office.example", sender="u2")
        office.wait_mail("u1", "for-the-laptop")
        net.laptop.run("fetchmail", "-f", f.name, "--nodetach", "--nosyslog", env=env)
        with open(out) as got:
            assert "for-the-laptop" in got.read()
        r = msmtp("by-msmtp")
        assert r.returncode == 0, r.stderr
        arrived("by-msmtp", "198.51.100.30")

        net.laptop.move("198.51.100.31/24")
        r = swaks("too-soon")
        assert r.returncode != 0 and "fetch your mail first" in r.stdout, r.stdout
        rc = os.path.join(d, "mbsyncrc")
        os.mkdir(os.path.join(d, "mail"))
        with open(rc, "w") as f:
            f.write("IMAPAccount a\nHost mail.office.example\nPort %d\nUser u1@office.example\nPass secret\nSSLType IMAPS\nCertificateFile %s\n\n"
                    "IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/mail/\nInbox %s/mail/INBOX\n\nChannel c\nFar :far:\nNear :near:\nCreate Near\n"
                    % (office.port["imaps"], office.ca, d, d))
        net.laptop.run("mbsync", "-c", rc, "-a", env=env)
        r = swaks("by-swaks")
        assert r.returncode == 0, r.stdout
        arrived("by-swaks", "198.51.100.31")


def desk_world():
    world()
    if not net.masquerades:
        raise lab.Skip("no nftables with masquerade")
    with net.desks[0].here():                                # the way is really one that hides them
        s = smtplib.SMTP(SERVER4, office.port["smtp"], timeout=20 * lab.SLOW)
    s.ehlo()
    assert ROUTER in s.ehlo_resp.decode(), s.ehlo_resp
    s.quit()


def test_another_user_behind_the_same_address_is_not_let_through():
    desk_world()
    desk1, desk2 = net.desks
    refused(desk1, SERVER4)
    refused(desk2, SERVER4, sender="u2@office.example")
    fetch_by_pop3(desk1, SERVER4)
    assert send(desk1, SERVER4, "from-desk1")[0] == 250
    arrived("from-desk1", ROUTER)
    code, text = send(desk2, SERVER4, sender="u2@office.example")
    assert code == 550 and re.search(r"5\.7\.1 <friend@elsewhere\.test>\.\.\. Relaying denied: whoever read mail from your address may not send as this sender", text), (code, text)
    for stranger in ("mallory@elsewhere.test", "u2@office.example", "nobody@office.example"):
        assert send(desk2, SERVER4, sender=stranger)[0] == 550, stranger
    code, text = send(desk2, SERVER4, sender="u2@office.example", door="submission")
    assert code == 530 and text.startswith("5.7.0") and "Authentication required" in text, (code, text)
    with desk2.here(), smtplib.SMTP(SERVER4, office.port["submission"], "desk2.test", 20 * lab.SLOW) as s:       # the right way for who has AUTH
        s.starttls(context=tls())
        s.login("u2@office.example", "secret")
        assert s.sendmail("u2@office.example", "friend@elsewhere.test", "From: u2@office.example\r\nSubject: by-login\r\n\r\nx\r\n") == {}
    assert b"(authenticated as u2@office.example)" in received_of(sink.wait("by-login")[0])
    fetch_by_imap(desk2, SERVER4, "u2")                      # and who reads mail too may send as well, each as themselves
    assert send(desk2, SERVER4, "from-desk2", sender="u2@office.example")[0] == 250
    arrived("from-desk2", ROUTER, "u2")
    assert send(desk1, SERVER4, "again-desk1")[0] == 250
    arrived("again-desk1", ROUTER)
    shown = office.posthouse("drac", "show", ROUTER)
    assert "u1@office.example" in shown and "u2@office.example" in shown, shown


def test_z_classic_behaviour_lets_any_sender_through():
    """drac_match_sender = no: what the DRAC of old did, for an office that wants it so."""
    desk_world()
    desk1, desk2 = net.desks
    with open(office.conf, "a") as f:
        f.write("drac_match_sender = no\n")
    office.posthouse("reload")
    lab.eventually("the new settings", lambda: "smtpd: new settings in use" in office.log(), 10)
    time.sleep(LIFETIME + 1)                                 # what the tests before opened is shut
    refused(desk2, SERVER4, sender="u2@office.example")
    fetch_by_pop3(desk1, SERVER4)
    code, text = send(desk2, SERVER4, "classic", sender="mallory@elsewhere.test")
    assert code == 250, (code, text)
    top = received_of(sink.wait("classic")[0]).decode()
    assert "(relayed for u1@office.example, who has just read mail from this address)" in top, top
    assert re.search(r"client=\S+\[%s\], permit=drac:u1@office\.example" % re.escape(ROUTER), office.log())


if __name__ == "__main__":
    nets.enter(__file__)
    lab.main()
