"""tests/system/test_drac_peers.py - dracd between hosts: certificates on both sides, PULL, and grants that live as long as the session.

Every host is an appliance of its own on loopback; clients are told apart by their addresses in 127/8.
"""
import atexit, contextlib, json, os, re, shutil, signal, socket, ssl, struct, subprocess, tempfile, threading, time

import drac_lab, lab
from drac_lab import opaque

LIFETIME = 60
PKI = None


class Pki:
    """An authority, certificates of it and of others, made by openssl(1)."""

    def __init__(self):
        lab.need("openssl")
        self.dir = tempfile.mkdtemp(prefix="ph.pki.", dir="/tmp")
        atexit.register(shutil.rmtree, self.dir, True)
        self.ca = self.authority("ca")
        self.other_ca = self.authority("other")

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *args):
        r = subprocess.run(["openssl", *args], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def authority(self, name):
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key"), "-out", self.path(name + ".crt"),
                 "-subj", "/CN=Posthouse test " + name, "-days", "30")
        return self.path(name + ".crt")

    def cert(self, name, ca="ca", days=30, san=None, file=None, ext=""):
        """(certificate, key); days < 0: expired. ca None: signed by itself."""
        file = file or name + "." + str(ca) + str(days)
        key, csr, crt, conf = (self.path(file + e) for e in (".key", ".csr", ".crt", ".ext"))
        with open(conf, "w") as f:
            f.write("subjectAltName=%s\n%s\n" % (san or "DNS:" + name, ext))
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=" + name)
        sign = ["-signkey", key] if ca is None else ["-CA", self.path(ca + ".crt"), "-CAkey", self.path(ca + ".key"), "-CAcreateserial"]
        self.run("x509", "-req", "-in", csr, "-out", crt, "-extfile", conf, "-days", str(days), *sign)
        return crt, key

    def fingerprint(self, crt):
        return "sha256:" + self.run("x509", "-in", crt, "-noout", "-fingerprint", "-sha256").strip().split("=")[1]


def pki():
    global PKI
    if PKI is None:
        PKI = Pki()
    return PKI


def host(name, base, bases, cert=None, **settings):
    """One mail host that pulls from all of `bases`, itself included: the same line everywhere."""
    crt, key = cert or pki().cert(name)
    return lab.Appliance(base=base, settings={
        "myhostname": name, "drac_lifetime": "%ds" % (LIFETIME * lab.SLOW), "accept_unresolvable_domains": "yes", "plaintext_login_from": "127.0.0.0/8",
        "listen_drac_tls": "127.0.0.1:%d" % (base + 902), "drac_peers": " ".join("127.0.0.1:%d" % (b + 902) for b in bases),
        "drac_tls_peers": "mx1.test mx2.test mx3.test", "drac_tls_ca_file": pki().ca, "drac_tls_cert_file": crt, "drac_tls_key_file": key, **settings})


A = B = None


def two():
    global A, B
    if A is None:
        bases = [lab.free_base(), lab.free_base()]
        A, B = host("mx1.test", bases[0], bases), host("mx2.test", bases[1], bases)
        lab.eventually("A has B", lambda: is_up(A, 2))
        lab.eventually("B has A", lambda: is_up(B, 1))
    return A, B


def stats(h):
    return json.loads(h.posthouse("drac", "stats", "--json"))


def peers(h):
    return {p["number"]: p for p in stats(h)["peers"]}


def is_up(h, number):
    with contextlib.suppress(AssertionError, KeyError):
        return peers(h)[number]["state"] == "up"
    return False


def entries(h):
    """address -> its entry, of posthouse drac list"""
    return {e["address"]: dict(e, expires_in=e["expires"] - time.time()) for e in json.loads(h.posthouse("drac", "list", "--json"))}


def has(h, addr, user=None):
    e = entries(h).get(addr)
    return e is not None and (user is None or any(v["user"] == user for v in e["vouchers"]))


def next_second():
    """A login in the very second of another host's revocation is not taken over: which came first is not known."""
    time.sleep(1.05 - time.time() % 1)


