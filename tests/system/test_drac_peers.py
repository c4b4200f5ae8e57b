"""tests/system/test_drac_peers.py - dracd between hosts: certificates on both sides, PULL, and grants that live as long as the session.

Every host is an appliance of its own on loopback; clients are told apart by their addresses in 127/8.
"""
import contextlib, datetime, json, os, re, signal, smtplib, socket, ssl, struct, subprocess, tempfile, threading, time

import lab

LIFETIME = 60
PKI = None


class Pki:
    """An authority, certificates of it and of others, made by openssl(1)."""

    def __init__(self):
        lab.need("openssl")
        self.dir = tempfile.mkdtemp(prefix="ph.pki.", dir="/tmp")
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


def dracd_pids(h):
    with open(os.path.join(h.dir, "run", "dracd.pid")) as f:
        top = int(f.read())
    with open("/proc/%d/task/%d/children" % (top, top)) as f:
        return [int(p) for p in f.read().split()]


def kill_dracd(h, sig=signal.SIGKILL):
    pids = dracd_pids(h)
    for p in pids:
        os.kill(p, sig)
    return pids


def rcpt(h, source, sender="u1@office.example"):
    with smtplib.SMTP("127.0.0.1", h.port["smtp"], "laptop.test", 20 * lab.SLOW, (source, 0)) as s:
        s.ehlo()
        assert s.mail(sender)[0] == 250
        return s.rcpt("x@elsewhere.test")[0]


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
    assert rcpt(b, "127.0.1.1") == 550
    login_pop3(a, "127.0.1.1")
    lab.eventually("B lets it relay", lambda: rcpt(b, "127.0.1.1") == 250, 5)
    assert rcpt(b, "127.0.1.1", "u2@office.example") == 550          # the voucher came along: nobody else
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
    login_pop3(b, "127.0.1.2")                                        # a login after it counts again
    lab.eventually("A has the new login", lambda: has(a, "127.0.1.2"), 5)
    a.posthouse("drac", "revoke", "u1@office.example")
    lab.eventually("all of the user is gone", lambda: not has(b, "127.0.1.2"), 5)


def test_flush_travels():
    a, b = two()
    login_pop3(a, "127.0.1.4")
    login_pop3(b, "127.0.1.5", "u2")
    lab.eventually("each has both", lambda: all(has(h, x) for h in (a, b) for x in ("127.0.1.4", "127.0.1.5")), 5)
    b.posthouse("drac", "flush")
    lab.eventually("nothing is left", lambda: entries(a) == {} and entries(b) == {}, 5)


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
        for p in pids:
            os.kill(p, signal.SIGCONT)
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
        for p in pids:
            os.kill(p, signal.SIGCONT)
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
