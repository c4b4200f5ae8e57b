"""tests/system/test_scram.py - SCRAM-SHA-256-PLUS over real TLS: it works with a real client, and a man in the middle is seen.

gsasl (libgsasl and GnuTLS) is the mail program; where it can't go (TLS from the first octet, other bindings) the SCRAM client below speaks over OpenSSL's
s_client, which tells the keying material of tls-exporter, or over Python's ssl, which tells tls-unique.
"""
import atexit, base64, contextlib, hashlib, hmac, os, re, select, shutil, socket, ssl, subprocess, tempfile, threading

import lab

office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=3, settings={"auth_failure_delay": "0"})
    return office


def failures():
    return re.findall(r"authentication failed: (.*), sasl_username=", box().log())


# ---- a SCRAM client (RFC 5802, RFC 7677) ----

def b64(octets):
    return base64.b64encode(octets).decode()


class Scram:
    """plus: (type, octets) of the channel binding; flag: "n" or "y" where there is none."""

    def __init__(self, user, password, plus=None, flag="n"):
        self.gs2 = "p=%s,," % plus[0] if plus else flag + ",,"
        self.binding = plus[1] if plus else b""
        self.password = password
        self.bare = "n=%s,r=%s" % (user, b64(os.urandom(12)))

    def first(self):
        return (self.gs2 + self.bare).encode()

    def final(self, challenge):
        f = dict(p.split("=", 1) for p in challenge.decode().split(","))
        assert f["r"].startswith(self.bare.split("r=")[1])
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(f["s"]), int(f["i"]))
        bare = "c=%s,r=%s" % (b64(self.gs2.encode() + self.binding), f["r"])
        text = ",".join((self.bare, challenge.decode(), bare)).encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), text, "sha256")))
        self.signature = b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), text, "sha256"))
        return ("%s,p=%s" % (bare, b64(proof))).encode()


def auth(f, scram, mechanism):
    """AUTH over the open stream f, after EHLO; the reply. Where the server says yes, it has proved itself too."""
    def ask(line):
        f.write(line + b"\r\n")
        f.flush()
        return f.readline().decode().rstrip()
    reply = ask(("AUTH %s %s" % (mechanism, b64(scram.first()))).encode())
    if not reply.startswith("334 "):
        return reply
    reply = ask(b64(scram.final(base64.b64decode(reply[4:]))).encode())
    if not reply.startswith("334 "):
        return reply
    assert base64.b64decode(reply[4:]).decode() == "v=" + scram.signature, reply
    return ask(b"")


def ehlo(f):
    f.write(b"EHLO client.test\r\n")
    f.flush()
    lines = []
    while not lines or lines[-1][3:4] == b"-":
        lines.append(f.readline())
        assert lines[-1], lines
    return b"".join(lines).decode()


@contextlib.contextmanager
def python_tls(version, door="submissions", port=None):
    """A stream on 465 or, by STARTTLS, on 587, and its TLS socket."""
    c = box().tls_any()
    c.minimum_version = c.maximum_version = version
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port or box().port[door]), 20 * lab.SLOW) as raw:
        if door == "submission":
            f = raw.makefile("rwb")
            f.readline()
            ehlo(f)
            f.write(b"STARTTLS\r\n")
            f.flush()
            assert f.readline().startswith(b"220")
        s = c.wrap_socket(raw)
        f = s.makefile("rwb")
        if door == "submissions":
            assert f.readline().startswith(b"220")
        yield f, s


@contextlib.contextmanager
def s_client(*args):
    """A stream over openssl s_client, and tls-exporter's octets."""
    p = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % box().port["submissions"], "-CAfile", box().ca, "-tls1_3", "-nocommands", "-ign_eof",
                          "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    class Stream:
        """What the server says, without what s_client tells of its own (tickets come when they like)."""
        write, flush = p.stdin.write, p.stdin.flush

        @staticmethod
        def readline():
            while (line := p.stdout.readline()) and not re.match(rb"\d{3}[ -]", line):
                pass
            return line
    while (line := p.stdout.readline()) and b"Keying material: " not in line:
        pass
    key = bytes.fromhex(line.decode().split(": ")[1])
    try:
        assert Stream.readline().startswith(b"220")
        yield Stream, key
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def end_point(s):
    return hashlib.sha256(s.getpeercert(True)).digest()      # our certificate is signed with SHA-256