def kill_dracd(h, sig=signal.SIGKILL):
    pids = h.processes("dracd")
    lab.send(sig, pids)
    return pids


def login_pop3(h, source, user="u1"):
    with socket.create_connection(("127.0.0.1", h.port["pop3"]), 20, (source, 0)) as s:
        f = s.makefile("rwb")
        assert f.readline().startswith(b"+OK")
        for line in ("USER %s@office.example" % user, "PASS secret", "QUIT"):
            f.write(line.encode() + b"\r\n")
            f.flush()
            reply = f.readline()
            assert reply.startswith(b"+OK"), reply


# ---- what two hosts tell each other ----

def test_grant_on_one_relays_at_the_other():
    a, b = two()
    assert drac_lab.rcpt(b, "127.0.1.1") == 550
    login_pop3(a, "127.0.1.1")
    lab.eventually("B lets it relay", lambda: drac_lab.rcpt(b, "127.0.1.1") == 250, 5)
    assert drac_lab.rcpt(b, "127.0.1.1", "u2@office.example") == 550          # the voucher came along: nobody else
    left_a = entries(a)["127.0.1.1"]["expires_in"]
    left_b = entries(b)["127.0.1.1"]["expires_in"]
    assert abs(left_a - left_b) <= 2, (left_a, left_b)                # the expiry is a time, not "so long from now"


def test_revocation_travels():
    a, b = two()
    login_pop3(a, "127.0.1.2")
    login_pop3(b, "127.0.1.3")
    lab.eventually("each has both", lambda: all(has(h, x) for h in (a, b) for x in ("127.0.1.2", "127.0.1.3")), 5)
    a.posthouse("drac", "revoke", "127.0.1.2")
    b.posthouse("drac", "revoke", "127.0.1.3", "u1@office.example")
    lab.eventually("both are gone everywhere", lambda: not any(has(h, x) for h in (a, b) for x in ("127.0.1.2", "127.0.1.3")), 5)
    next_second()
    login_pop3(b, "127.0.1.2")                                        # a login after it counts again
    lab.eventually("A has the new login", lambda: has(a, "127.0.1.2"), 5)
    a.posthouse("drac", "revoke", "u1@office.example")
    lab.eventually("all of the user is gone", lambda: not has(b, "127.0.1.2"), 5)


def test_revoke_takes_one_of_each():
    a = two()[0]
    for words in (("u1@x", "u2@x"), ("192.0.2.1", "192.0.2.2")):
        r = a.posthouse("drac", "revoke", *words, check=False)
        assert r.returncode == 64 and "one of each" in r.stderr, (r.returncode, r.stdout, r.stderr)


def test_json_keeps_letters():
    a = two()[0]
    a.posthouse("drac", "grant", "192.0.2.77", 'jos\u00e9"\\@office.example')
    assert entries(a)["192.0.2.77"]["vouchers"][0]["user"] == 'jos\u00e9"\\@office.example'
    a.posthouse("drac", "revoke", "192.0.2.77")


def test_flush_travels():
    a, b = two()
    login_pop3(a, "127.0.1.4")
    login_pop3(b, "127.0.1.5", "u2")
    lab.eventually("each has both", lambda: all(has(h, x) for h in (a, b) for x in ("127.0.1.4", "127.0.1.5")), 5)
    b.posthouse("drac", "flush")
    lab.eventually("nothing is left", lambda: entries(a) == {} and entries(b) == {}, 5)
    next_second()


def test_same_user_twice_is_one_voucher_and_the_later_end_counts():
    a, b = two()
    a.posthouse("drac", "grant", "--for", "20s", "127.0.1.6", "u1@office.example")
    lab.eventually("B has it", lambda: has(b, "127.0.1.6"), 5)
    b.posthouse("drac", "grant", "--for", "50s", "127.0.1.6", "u1@office.example")
    lab.eventually("A has the later end", lambda: entries(a)["127.0.1.6"]["expires_in"] > 40, 5)
    assert len(entries(a)["127.0.1.6"]["vouchers"]) == 1


