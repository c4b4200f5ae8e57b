"""tests/system/test_queue.py - what leaves the appliance: where it goes, what comes back, and what is told about it.

Other servers are at 127.0.0.N, all at the port that client_port names; a real DNS server says which domain is where. Nothing here needs root.
"""
import email, email.policy, json, os, re, socket, ssl, subprocess, tempfile, threading, time

import lab

PORT = lab.free_port()
OK, DENIED, REFUSED, GOOD, SECOND = "127.0.0.21", "127.0.0.22", "127.0.0.20", "127.0.0.23", "127.0.0.24"
_office = _slow = _dns = None
_mx = {}


class Mx:
    """An SMTP server at one loopback address. reply(line, nth connection) -> raw octets, b"" to hang up, a list to send slowly, or None for our own. Keeps all it hears."""

    def __init__(self, host="127.0.0.1", port=None, reply=None, tls=None, behind_220=b"", end=None):
        self.host, self.port, self.reply, self.tls, self.behind_220, self.end = host, port or PORT, reply, tls, behind_220, end
        self.messages = []                           # (sender, [rcpt], octets on the wire behind DATA, with the final dot; was there TLS?)
        self.heard, self.connections = [], 0
        self.listener = socket.create_server((host, self.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            c, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self._safely, args=(c, self.connections), daemon=True).start()

    def _safely(self, c, nth):
        try:
            self._talk(c, nth)
        except (OSError, ValueError):
            pass
        finally:
            c.close()

    def _talk(self, c, nth):
        f, secure, sender, rcpts = c.makefile("rb"), False, None, []
        line = "CONNECT"
        while True:
            verb = line.upper()
            own = self.reply(line, nth) if self.reply else None
            if own == b"":
                return
            if isinstance(own, list):                                # drips
                for piece in own:
                    c.sendall(piece)
                    time.sleep(0.25)
            elif own is not None:
                c.sendall(own)
            elif verb == "CONNECT":
                c.sendall(b"220 mx.test ESMTP\r\n")
            elif verb.startswith("EHLO"):
                c.sendall(b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n" + (b"250-STARTTLS\r\n" if self.tls and not secure else b"") + b"250 SIZE 90000000\r\n")
            elif verb == "STARTTLS":
                c.sendall(b"220 2.0.0 go\r\n" + self.behind_220)
                c, secure = self.tls.wrap_socket(c, server_side=True), True
                f = c.makefile("rb")
            elif verb.startswith("MAIL"):
                sender, rcpts = re.search("<(.*?)>", line).group(1), []
                c.sendall(b"250 2.1.0 ok\r\n")
            elif verb.startswith("RCPT"):
                rcpts.append(re.search("<(.*?)>", line).group(1))
                c.sendall(b"250 2.1.5 ok\r\n")
            elif verb == "DATA":
                c.sendall(b"354 go\r\n")
                data = b""
                while not (data.endswith(b"\r\n.\r\n") or data == b".\r\n"):
                    piece = f.readline()
                    if not piece:
                        return
                    data += piece
                said = self.end(data) if self.end else None                 # instead of 250: as reply()
                if said == b"":
                    return
                if said is None:
                    self.messages.append((sender, rcpts, data, secure))
                c.sendall(said or b"250 2.0.0 kept\r\n")
            elif verb == "QUIT":
                c.sendall(b"221 bye\r\n")
                return
            else:
                c.sendall(b"250 ok\r\n")
            got = f.readline()
            if not got:
                return
            self.heard.append(got)
            line = got.decode("latin-1").rstrip("\r\n")

    def wait(self, token, seconds=10):
        return lab.eventually("%s at %s" % (token, self.host), lambda: [m for m in list(self.messages) if token.encode() in m[2]], seconds)[0]


def mx(host, **kw):
    if host not in _mx:
        _mx[host] = Mx(host, **kw)
    return _mx[host]


def certificate():
    d = tempfile.mkdtemp(prefix="ph.")
    key, cert = d + "/key.pem", d + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=nobody.test", "-days", "2",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(cert, key)
    subprocess.run(["rm", "-r", d])
    return c


def one(domain, host):
    return ["mx-host=%s.test,mx.%s.test,10" % (domain, domain), "host-record=mx.%s.test,%s" % (domain, host)]


def several(domain, hosts):
    records = []
    for i, host in enumerate(hosts):
        records += ["mx-host=%s.test,mx%d.%s.test,%d" % (domain, i, domain, 10 + i), "host-record=mx%d.%s.test,%s" % (i, domain, host)]
    return records


SOFT, BUSY = ["127.0.0.6%d" % i for i in range(3)], ["127.0.0.7%d" % i for i in range(5)]
LAME = ["127.0.0.80", REFUSED]

LISTS = "staff: u1, near@aonly.test, bad-member@denied.test\nowner-staff: u2\nunowned: u1, near@aonly.test, bad-member@denied.test\n"

HOSTILE = {
    "nocode": ("127.0.0.41", b"\r\nhello\r\n"), "nul": ("127.0.0.42", b"250 o\0k\r\n"), "endless": ("127.0.0.43", b"250 " + b"x" * (1 << 20)),
    "lines": ("127.0.0.44", b"250-more\r\n" * 1000000), "change": ("127.0.0.45", b"250-one\r\n550 two\r\n"), "barelf": ("127.0.0.46", b"550 no\n"),
    "low": ("127.0.0.47", b"99 no\r\n"), "dsnonly": ("127.0.0.48", b"5.7.2\r\n"),
}


def world():
    global _office, _dns
    if _office is None:
        records = ["mx-host=order.test,mx30.order.test,30", "mx-host=order.test,mx10.order.test,10", "mx-host=order.test,mx20.order.test,20",
                   "host-record=mx10.order.test," + REFUSED, "host-record=mx20.order.test," + GOOD, "host-record=mx30.order.test," + SECOND,
                   "host-record=aonly.test," + GOOD, "host-record=sixonly.test,::1", "dns-rr=nullmx.test,15,000000",
                   *one("ok", OK), *one("refused", REFUSED), *one("denied", DENIED), *one("tls", "127.0.0.31"), *one("eager", "127.0.0.32"),
                   *one("broken", "127.0.0.33"), *one("later", "127.0.0.34"), *one("asleep", "127.0.0.35"), *one("traced", "127.0.0.36"), *one("night", "127.0.0.37"), *one("hung", "127.0.0.38"),
                   *one("dsn", "127.0.0.39"), *one("moody", "127.0.0.40"), *one("drip", "127.0.0.51"), *one("driplines", "127.0.0.52"), *one("heavy", "127.0.0.53"), *one("shut", "127.0.0.54"),
                   *several("soft", SOFT), *several("busy", BUSY), *several("lame", LAME)]
        for name, (host, _) in HOSTILE.items():
            records += one(name, host)
        _dns = lab.Dns(records)
        mx(OK), mx(GOOD), mx(SECOND)
        mx(DENIED, reply=lambda line, nth: b"550-5.1.1 no such user\r\n550 5.1.1 <%s> here\r\n" % line[9:-1].encode()
           if line.startswith("RCPT") and "bad" in line else None)
        _office = lab.Appliance(files={"aliases": LISTS}, settings={"dns_server": _dns.setting, "client_port": PORT, "mynetworks": "127.0.0.0/8", "minimal_backoff_time": "1s",
                                          "maximal_backoff_time": "4s", "accept_unresolvable_domains": "yes", "delay_warning_time": "0", "client_timeout": "3s", "checkpoint_interval": "1s"})
    return _office


def slow_world():
    """Another appliance: everything goes to a relay host that is asked three times in its life, and for three seconds."""
    global _slow
    if _slow is None:
        relay = Mx(port=lab.free_port(), reply=lambda line, nth: b"451 4.7.1 too busy today\r\n" if line.startswith("RCPT") and "late" in line else None)
        _slow = lab.Appliance(domain="branch.example", settings={"relayhost": "[127.0.0.1]:%d" % relay.port, "mynetworks": "127.0.0.0/8",
                              "minimal_backoff_time": "1s", "maximal_queue_lifetime": "3s", "bounce_queue_lifetime": "2s", "delay_warning_time": "1s"})
        _slow.relay = relay
    return _slow


def send(to, token, sender="u1@office.example", body=None, office=None, options=(), rcpt_options=()):
    """By port 25 from mynetworks. Returns the queue id."""
    with (office or world()).smtp() as s:
        s.ehlo()
        code, text = s.mail(sender, list(options))
        assert code == 250, (code, text)
        for r in [to] if isinstance(to, str) else to:
            code, text = s.rcpt(r, list(rcpt_options))
            assert code == 250, (r, code, text)
        code, text = s.data(body or "From: %s\r\nTo: somebody\r\nSubject: %s\r\nX-Token: %s\r\n\r\nbody of %s\r\n" % (sender, token, token, token))
        assert code == 250, (code, text)
        found = re.search(rb"queued as (\w+)", text)
        assert found, text
        return found.group(1).decode()


def queue(office=None):
    return json.loads((office or world()).posthouse("queue", "list", "--json"))


def entry(qid, office=None):
    return next((m for m in queue(office) if m["id"] == qid), None)


def reason(qid, words, seconds=10, office=None):
    """Waits until the message is deferred with these words."""
    def look():
        m = entry(qid, office)
        return m and [r for r in m["recipients"] if words in r["reason"]]
    try:
        return lab.eventually("%s deferred with %r" % (qid, words), look, seconds)[0]
    except AssertionError as e:
        raise AssertionError("%s; it is %r; log: %s" % (e, entry(qid, office), story(qid, office)))


def story(qid, office=None):
    return "\n".join(l for l in (office or world()).log().splitlines() if qid in l)


def gone(qid, seconds=10, office=None):
    lab.eventually("%s out of the queue" % qid, lambda: entry(qid, office) is None, seconds)


def bounce(token, user="u1", office=None, seconds=10, action="failed"):
    """The notification about a message: (all of it, fields of each recipient, part 3)."""
    office = office or world()
    found = lab.eventually("a bounce about " + token, lambda: [m for m in office.mail(user) if token.encode() in m and b"multipart/report" in m and b"\nAction: %s" % action.encode() in m], seconds)
    assert len(found) == 1, len(found)
    whole = email.message_from_bytes(found[0], policy=email.policy.default)
    assert whole.get_content_type() == "multipart/report" and whole.get_param("report-type") == "delivery-status"
    assert whole["Return-Path"] in (None, "<>"), whole["Return-Path"]
    assert whole["Auto-Submitted"].startswith("auto-"), whole["Auto-Submitted"]
    parts = list(whole.iter_parts())
    assert [p.get_content_type() for p in parts][:2] == ["text/plain", "message/delivery-status"], parts
    assert not whole.defects and not any(p.defects for p in whole.walk()), [p.defects for p in whole.walk()]
    blocks = parts[1].get_payload()
    assert blocks[0]["Reporting-MTA"].startswith("dns;") and blocks[0]["Arrival-Date"]
    return whole, blocks[1:], parts[2]


# ---- where it goes ----

def test_mx_by_preference_and_on_to_the_next():
    qid = send("x@order.test", "mx-order")
    mx(GOOD).wait("mx-order")
    gone(qid)
    assert not [m for m in mx(SECOND).messages if b"mx-order" in m[2]]
    assert re.search(r"connect to mx10\.order\.test\[127\.0\.0\.20\]:\d+: .*refused", world().log()), story(qid)


def test_a_and_aaaa_where_there_is_no_mx():
    send("x@aonly.test", "a-only")
    mx(GOOD).wait("a-only")
    mx("::1")
    send("x@sixonly.test", "aaaa-only")
    mx("::1").wait("aaaa-only")


def test_null_mx_bounces():
    send("x@nullmx.test", "null-mx")
    _, rcpts, _ = bounce("null-mx")
    assert rcpts[0]["Status"] == "5.1.10" and rcpts[0]["Action"] == "failed" and "x@nullmx.test" in rcpts[0]["Final-Recipient"], rcpts[0].as_string()


def test_no_such_domain_bounces():
    send("x@nosuch.test", "no-domain")
    whole, rcpts, _ = bounce("no-domain")
    assert rcpts[0]["Status"] == "5.1.2" and rcpts[0]["Action"] == "failed", rcpts[0].as_string()
    assert "nosuch.test" in next(whole.iter_parts()).get_content()
    assert rcpts[0]["Remote-MTA"] is None and rcpts[0]["Diagnostic-Code"].startswith("x-posthouse;"), rcpts[0].as_string()


def test_relayhost_takes_everything():
    send("x@wherever.test", "by-relay", sender="u1@branch.example", office=slow_world())
    assert slow_world().relay.wait("by-relay")[1] == ["x@wherever.test"]


# ---- TLS ----

def test_tls_where_it_is_offered():
    mx("127.0.0.31", tls=certificate())
    send("x@tls.test", "by-tls")
    assert mx("127.0.0.31").wait("by-tls")[3] is True


def test_answer_behind_220_is_not_believed():                        # row 5
    mx("127.0.0.32", tls=certificate(), behind_220=b"250-eager.test\r\n250 SIZE 1\r\n")
    qid = send("x@eager.test", "eager")
    reason(qid, "spoke before TLS")
    assert "4.7.5" in story(qid), story(qid)
    assert not mx("127.0.0.32").messages
    world().posthouse("queue", "remove", qid)


def test_broken_handshake_goes_on_in_the_clear():
    class Nonsense:
        def wrap_socket(self, c, server_side):
            c.recv(1000)                                             # else it were an answer behind the 220
            c.sendall(b"this is no TLS at all\r\n")
            raise OSError("no TLS")
    mx("127.0.0.33", tls=Nonsense())
    send("x@broken.test", "broken-tls")
    assert mx("127.0.0.33").wait("broken-tls")[3] is False


# ---- later, and never ----

def test_4xx_waits_longer_each_time_then_goes():
    t = []

    def grey(line, nth):
        if line.startswith("RCPT"):
            t.append(time.monotonic())
            return b"451 4.2.0 greylisted\r\n" if len(t) < 4 else None
    mx("127.0.0.34", reply=grey)
    qid = send("x@later.test", "grey")
    r = reason(qid, "greylisted")
    assert r["state"] == "waiting" and r["attempts"] >= 1 and "451 4.2.0 greylisted" in r["reason"] and "127.0.0.34" in r["reason"], r
    mx("127.0.0.34").wait("grey", 20)
    gone(qid)
    pauses = [b - a for a, b in zip(t, t[1:])]
    assert len(pauses) == 3 and pauses[0] > 0.3 and pauses[1] > pauses[0] and pauses[2] > pauses[1], pauses
    assert len([m for m in mx("127.0.0.34").messages if b"grey" in m[2]]) == 1


def test_5xx_is_told_to_the_sender_and_others_go_through():
    qid = send(["good1@denied.test", "bad@denied.test", "good2@denied.test"], "denied-one", options=["ENVID=QQ314"])
    assert mx(DENIED).wait("denied-one")[1] == ["good1@denied.test", "good2@denied.test"]
    whole, rcpts, original = bounce("denied-one")
    assert whole["To"] == "u1@office.example" and whole["From"] and whole["Message-ID"] and whole["Date"]
    assert len(rcpts) == 1
    r = rcpts[0]
    assert r["Final-Recipient"].replace(" ", "") == "rfc822;bad@denied.test", r["Final-Recipient"]
    assert r["Action"] == "failed" and r["Status"] == "5.1.1"
    assert r["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user <bad@denied.test> here", r["Diagnostic-Code"]
    assert "mx.denied.test" in r["Remote-MTA"]
    inner = original.get_payload()[0] if original.get_content_type() == "message/rfc822" else email.message_from_string(original.get_content())
    assert inner["Subject"] == "denied-one" and inner["X-Token"] == "denied-one"
    assert whole.get_payload()[1].get_payload()[0]["Original-Envelope-Id"] == "QQ314"
    assert "bad@denied.test" in next(whole.iter_parts()).get_content()
    gone(qid)


def test_a_list_sends_as_its_owner_who_hears_of_failures():
    qid = send(["staff@office.example", "bad-friend@denied.test"], "by-the-list", options=["ENVID=QQ99"])
    assert mx(GOOD).wait("by-the-list")[0] == "u2@office.example"
    copy = lab.eventually("the local member's copy", lambda: [m for m in world().mail("u1") if b"by-the-list" in m and b"multipart/report" not in m])
    assert copy[0].startswith(b"Return-Path: <u2@office.example>\r\n"), copy[0][:200]
    whole, rcpts, _ = bounce("by-the-list", user="u2")
    assert whole["To"] == "u2@office.example" and len(rcpts) == 1 and "bad-member@denied.test" in rcpts[0]["Final-Recipient"], whole.as_string()
    assert not whole.get_payload()[1].get_payload()[0]["Original-Envelope-Id"], whole.as_string()
    whole, rcpts, _ = bounce("by-the-list", user="u1")
    assert whole["To"] == "u1@office.example" and len(rcpts) == 1 and "bad-friend@denied.test" in rcpts[0]["Final-Recipient"], whole.as_string()
    assert whole.get_payload()[1].get_payload()[0]["Original-Envelope-Id"] == "QQ99"
    gone(qid)


def test_not_telling_the_author_does_not_hide_it_from_the_owner():
    gone(send("staff@office.example", "quiet-author", rcpt_options=["NOTIFY=NEVER"]))
    bounce("quiet-author", user="u2")


def test_without_an_owner_the_author_hears():
    gone(send("unowned@office.example", "no-owner"))
    assert mx(GOOD).wait("no-owner")[0] == "u1@office.example"
    bounce("no-owner", user="u1")


def test_a_notification_to_a_list_stays_without_a_sender():
    gone(send("staff@office.example", "null-to-list", sender=""))
    assert mx(GOOD).wait("null-to-list")[0] == ""
    assert not [m for m in world().mail("u2") if b"null-to-list" in m]


def test_about_a_bounce_only_our_postmaster_hears():
    before = world().mail("u1") + world().mail("postmaster")
    qid = send("bad@denied.test", "from-nobody", sender="")
    gone(qid)
    time.sleep(0.3)
    more = [m for m in world().mail("u1") + world().mail("postmaster") if m not in before]
    assert len(more) == 1 and b"To: <postmaster@office.example>" in more[0] and b"Nobody but you" in more[0], (more, story(qid))
    qid = send(["bad@denied.test", "postmaster@denied.test"], "from-nobody-2", sender="")
    gone(qid)
    lab.eventually("that one too", lambda: [m for m in world().mail("u1") + world().mail("postmaster") if b"from-nobody-2" in m])


def test_late_is_told_and_life_ends_with_a_report():
    qid = send("late@wherever.test", "too-late", sender="u1@branch.example", office=slow_world())
    reason(qid, "too busy today", office=slow_world())
    _, rcpts, _ = bounce("too-late", office=slow_world(), action="delayed")
    assert rcpts[0]["Status"] == "4.7.1" and rcpts[0]["Will-Retry-Until"], rcpts[0].as_string()
    _, rcpts, _ = bounce("too-late", office=slow_world(), seconds=15)
    assert rcpts[0]["Action"] == "failed" and rcpts[0]["Status"] in ("4.4.7", "5.4.7", "4.7.1"), rcpts[0].as_string()
    assert "too busy today" in rcpts[0]["Diagnostic-Code"]
    gone(qid, office=slow_world())


def test_success_is_told_where_it_was_asked_for():
    send("x@ok.test", "told-relayed", rcpt_options=["NOTIFY=SUCCESS"])
    _, rcpts, _ = bounce("told-relayed", action="relayed")
    assert rcpts[0]["Status"].startswith("2."), rcpts[0].as_string()
    mx("127.0.0.39", reply=lambda line, nth: b"250-mx\r\n250 DSN\r\n" if line.startswith("EHLO") else None)
    qid = send("x@dsn.test", "told-by-them", rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;y@dsn.test"], options=["ENVID=E7", "RET=HDRS"])
    mx("127.0.0.39").wait("told-by-them")
    gone(qid)
    heard = b"".join(mx("127.0.0.39").heard)
    assert b"RCPT TO:<x@dsn.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;y@dsn.test\r\n" in heard and b" RET=HDRS ENVID=E7\r\n" in heard, heard
    qid = send("bad@denied.test", "told-never", rcpt_options=["NOTIFY=NEVER"])
    gone(qid)
    time.sleep(0.3)
    assert not [m for m in world().mail("u1") if b"told-by-them" in m or b"told-never" in m]


# ---- connections ----

def test_a_hung_server_holds_up_nobody():
    mx("127.0.0.38", reply=lambda line, nth: time.sleep(60))
    ids = [send("x@hung.test", "hung-%d" % i) for i in range(25)]
    began = time.monotonic()
    send("x@ok.test", "past-the-hung")
    mx(OK).wait("past-the-hung", 3)
    assert "being tried now" in world().posthouse("queue", "list")
    assert 1 <= mx("127.0.0.38").connections <= 10
    for qid in ids:
        world().posthouse("queue", "remove", qid)
    assert time.monotonic() - began < 5 * lab.SLOW
    assert "removed by uid" in story(ids[0]), story(ids[0])


def test_many_messages_and_recipients_share_connections():
    before, n = mx(GOOD).connections, 60
    for i in range(n):
        send("x@aonly.test", "many-%d-" % i)
    for i in range(n):
        mx(GOOD).wait("many-%d-" % i)
    assert mx(GOOD).connections - before < n / 2, mx(GOOD).connections - before
    to = ["user%d@aonly.test" % i for i in range(500)]
    qid = send(to, "many-rcpts")
    gone(qid)
    got = [r for m in mx(GOOD).messages if b"many-rcpts" in m[2] for r in m[1]]
    assert sorted(got) == sorted(to), len(got)


def test_a_connection_that_died_between_messages_costs_no_wait():
    """A server may end a connection after each message, and says so only when it is used again."""
    seen = []

    def moody(line, nth):
        if line.startswith("MAIL"):
            seen.append(nth)
            return b"" if seen.count(nth) > 1 else None
        return None
    server = mx("127.0.0.40", reply=moody)
    send("x@moody.test", "moody-1")
    server.wait("moody-1")
    qid = send("x@moody.test", "moody-2")
    server.wait("moody-2", 5)
    gone(qid)
    assert "deferred" not in story(qid), story(qid)


def soft_servers():
    """The first MX of soft.test cannot take what the address asks it not to take, at that step; the second takes all but "never"."""
    def first(line, nth):
        words = {"MAIL": b"451 4.3.0 no mail\r\n", "RCPT": b"450 4.2.0 no rcpt\r\n", "DATA": b"451 4.3.0 no data\r\n", "HANG": b""}
        if line.startswith("MAIL") and "<mail-" in line:
            return words["MAIL"]
        if line.startswith("RCPT") and "<bad" in line:
            return b"550 5.1.1 never heard of\r\n"
        if line.startswith("RCPT") and ("<rcpt" in line or "<never" in line):
            return words["RCPT"]
        if line.startswith("RCPT") and "<hang" in line:
            return words["HANG"]
        if line.startswith("RCPT") and "<closing" in line:
            return b"421 4.3.2 going down\r\n"
        return words["DATA"] if line == "DATA" and mx(SOFT[0]).heard[-2].startswith(b"RCPT TO:<data") else None

    def at_end(data):
        return b"" if b"X-Token: lost" in data else b"452 4.3.1 no room\r\n" if b"X-Token: dot" in data else None
    mx(SOFT[0], reply=first, end=at_end)
    mx(SOFT[1], reply=lambda line, nth: b"450 4.2.0 nor here\r\n" if line.startswith("RCPT") and "<never" in line else None)
    mx(SOFT[2], reply=lambda line, nth: b"450 4.2.0 nor there\r\n" if line.startswith("RCPT") and "<never" in line else None)


def test_after_4xx_the_next_mx_is_asked_at_once():                   # RFC 5321 section 5.1
    soft_servers()
    for step, sender in (("mail", "mail-u1@office.example"), ("rcpt", None), ("hang", None), ("closing", None), ("data", None), ("dot", None)):
        qid = send("%s@soft.test" % step, step + "-moves", sender=sender or "u1@office.example")
        assert mx(SOFT[1]).wait(step + "-moves")[1] == ["%s@soft.test" % step], step
        gone(qid)
        assert "; the next server is tried" in story(qid) and "deferred" not in story(qid), story(qid)
        assert story(qid).count("status=sent") == 1 and "relay=mx1.soft.test[" in story(qid), story(qid)
    assert not [m for m in mx(SOFT[0]).messages if b"-moves" in m[2]] and not [m for m in mx(SOFT[2]).messages if b"-moves" in m[2]]


def test_only_those_that_were_deferred_move_on():
    soft_servers()
    qid = send(["good@soft.test", "rcpt@soft.test", "bad@soft.test", "rcpt2@soft.test"], "some-move")
    assert mx(SOFT[0]).wait("some-move")[1] == ["good@soft.test"]
    assert mx(SOFT[1]).wait("some-move")[1] == ["rcpt@soft.test", "rcpt2@soft.test"]
    _, rcpts, _ = bounce("some-move")
    assert len(rcpts) == 1 and "bad@soft.test" in rcpts[0]["Final-Recipient"] and "mx0.soft.test" in rcpts[0]["Remote-MTA"], rcpts[0].as_string()
    gone(qid)
    assert story(qid).count("status=sent") == 3 and "deferred" not in story(qid), story(qid)


def test_where_no_mx_takes_it_the_last_word_stands():
    soft_servers()
    qid = send("never@soft.test", "moves-in-vain")
    r = reason(qid, "nor there")
    assert "mx2.soft.test" in r["reason"], r
    world().posthouse("queue", "remove", qid)


def test_where_the_next_mx_is_down_the_first_ones_word_stands():
    mx(LAME[0], reply=lambda line, nth: b"450 4.2.0 come back later\r\n" if line.startswith("RCPT") and "<soft" in line else None)
    qid = send("soft@lame.test", "lame-soft")
    r = reason(qid, "come back later")
    assert "mx0.lame.test" in r["reason"] and re.search(r"connect to mx1\.lame\.test\[127\.0\.0\.20\]:\d+: .*refused", world().log()), r
    send("good@lame.test", "lame-good")                              # and the first is not taken for dead
    mx(LAME[0]).wait("lame-good", 3)
    world().posthouse("queue", "remove", qid)


def test_many_that_move_share_connections():
    soft_servers()
    before, n = mx(SOFT[1]).connections, 60
    ids = [send("rcpt%d@soft.test" % i, "crowd-%d-" % i) for i in range(n)]
    for i in range(n):
        mx(SOFT[1]).wait("crowd-%d-" % i)
    for qid in ids:
        gone(qid)
    assert not [i for i in ids if "deferred" in story(i)]
    assert mx(SOFT[1]).connections - before < n / 2, mx(SOFT[1]).connections - before
    print("note: %d messages moved by %d connections" % (n, mx(SOFT[1]).connections - before))


def test_what_may_be_in_does_not_move():
    soft_servers()
    before = mx(SOFT[1]).connections
    qid = send("x@soft.test", "lost-reply")
    r = reason(qid, "closed the connection")
    assert "during end of DATA" in r["reason"], r
    assert mx(SOFT[1]).connections == before
    world().posthouse("queue", "remove", qid)


def test_the_servers_asked_in_one_attempt_are_bounded():
    for host in BUSY:
        mx(host, reply=lambda line, nth: b"451 4.3.2 busy\r\n" if line.startswith("MAIL") else None)
    qid = send("x@busy.test", "all-busy")
    r = reason(qid, "451 4.3.2 busy")
    assert "mx2.busy.test" in r["reason"], r
    assert story(qid).count("the next server is tried") == 2 * r["attempts"], (r, story(qid))
    assert not mx(BUSY[3]).connections and not mx(BUSY[4]).connections
    world().posthouse("queue", "remove", qid)


def test_421_on_a_used_connection_costs_no_wait():
    """The same in words: 421 instead of a reply to the second MAIL. On a fresh connection it is an answer."""
    seen = []

    def shut(line, nth):
        if line.startswith("MAIL"):
            seen.append(nth)
            if seen.count(nth) > 1 or "<refused" in line:
                return b"421 4.4.2 you had your turn\r\n"
        return None
    server = mx("127.0.0.54", reply=shut)
    send("x@shut.test", "shut-1")
    server.wait("shut-1")
    qid = send("x@shut.test", "shut-2")
    server.wait("shut-2", 5)
    gone(qid)
    assert seen.count(seen[0]) == 2 and len(set(seen)) == 2, seen     # asked there, then on a connection of its own
    assert "deferred" not in story(qid), story(qid)
    qid = send("x@shut.test", "shut-3", sender="refused@office.example")
    reason(qid, "you had your turn")
    world().posthouse("queue", "remove", qid)


def test_a_trickle_is_no_answer():                                   # row 15
    mx("127.0.0.51", reply=lambda line, nth: [b"2", b"2", b"0", b" "] + [b"x"] * 100 if line == "CONNECT" else None)
    mx("127.0.0.52", reply=lambda line, nth: [b"220-wait\r\n"] * 60 if line == "CONNECT" else None)
    a, b = send("x@drip.test", "drip"), send("x@driplines.test", "driplines")
    for qid in (a, b):
        assert "4.4.2" in story(qid) if reason(qid, "time ran out", 5) else False, story(qid)
        world().posthouse("queue", "remove", qid)


def test_required_tls_is_required():
    clear, secret = Mx(port=lab.free_port()), Mx(port=lab.free_port(), tls=certificate())
    strict = lab.Appliance(domain="strict.example", settings={"relayhost": "[127.0.0.1]:%d" % clear.port, "mynetworks": "127.0.0.0/8", "client_tls": "encrypt"})
    sender = "u1@strict.example"
    qid = send("x@a.test", "must-tls", sender=sender, office=strict)
    r = reason(qid, "TLS", office=strict)
    assert not clear.messages and "4.7" in story(qid, strict), (r, story(qid, strict))
    for how, goes in (("encrypt", True), ("verify", False)):
        strict.down()
        with open(strict.conf) as f:
            text = f.read()
        with open(strict.conf, "w") as f:
            f.write(re.sub(r"(?m)^(relayhost\s*=).*$", r"\1 [127.0.0.1]:%d" % secret.port, re.sub(r"(?m)^(client_tls\s*=).*$", r"\1 " + how, text)))
        strict.settings.update({"relayhost": "[127.0.0.1]:%d" % secret.port, "client_tls": how})
        strict.up()
        qid = send("x@a.test", "tls-" + how, sender=sender, office=strict)
        if goes:
            assert secret.wait("tls-" + how)[3] is True
        else:
            assert "certificate" in reason(qid, "TLS", office=strict)["reason"]
            assert not [m for m in secret.messages if b"tls-verify" in m[2]]
    strict.destroy()


# ---- octets ----

def test_octets_on_the_wire_are_one_clean_message():                  # row 2
    body = (b"From: u1@office.example\r\nTo: x@ok.test\r\nSubject: wire-octets\r\n\r\n.\r\n..\r\n.hidden\r\nthe end\r\n.\r\n"
            b"MAIL FROM:<evil@office.example>\r\n" + b"y" * 990 + b"\r\nno line end after this")
    send("x@ok.test", "wire-octets", body=body.decode())
    got = mx(OK).wait("wire-octets")
    data = got[2]
    assert re.search(rb"[^\r]\n|\r[^\n]", data) is None
    assert b"\r\n..\r\n...\r\n..hidden\r\nthe end\r\n..\r\nMAIL FROM:<evil@office.example>\r\n" in data and data.endswith(b"no line end after this\r\n.\r\n")
    assert data.count(b"\r\n.\r\n") == 1
    assert got[0] == "u1@office.example" and not [m for m in mx(OK).messages if m[0].startswith("evil")]


def sendmail(*args, text="", name="sendmail"):
    d = os.path.join(world().dir, "aliasbin")
    os.makedirs(d, exist_ok=True)
    path = os.path.join(d, name)
    if not os.path.islink(path):
        os.symlink(os.path.join(lab.BIN, "posthouse"), path)
    if isinstance(text, str):
        text = text.encode()
    return subprocess.run([path, "-C", world().conf, *args], input=text, capture_output=True, timeout=20 * lab.SLOW)


def test_sendmail_bare_cr_and_lf_do_not_leave():                      # row 2, by the door that takes LF
    r = sendmail("-f", "u1@office.example", "-i", "x@ok.test", text=b"Subject: bare-cr\n\none\rtwo\r.\rthree\n.\nMAIL FROM:<evil@office.example>\n\r.\r\nfour\n")
    if r.returncode == 0:
        data = mx(OK).wait("bare-cr")[2]
        assert re.search(rb"[^\r]\n|\r[^\n]", data) is None, data
        assert data.count(b"\r\n.\r\n") == 1 and b"four" in data, data
    else:
        assert r.returncode == 65 and b"CR" in r.stderr, (r.returncode, r.stderr)
    assert not [m for m in mx(OK).messages if m[0].startswith("evil")]


def client_rss_kb():
    """The largest resident size that the client process has had."""
    for pid in world().pids():
        with open("/proc/%d/status" % pid) as f:
            status = f.read()
        with open("/proc/%d/cmdline" % pid) as f:
            title = f.read()
        if "client" in title or "client" in status.split("\n")[0]:
            return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))
    raise AssertionError("no client process: " + " ".join(open("/proc/%d/cmdline" % p).read() for p in world().pids()))


def test_hostile_replies_defer_and_cost_no_memory():                  # row 15
    before = client_rss_kb()
    ids = {}
    for name, (host, raw) in HOSTILE.items():
        mx(host, reply=lambda line, nth, raw=raw: raw if line.startswith("EHLO") or line.startswith("HELO") else None)
        ids[name] = send("x@%s.test" % name, "hostile-" + name)
    for name, qid in ids.items():
        r = reason(qid, "not understood")
        assert len(r["reason"]) < 600 and r["state"] == "waiting", r
        world().posthouse("queue", "remove", qid)
    grown = client_rss_kb() - before
    assert grown < (4096 if not lab.SANITIZED else 40000), "%d kB" % grown
    assert "hostile-" not in str([m for m in world().mail("u1") if b"hostile-" in m])


def test_large_message_leaves_and_leaves_nothing():
    body = "Subject: large-out\r\n\r\n" + ("." + "z" * 70 + "\r\n") * 40000
    qid = send("x@ok.test", "large-out", body=body)
    data = mx(OK).wait("large-out", 20)[2]
    assert data.count(b"\r\n.." + b"z" * 70) == 40000
    large = os.path.join(world().dir, "state", "spool", "large")
    where = next((os.path.join(d, "large") for d, names, _ in os.walk(world().dir) if "large" in names), None)
    assert where is not None, large
    gone(qid)
    lab.eventually("spool/large is empty", lambda: not os.listdir(where), 15)


# ---- what the admin sees and does ----

def test_queue_commands():
    qid = send("x@refused.test", "by-hand")
    reason(qid, "refused")
    text = world().posthouse("queue", "list")
    assert qid in text and "x@refused.test" in text and "refused" in text and "next try" in text or "being tried" in text, text
    assert "x@refused.test" in world().posthouse("queue", "show", qid)
    assert json.loads(world().posthouse("queue", "show", "--json", qid))[0]["id"] == qid

    world().posthouse("queue", "hold", qid)
    assert entry(qid)["held"] is True
    assert "held" in world().posthouse("queue", "list")
    attempts = entry(qid)["recipients"][0]["attempts"]
    world().posthouse("queue", "flush")
    time.sleep(1.2)
    assert entry(qid)["recipients"][0]["attempts"] == attempts
    mx(REFUSED)                                                      # the server comes up
    world().posthouse("queue", "release", qid)
    lab.eventually("it is there after release", lambda: [m for m in mx(REFUSED).messages if b"by-hand" in m[2]])
    gone(qid)

    r = world().posthouse("queue", "show", qid, check=False)
    assert r.returncode == 65 and qid in r.stderr, (r.returncode, r.stderr)
    assert world().posthouse("queue", "retry", check=False).returncode == 64


def test_retry_flush_and_remove():
    mx("127.0.0.35", reply=lambda line, nth: b"421 4.3.2 asleep\r\n" if line == "CONNECT" and not getattr(mx("127.0.0.35"), "awake", False) else None)
    a, b = send("x@asleep.test", "asleep-a"), send("x@asleep.test", "asleep-b")
    reason(a, "asleep"), reason(b, "asleep")
    assert "421 4.3.2 asleep" in reason(a, "asleep")["reason"]
    world().posthouse("queue", "remove", b)
    assert entry(b) is None
    mx("127.0.0.35").awake = True
    world().posthouse("queue", "retry", a)
    mx("127.0.0.35").wait("asleep-a", 3)
    gone(a)
    assert not [m for m in mx("127.0.0.35").messages if b"asleep-b" in m[2]]
    assert not [m for m in world().mail("u1") if b"asleep-b" in m]
    assert "removed" in story(b), story(b)


def test_mailq_and_sendmail():
    r = sendmail(name="mailq")
    assert r.returncode == 0 and (b"is empty" in r.stdout or b"Q-ID" in r.stdout), r
    r = sendmail("-t", "-f", "u1@office.example", text="From: u1@office.example\nTo: a@ok.test\nCc: b@ok.test\nBcc: c@ok.test\nSubject: sendmail-t\n\nhello\n")
    assert r.returncode == 0, r
    got = mx(OK).wait("sendmail-t")
    assert sorted(got[1]) == ["a@ok.test", "b@ok.test", "c@ok.test"] and b"c@ok.test" not in got[2] and got[0] == "u1@office.example", got
    assert b"\r\nDate: " in got[2] and b"\r\nMessage-ID: " in got[2]
    assert sendmail("-t", text="Subject: nobody\n\n").returncode == 67
    assert sendmail(text="Subject: nobody\n\n").returncode == 64
    assert sendmail("-i", "-f", "u1@office.example", "u2@office.example", text="Subject: sendmail-local\n\n.\nbehind the dot\n").returncode == 0
    assert b"behind the dot" in world().wait_mail("u2", "sendmail-local")[0]
    assert sendmail("-bd").returncode == 64                          # smtpd is the daemon


def test_sendmail_bv_and_bt_say_where_it_leads():
    r = sendmail("-bv", "u1", "staff@office.example", "x@ok.test")
    assert r.returncode == 0, r
    lines = r.stdout.decode().splitlines()
    assert lines[0] == "u1... deliverable: mailer local, user u1@office.example" and lines[-1] == "x@ok.test... deliverable: mailer smtp, host ok.test, user x@ok.test", lines
    assert "staff@office.example... deliverable: mailer smtp, host aonly.test, user near@aonly.test" in lines and len(lines) == 5, lines
    r = sendmail("-bv", "nobody@office.example")
    assert r.returncode == 67 and b"User unknown" in r.stdout, r
    assert sendmail("-bv").returncode == 64
    r = sendmail("-bt", text="3,0 staff@office.example\n/parse u1+x@office.example\n/quit\nnever@office.example\n")
    assert r.returncode == 0 and b"staff: alias (" in r.stdout and b"owner-staff: exists" in r.stdout and b"u1@office.example: mailbox, folder x" in r.stdout and b"never" not in r.stdout, r


def test_sendmail_bs_speaks_smtp():
    for end in "\r\n", "\n":
        token = "by-stdin-%d" % len(end)
        lines = ["EHLO mua.test", "MAIL FROM:<u1@office.example>", "RCPT TO:<x@ok.test>", "RCPT TO:<nobody@office.example>", "RCPT TO:<u2@office.example>", "DATA",
                 "From: u1@office.example", "To: somebody", "Subject: " + token, "", "..a dot", ".", "QUIT", ""]
        r = sendmail("-bs", text=end.join(lines))
        said = r.stdout.decode().split("\r\n")
        assert r.returncode == 0 and said[0].startswith("220 "), r
        codes = [l[:3] for l in said if l[3:4] == " "]
        assert codes == ["220", "250", "250", "250", "550", "250", "354", "250", "221"], said
        assert "AUTH" not in r.stdout.decode() and "STARTTLS" not in r.stdout.decode(), said
        qid = re.search(r"queued as (\w+)", r.stdout.decode()).group(1)
        sender, rcpts, data, _ = mx(OK).wait(token)
        assert sender == "u1@office.example" and rcpts == ["x@ok.test"] and b"\r\n..a dot\r\n" in data and b"\r\nMessage-ID: " in data, data
        assert b"(Posthouse, from uid %d)" % os.getuid() in data, data
        assert b"\r\n.a dot\r\n" in world().wait_mail("u2", token)[0]
        gone(qid)
        assert "status=sent" in story(qid), story(qid)
    r = sendmail("-bs", text="MAIL FROM:<u1@office.example>\r\nRCPT TO:<x@ok.test>\r\nDATA\r\nSubject: cut-short\r\n\r\nno dot")
    assert r.returncode == 0 and not [m for m in mx(OK).messages if b"cut-short" in m[2]], r
    big = "x" * 70 + "\r\n"
    r = sendmail("-bs", text="MAIL FROM:<u1@office.example>\r\nRCPT TO:<u2@office.example>\r\nDATA\r\nSubject: stdin-big\r\n\r\n" + big * 50000 + ".\r\nQUIT\r\n")
    assert b"queued as" in r.stdout, r.stdout
    assert world().wait_mail("u2", "stdin-big")[0].count(b"x" * 70 + b"\r\n") == 50000


def test_trace_tells_the_story():
    tries = []
    mx("127.0.0.36", reply=lambda line, nth: b"450 4.2.1 come again\r\n" if line.startswith("RCPT") and not tries.append(1) and len(tries) < 2 else None)
    qid = send("x@traced.test", "traced")
    mx("127.0.0.36").wait("traced")
    gone(qid)
    for what in (qid, "x@traced.test"):
        text = world().posthouse("trace", what)
        at = [text.find(w) for w in (qid, "taken into the queue: from <u1@office.example>", "could not go yet", "come again", "was handed over", "done")]
        assert -1 not in at and at == sorted(at), (what, text)
    bad = send("bad@denied.test", "traced-bad")
    bounce("traced-bad")
    text = world().posthouse("trace", bad)
    assert "was refused for good" in text and "no such user" in text and "to <u1@office.example> was put into the mailbox" in text, text
    r = world().posthouse("trace", "nobody@nowhere.test", check=False)
    assert r.returncode != 0 and "nobody@nowhere.test" in r.stderr, (r.returncode, r.stdout, r.stderr)


# ---- when things are down ----

def test_deferred_mail_survives_a_restart():
    open_ = []
    night = mx("127.0.0.37", reply=lambda line, nth: b"421 4.3.2 closed for the night\r\n" if line.startswith("MAIL") and not open_ else None)
    qid = send("x@night.test", "over-night")
    before = reason(qid, "closed for the night")
    world().down()
    open_.append(1)
    world().up()
    night.wait("over-night", 15)
    gone(qid)
    assert before["attempts"] >= 1 and len([m for m in night.messages if b"over-night" in m[2]]) == 1


def test_large_message_waits_beside_the_others_over_a_restart():
    open_, octets = [], ("z" * 70 + "\r\n") * 30000
    heavy = mx("127.0.0.53", reply=lambda line, nth: b"452 4.3.1 no room\r\n" if line.startswith("MAIL") and not open_ else None)
    qid = send("x@heavy.test", "heavy", body="Subject: heavy\r\n\r\n" + octets)
    reason(qid, "no room")
    spool = next(d for d, names, _ in os.walk(world().dir) if "large" in names and "deferred" in names)
    lab.eventually("spool/large is empty", lambda: not os.listdir(os.path.join(spool, "large")), 15)
    world().down()
    open_.append(1)
    world().up()
    assert octets.encode() in heavy.wait("heavy", 15)[2]
    gone(qid)
    lab.eventually("nothing is left in the spool", lambda: not [f for d, _, files in os.walk(spool) for f in files if qid in f], 15)


def test_dead_dns_defers_and_says_so():
    world()
    _dns.stop()
    qid = send("x@unasked.test", "dead-dns")
    r = reason(qid, "unasked.test", 30)
    assert "look up" in r["reason"] and "4.4.3" in story(qid), (r, story(qid))
    assert not [m for m in world().mail("u1") if b"dead-dns" in m]
    world().posthouse("queue", "remove", qid)


if __name__ == "__main__":
    lab.main()