# ---- with gsasl ----

def gsasl(protocol, port, mechanism, ca=None, password="secret", user="u1@office.example", priority="NORMAL"):
    lab.need("gsasl")
    return subprocess.run(["gsasl", "--" + protocol, "--connect", "localhost:%d" % port, "--x509-ca-file=" + (ca or box().ca), "--priority", priority,
                           "-m", mechanism, "-a", user, "-p", password, "--verbose"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * lab.SLOW)


def test_gsasl_by_tls_exporter_and_tls_unique():
    box()
    for protocol, door in (("smtp", "submission"), ("imap", "imap")):
        for priority, version, kind in (("NORMAL", "TLS1.3", "tls-exporter"), ("NORMAL:-VERS-TLS1.3", "TLS1.2", "tls-unique")):
            r = gsasl(protocol, box().port[door], "SCRAM-SHA-256-PLUS", priority=priority)
            out = r.stdout + r.stderr
            assert r.returncode == 0 and "server trusted" in out and "(%s)" % version in out, (protocol, version, out)
            assert base64.b64encode(("p=" + kind).encode())[:16].decode() in out, (kind, out)
    assert re.search(r"imapd\[\d+\]: login: user=<u1@office.example>, method=SCRAM-SHA-256-PLUS, ", box().log())


def test_gsasl_wrong_password():
    box()
    r = gsasl("smtp", box().port["submission"], "SCRAM-SHA-256-PLUS", password="guess")
    assert r.returncode != 0 and "535 5.7.8" in r.stdout + r.stderr, r.stdout + r.stderr


# ---- all bindings, on both ports ----

def test_every_binding_on_587_and_465():
    with s_client() as (f, key):
        assert "SCRAM-SHA-256-PLUS" in ehlo(f)
        assert auth(f, Scram("u1", "secret", ("tls-exporter", key)), "SCRAM-SHA-256-PLUS") == "235 2.7.0 Welcome"
    for door in ("submissions", "submission"):
        with python_tls(ssl.TLSVersion.TLSv1_2, door) as (f, s):
            ehlo(f)
            assert auth(f, Scram("u1", "secret", ("tls-unique", s.get_channel_binding())), "SCRAM-SHA-256-PLUS") == "235 2.7.0 Welcome"
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with python_tls(version, door) as (f, s):
                ehlo(f)
                assert auth(f, Scram("u1", "secret", ("tls-server-end-point", end_point(s))), "SCRAM-SHA-256-PLUS") == "235 2.7.0 Welcome"
        with python_tls(ssl.TLSVersion.TLSv1_3, door) as (f, s):
            ehlo(f)
            assert auth(f, Scram("u1", "secret"), "SCRAM-SHA-256") == "235 2.7.0 Welcome"


def test_wrong_bindings_are_refused():
    with s_client() as (f, key):
        ehlo(f)
        for scram, mechanism in ((Scram("u1", "secret", ("tls-exporter", key[::-1])), "SCRAM-SHA-256-PLUS"), (Scram("u1", "secret", ("tls-unique", key)), "SCRAM-SHA-256-PLUS")):
            assert auth(f, scram, mechanism).startswith("535 5.7.8"), (scram.gs2, mechanism)
    with python_tls(ssl.TLSVersion.TLSv1_3) as (f, s):
        ehlo(f)
        assert auth(f, Scram("u1", "secret"), "SCRAM-SHA-256-PLUS").startswith("535"), "no binding under -PLUS"
        assert auth(f, Scram("u1", "secret", ("tls-server-end-point", end_point(s))), "SCRAM-SHA-256").startswith("535"), "a binding without -PLUS"
    with box().smtp("submission") as s:                      # no TLS: no -PLUS
        assert s.docmd("AUTH SCRAM-SHA-256-PLUS")[0] == 503
        s.ehlo()
        assert s.docmd("AUTH SCRAM-SHA-256-PLUS")[0] == 538


# ---- the man in the middle ----

class Middle:
    """Ends TLS of clients with a certificate of his own, and goes on to the real 587. strip: mechanisms that he takes out of the list."""

    def __init__(self, strip=b""):
        self.strip, self.said = strip, b""
        self.dir = tempfile.mkdtemp(prefix="ph-middle.", dir="/tmp")
        atexit.register(shutil.rmtree, self.dir, True)
        self.cert, key = os.path.join(self.dir, "cert.pem"), os.path.join(self.dir, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", self.cert], check=True, capture_output=True)
        self.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_side.load_cert_chain(self.cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client = self.listener.accept()[0]
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", box().port["submission"]))
            near, far = client.makefile("rwb", buffering=0), server.makefile("rwb", buffering=0)

            def pass_reply():
                line = b"-" * 4
                while line[3:4] == b"-":
                    line = far.readline()
                    near.write(line)
            pass_reply()
            while True:
                line = near.readline()
                far.write(line)
                pass_reply()
                if line.upper().startswith(b"STARTTLS"):
                    break
            far_tls, near_tls = box().tls_any().wrap_socket(server), self.server_side.wrap_socket(client, server_side=True)
            self.pump(near_tls, far_tls)
            client.close(), server.close()

    def pump(self, near, far):
        """Both ways in one thread: a TLS session may not be read and written by two."""
        for s in (near, far):
            s.setblocking(False)
        while True:
            if not near.pending() and not far.pending():
                select.select([near, far], [], [])
            for source, sink in ((near, far), (far, near)):
                with contextlib.suppress(ssl.SSLWantReadError):
                    octets = source.recv(65536)
                    if not octets:
                        near.close(), far.close()
                        return
                    self.said += octets
                    sink.sendall(octets.replace(self.strip, b"") if self.strip and source is far else octets)


def test_a_man_in_the_middle_is_seen():
    """He has a certificate that the client believes. PLAIN walks into it; SCRAM-SHA-256-PLUS does not."""
    middle = Middle()
    r = gsasl("smtp", middle.port, "PLAIN", ca=middle.cert)
    assert r.returncode == 0 and base64.b64encode(b"\0u1@office.example\0secret") in middle.said, "he is no man in the middle: " + r.stdout + r.stderr
    for priority in ("NORMAL", "NORMAL:-VERS-TLS1.3"):
        r = gsasl("smtp", middle.port, "SCRAM-SHA-256-PLUS", ca=middle.cert, priority=priority)
        out = r.stdout + r.stderr
        assert r.returncode != 0 and "535 5.7.8" in out and "235" not in out, out
    with python_tls(ssl.TLSVersion.TLSv1_3, "submission", port=middle.port) as (f, s):
        ehlo(f)
        assert auth(f, Scram("u1", "secret", ("tls-server-end-point", end_point(s))), "SCRAM-SHA-256-PLUS").startswith("535")
    assert "wrong password or channel binding" in failures(), failures()


def test_a_man_who_hides_plus_is_seen():
    """A client that can bind but sees no -PLUS says so ("y"); the server, which offered it, knows then."""
    middle = Middle(strip=b"SCRAM-SHA-256-PLUS ")
    with python_tls(ssl.TLSVersion.TLSv1_3, "submission", port=middle.port) as (f, _):
        assert "PLUS" not in ehlo(f)
        assert auth(f, Scram("u1", "secret", flag="y"), "SCRAM-SHA-256").startswith("535")
    assert [x for x in failures() if "someone is between us" in x], failures()


if __name__ == "__main__":
    lab.main()