def test_nothing_goes_in_circles():
    a, b = two()
    login_pop3(a, "127.0.1.7")
    lab.eventually("B has it", lambda: has(b, "127.0.1.7"), 5)
    before = stats(a)["serial"], stats(b)["serial"]
    time.sleep(1.5)
    assert (stats(a)["serial"], stats(b)["serial"]) == before
    assert peers(a)[1]["state"] == "self" and peers(b)[2]["state"] == "self"


def test_stats_show_peers_and_lag():
    a, b = two()
    p = peers(a)[2]
    assert p["peer"].endswith(":%d" % (b.base + 902)) and p["state"] == "up" and p["lag"] == 0 and p["clock"] == 0, p
    text = a.posthouse("drac", "stats")
    assert re.search(r"127\.0\.0\.1:%d\s+up" % (b.base + 902), text), text


# ---- a peer that is killed, stopped, away ----

def test_kill_9_of_each_and_what_was_missed():
    a, b = two()
    login_pop3(a, "127.0.2.1")
    lab.eventually("B has it", lambda: has(b, "127.0.2.1"), 5)
    kill_dracd(a)                                                     # a new epoch: B reads A's whole table
    lab.eventually("A grants again", lambda: a.posthouse("drac", "grant", "127.0.2.2", "u1@office.example", check=False).returncode == 0, 10)
    lab.eventually("B caught up with A's new life", lambda: has(b, "127.0.2.2") and has(b, "127.0.2.1"), 20)
    kill_dracd(b)                                                     # B has lost its position
    login_pop3(a, "127.0.2.3")
    lab.eventually("B is back with its journal and A's news", lambda: b.posthouse("drac", "list", check=False).returncode == 0
                   and all(has(b, "127.0.2.%d" % i) for i in (1, 2, 3)), 20)
    lab.eventually("both are up again", lambda: is_up(a, 2) and is_up(b, 1), 20)


def test_stopped_peer_delays_nobody_and_is_one_line():
    a, b = two()
    lab.eventually("both are up", lambda: is_up(a, 2) and is_up(b, 1), 20)
    before = b.log().count("peer 127.0.0.1:%d" % (a.base + 902))
    pids = kill_dracd(a, signal.SIGSTOP)
    try:
        began, n = time.monotonic(), 0
        while time.monotonic() - began < 24:                          # long enough for B to notice (PULL held back 10 s, 10 s of grace)
            t = time.monotonic()
            b.posthouse("drac", "grant", "127.0.2.9", "u1@office.example")
            assert time.monotonic() - t < 1 * lab.SLOW
            n += 1
            time.sleep(0.5)
        lab.eventually("B sees that A is away", lambda: peers(b)[1]["state"] != "up" and peers(b)[1]["lag"] > 0, 10)
        lines = b.log().count("peer 127.0.0.1:%d" % (a.base + 902)) - before
        assert lines == 1, b.log()[-3000:]
    finally:
        lab.send(signal.SIGCONT, pids)
    lab.eventually("and that it is there again", lambda: is_up(b, 1) and is_up(a, 2), 70)
    lab.eventually("A heard of what it slept through", lambda: has(a, "127.0.2.9"), 10)
    assert b.log().count("peer 127.0.0.1:%d" % (a.base + 902)) - before <= 3


def test_revoked_while_the_other_was_away():
    """The revocation is told later; a login after it, on the host that was away, is not cut."""
    a, b = two()
    login_pop3(a, "127.0.3.1")
    login_pop3(b, "127.0.3.1", "u2")
    lab.eventually("each has both users", lambda: all(has(h, "127.0.3.1", u + "@office.example") for h in (a, b) for u in ("u1", "u2")), 10)
    pids = kill_dracd(a, signal.SIGSTOP)
    try:
        b.posthouse("drac", "revoke", "127.0.3.1", "u1@office.example")
    finally:
        lab.send(signal.SIGCONT, pids)
    lab.eventually("A ends it", lambda: not has(a, "127.0.3.1", "u1@office.example"), 30)
    time.sleep(1)
    assert not has(b, "127.0.3.1", "u1@office.example") and has(b, "127.0.3.1", "u2@office.example")


# ---- certificates ----

def tls_call(h, cert=None, ca=None, name="mx1.test"):
    """A NULL call over the TLS door with that certificate; the reply, or the exception."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.load_verify_locations(ca or pki().ca)
    if cert:
        ctx.load_cert_chain(*cert)
    call = struct.pack(">10I", 7, 0, 2, 900101, 3, 8, 0, 0, 0, 0) + struct.pack(">QQII", 0, 0, 64, 0)
    try:
        with socket.create_connection(("127.0.0.1", h.base + 902), 10 * lab.SLOW) as raw, ctx.wrap_socket(raw, server_hostname=name) as s:
            s.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
            return s.recv(4096) or EOFError()
    except OSError as e:
        return e


def refused_with(h, what, words, **kw):
    seen = len(h.log())
    r = tls_call(h, **kw)
    assert not isinstance(r, bytes), (what, r)
    lab.eventually("a log line for " + what, lambda: all(w in h.log()[seen:] for w in ("refused caller=127.0.0.1",) + words), 5)


def test_only_listed_certificates_in_date_may_pull():
    a, _ = two()
    p = pki()
    good = tls_call(a, p.cert("mx2.test"))
    assert isinstance(good, bytes) and good[4:12] == struct.pack(">II", 7, 1), good
    refused_with(a, "no certificate", ("did not return a certificate",))
    refused_with(a, "an expired one", ("expired", "mx2.test", "drac_tls_ca_file"), cert=p.cert("mx2.test", days=-1))
    refused_with(a, "one of another authority", ("mx2.test", "authority in the CA file"), cert=p.cert("mx2.test", ca="other"))
    refused_with(a, "one by itself", ("mx2.test",), cert=p.cert("mx2.test", ca=None))
    refused_with(a, "a stranger of our authority", ("none of its names is listed", "intruder.test"), cert=p.cert("intruder.test"))
    refused_with(a, "one for servers only", ("clientAuth",), cert=p.cert("mx2.test", file="serveronly", ext="extendedKeyUsage=serverAuth"))


def test_the_server_is_looked_at_too():
    """A host that is not one of ours, at the address of a peer: we tell it nothing and say why."""
    p = pki()
    base = lab.free_base()
    crt, key = p.cert("intruder.test")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(crt, key)
    with socket.create_server(("127.0.0.1", 0)) as srv:
        def serve():
            while True:
                with contextlib.suppress(OSError, ssl.SSLError):
                    c, _ = srv.accept()
                    with ctx.wrap_socket(c, server_side=True) as s:
                        got.append(s.recv(100))
        got = []
        threading.Thread(target=serve, daemon=True).start()
        h = host("mx1.test", base, [], drac_peers="127.0.0.1:%d" % srv.getsockname()[1])
        lab.eventually("the log says why", lambda: "none of its names is listed" in h.log() and "intruder.test" in h.log(), 10)
        assert h.log().count("can't be reached") == 1
        assert b"".join(got) == b""
        h.destroy()


def test_fingerprints_without_an_authority():
    p = pki()
    bases = [lab.free_base(), lab.free_base()]
    certs = [p.cert("f%d.test" % i, ca=None) for i in (1, 2)]
    listed = " ".join(p.fingerprint(c) for c, _ in certs)
    hosts = [host("f%d.test" % (i + 1), bases[i], bases, certs[i], drac_tls_ca_file="", drac_tls_peers=listed) for i in (0, 1)]
    login_pop3(hosts[0], "127.0.4.1")
    lab.eventually("the grant came over", lambda: has(hosts[1], "127.0.4.1"), 20)
    assert not isinstance(tls_call(hosts[0], p.cert("f3.test", ca=None), ca=certs[0][0], name="f1.test"), bytes)
    for h in hosts:
        h.destroy()


def test_check_complains_about_half_set_tls():
    a, _ = two()
    def check(*o):
        args = [x for pair in o for x in ("-o", pair)]
        r = subprocess.run([os.path.join(lab.BIN, "posthouse"), "-C", a.conf, *args, "check"], capture_output=True, text=True)
        t = subprocess.run([os.path.join(lab.BIN, "dracd"), "-T", "-C", a.conf, *args], capture_output=True, text=True)
        assert (r.returncode == 0) == (t.returncode == 0), (r, t)
        return r.returncode, r.stdout + r.stderr
    assert check()[0] == 0
    for o, words in ((("drac_tls_cert_file=",), "drac_tls_cert_file"),
                     (("drac_tls_ca_file=",), "names of peers count only with the certificate of the authority"),
                     (("drac_tls_ca_file=/nonexistent",), "/nonexistent"),
                     (("drac_peers=", "drac_tls_peers="), "nobody could connect"),
                     (("drac_peers=mx2.test",), "HOST:PORT"),
                     (("drac_tls_peers=sha256:12",), "fingerprint"),
                     (("drac_tls_key_file=" + pki().path("ca.key"),), "key values mismatch")):
        status, text = check(*o)
        assert status != 0 and words in text, (o, text)
    status, text = check("drac_peers=", "listen_drac_tls=")
    assert status == 0 and "without effect" in text, text
    status, text = check("listen_drac_tls=")
    assert status == 0 and "they do not hear of ours" in text, text


# ---- a peer that is not what it should be ----

def who(user, flags=0):
    return opaque(user.encode()) + opaque(b"imap") + opaque(b"fake.test") + opaque(b"s1") + struct.pack(">I", flags)


def event(serial, kind, addr, user, expires, login=None):
    return struct.pack(">QI", serial, kind) + opaque(socket.inet_aton(addr) if addr else b"") + who(user, ((expires - login) << 8) if login else 0) + struct.pack(">Q", expires)


def pulled(epoch, last, events, snapshot=False):
    return struct.pack(">IQQII", 0, epoch, last, snapshot, len(events)) + b"".join(events)


def listed(entries):
    return struct.pack(">II", 0, len(entries)) + b"".join(entries) + opaque(b"") + struct.pack(">I", 1)


def entry(addr, user, login, expires):
    return opaque(socket.inet_aton(addr)) + struct.pack(">QQII", login, expires, 0, 1) + who(user) + struct.pack(">QQ", login, expires)


class FakePeer:
    """A dracd in Python with a good certificate. answer(proc, args) gives the result's octets, b"" for silence, or the whole record if it is a tuple."""

    def __init__(self, answer, clock=0):
        self.answer, self.clock, self.calls, self.connections = answer, clock, [], 0
        crt, key = pki().cert("mx3.test")
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(crt, key)
        self.ctx.load_verify_locations(pki().ca)
        self.ctx.verify_mode = ssl.CERT_REQUIRED
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            c, _ = self.sock.accept()
            self.connections += 1
            threading.Thread(target=self.talk, args=(c,), daemon=True).start()

    def talk(self, c):
        with contextlib.suppress(OSError, struct.error), self.ctx.wrap_socket(c, server_side=True) as s:
            f = s.makefile("rwb")
            while True:
                mark = struct.unpack(">I", f.read(4))[0]
                call = f.read(mark & 0x7fffffff)
                proc = struct.unpack(">I", call[20:24])[0]
                self.calls.append((time.monotonic(), proc))
                result = self.answer(proc, call[40:])
                if result is None:
                    result = struct.pack(">I", 1) + opaque(b"clock") + struct.pack(">Q", int(time.time()) + self.clock) if proc == 7 else b""
                if isinstance(result, tuple):
                    f.write(result[0])
                elif result:
                    reply = call[:4] + struct.pack(">5I", 1, 0, 0, 0, 0) + result
                    f.write(struct.pack(">I", 0x80000000 | len(reply)) + reply)
                f.flush()


def with_fake(answer, clock=0, **settings):
    fake = FakePeer(answer, clock)
    base = lab.free_base()
    return fake, host("mx1.test", base, [], drac_peers="127.0.0.1:%d" % fake.port, **settings)


def local_answers_are_quick(h, seconds):
    """The slowest of many grants over the local socket, the time of a process start included."""
    end, worst = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        t = time.monotonic()
        h.posthouse("drac", "grant", "127.0.9.9", "u1@office.example")
        worst = max(worst, time.monotonic() - t)
    return worst


def test_rubbish_hurts_nobody():
    """Each kind of rubbish is told once, the peer is tried again with growing pauses, and we go on."""
    kinds = [lambda p, a: (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
             lambda p, a: (struct.pack(">I", 0x80000010) + os.urandom(16),),
             lambda p, a: (struct.pack(">I", 0xffffffff) + b"x" * 100,),
             lambda p, a: None if p == 7 else os.urandom(64),
             lambda p, a: None if p == 7 else struct.pack(">IQQII", 0, 5, 9, 0, 65),
             lambda p, a: None if p == 7 else pulled(5, 0, [], True) if p == 8 else struct.pack(">II", 0, 0) + opaque(b"more") + struct.pack(">I", 0)]
    fakes = [FakePeer(k) for k in kinds]
    h = host("mx1.test", lab.free_base(), [], drac_peers=" ".join("127.0.0.1:%d" % f.port for f in fakes))
    lab.eventually("each was tried three times", lambda: all(f.connections >= 3 for f in fakes), 20)
    worst = local_answers_are_quick(h, 1)
    assert worst < 1 * lab.SLOW, worst
    for f in fakes:
        assert f.connections <= 5, "pauses grow: 1, 2, 4 s"
        lines = [l for l in h.log().split("\n") if "peer 127.0.0.1:%d" % f.port in l]
        assert len(lines) == 1 and ("makes no sense" in lines[0] or "can't answer a PULL" in lines[0]), lines
    assert {p["state"] for p in stats(h)["peers"]} <= {"away", "connecting"}
    h.destroy()


def test_a_flood_of_events_is_taken_in_turns():
    """A peer that always has news, as fast as we ask: it is heard 200 times a second, and our own callers do not notice."""
    def answer(proc, args):
        if proc == 7:
            return None
        epoch, after = struct.unpack(">QQ", args[:16])
        if proc == 5:
            return listed([])
        if epoch != 5:
            return pulled(5, 0, [], True)
        now = int(time.time())
        events = [event(after + 1 + i, 0, "10.%d.%d.%d" % ((after + i) >> 16 & 255, (after + i) >> 8 & 255, (after + i) & 255), "u%d@office.example" % (after + i),
                        now + 50, now) for i in range(64)]
        return pulled(5, after + 64, events)
    fake, h = with_fake(answer)
    lab.eventually("it is heard", lambda: stats(h)["peers"][0]["events"] > 1000, 20)
    began, n = time.monotonic(), len(fake.calls)
    worst = local_answers_are_quick(h, 3)
    rate = (len(fake.calls) - n) / (time.monotonic() - began)
    assert worst < 1 * lab.SLOW and rate < 260, (worst, rate)
    h.destroy()


def test_a_hung_peer_is_left_and_tried_again():
    fake, h = with_fake(lambda proc, args: b"")                       # takes calls, answers nothing
    worst = local_answers_are_quick(h, 2)
    assert worst < 1 * lab.SLOW, worst
    lab.eventually("it is left", lambda: "gave no answer within 10 s" in h.log(), 15)
    lab.eventually("and tried again", lambda: fake.connections >= 2, 5)
    h.destroy()


def test_times_of_a_peer_whose_clock_differs():
    """Its clock is 1,000 s ahead, so are its expiries; what we take over ends by our clock, and a revocation of its ends no later login."""
    def answer(proc, args):
        now = int(time.time()) + 1000
        if proc == 5:
            return listed([entry("127.0.11.2", "u1@office.example", now - 10, now + 30)])
        if proc == 8:
            epoch, after = struct.unpack(">QQ", args[:16])
            if epoch != 5:
                return pulled(5, 0, [], True)
            if after == 0:
                return pulled(5, 2, [event(1, 0, "127.0.11.1", "u1@office.example", now + 40, now - 5), event(2, 1, "127.0.11.3", "", now - 30)])
            time.sleep(5)
            return pulled(5, after, [])
        return None
    fake, h = with_fake(answer, clock=1000)
    lab.eventually("both are here", lambda: has(h, "127.0.11.1") and has(h, "127.0.11.2"), 20)
    assert 32 < entries(h)["127.0.11.1"]["expires_in"] < 41 and 22 < entries(h)["127.0.11.2"]["expires_in"] < 31, entries(h)
    assert abs(peers(h)[1]["clock"] - 1000) <= 1 and "differs from ours by 1000 s" in h.log() or "differs from ours by 999 s" in h.log()
    h.destroy()


def test_events_that_are_gone_mean_the_whole_table():
    """More than the 8,192 events that a dracd keeps, while the other was away: what it missed arrives, what ended meanwhile ends there too."""
    a, b = two()
    lab.eventually("both are up", lambda: is_up(a, 2) and is_up(b, 1), 60)
    login_pop3(a, "127.0.12.1")
    lab.eventually("B has it", lambda: has(b, "127.0.12.1"), 5)
    pids = kill_dracd(b, signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(a.dir, "run", "dracd.sock"))
            f = s.makefile("rwb")
            def call(proc, *args):
                for a in args:
                    body = struct.pack(">10I", 7, 0, 2, 900101, 3, proc, 0, 0, 0, 0) + a
                    f.write(struct.pack(">I", 0x80000000 | len(body)) + body)
                f.flush()
                for _ in args:
                    f.read(struct.unpack(">I", f.read(4))[0] & 0x7fffffff)
            call(3, opaque(socket.inet_aton("127.0.12.1")) + opaque(b""))
            for i in range(0, 9000, 100):
                call(1, *[opaque(struct.pack(">I", 0x0b000000 + n)) + who("n%d@office.example" % n) + struct.pack(">I", 0) for n in range(i, i + 100)])
    finally:
        lab.send(signal.SIGCONT, pids)
    lab.eventually("B has the whole table", lambda: stats(b)["entries"] >= 9000 and is_up(b, 1), 60)
    assert has(b, "11.0.35.39") and not has(b, "127.0.12.1")
    assert "told its whole table: addresses=90" in b.log()


# ---- three hosts, by name ----

def test_three_hosts_by_name():
    bases = [lab.free_base() for _ in range(3)]
    dns = lab.Dns(["host-record=mx%d.test,127.0.0.1" % i for i in (1, 2, 3)])
    line = " ".join("mx%d.test:%d" % (i + 1, b + 902) for i, b in enumerate(bases))
    hs = [host("mx%d.test" % (i + 1), b, [], drac_peers=line, drac_tls_peers="", dns_server=dns.setting) for i, b in enumerate(bases)]
    for i, h in enumerate(hs):
        lab.eventually("host %d has the others" % i, lambda: all(is_up(h, n) for n in (1, 2, 3) if n != i + 1), 30)
    for i, h in enumerate(hs):
        login_pop3(h, "127.0.5.%d" % (i + 1))
    lab.eventually("everybody has everything", lambda: all(has(h, "127.0.5.%d" % i) for h in hs for i in (1, 2, 3)), 10)
    kill_dracd(hs[2])
    hs[0].posthouse("drac", "revoke", "127.0.5.2")
    lab.eventually("the revocation is everywhere", lambda: hs[2].posthouse("drac", "list", check=False).returncode == 0
                   and not any(has(h, "127.0.5.2") for h in hs), 30)
    assert all(has(h, "127.0.5.1") for h in hs)
    for h in hs:
        h.destroy()
    dns.stop()


if __name__ == "__main__":
    lab.main()
