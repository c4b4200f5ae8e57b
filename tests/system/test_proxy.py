"""tests/system/test_proxy.py - connections that a proxy hands on with a PROXY header: the client counts, the proxy does not.

127.0.0.9 is the proxy; the clients it names live anywhere. All three daemons, both versions of the header.
"""
import contextlib, socket, struct, time

import lab

PROXY, STRANGER = "127.0.0.9", "127.0.0.10"
office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=2, settings={"proxy_protocol_from": PROXY, "plaintext_login_from": "127.0.0.0/8 192.0.2.0/24 2001:db8::/32",
                                                  "auth_failure_delay": "0"})
    return office


def v1(client):
    return ("PROXY TCP%d %s %s 40000 25\r\n" % ((6, client, "2001:db8::1") if ":" in client else (4, client, "198.51.100.1"))).encode()


def v2(client, command=0x21):
    family, here = (socket.AF_INET6, "2001:db8::1") if ":" in client else (socket.AF_INET, "198.51.100.1")
    block = socket.inet_pton(family, client) + socket.inet_pton(family, here) + struct.pack("!HH", 40000, 25)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, 0x21 if family == socket.AF_INET6 else 0x11, len(block)) + block


@contextlib.contextmanager
def by(door, header, source=PROXY, tls=False):
    with box().raw(door, source) as s:
        if header:
            s.sendall(header)
        s = box().tls_any().wrap_socket(s) if tls else s
        f = s.makefile("rwb", buffering=0)

        def ask(line):
            f.write(line + b"\r\n")
            return f.readline()
        yield f, ask


def login(door, header, source=PROXY, user=b"u1@office.example", password=b"secret", tls=False):
    with by(door, header, source, tls) as (f, ask):
        greeting = f.readline()
        if door.startswith("pop3"):
            assert greeting.startswith(b"+OK"), greeting
            ask(b"USER " + user)
            reply = ask(b"PASS " + password)
            ask(b"QUIT")
            return reply.startswith(b"+OK")
        assert greeting.startswith(b"* OK"), greeting
        return ask(b"a LOGIN %s %s" % (user, password)).startswith(b"a OK")


def rcpt(header, source=PROXY):
    with by("smtp", header, source) as (f, ask):
        assert f.readline().startswith(b"220")
        ask(b"HELO client.test")
        ask(b"MAIL FROM:<u1@office.example>")
        return ask(b"RCPT TO:<x@elsewhere.test>")


def test_the_client_counts_in_all_three_daemons():
    for version, pop_client, imap_client in ((v1, "192.0.2.11", "2001:db8::11"), (v2, "192.0.2.12", "2001:db8::12")):
        for client, door, tls in ((pop_client, "pop3", False), (imap_client, "imap", False), (pop_client[:-1] + "3", "pop3s", True), (imap_client[:-1] + "3", "imaps", True)):
            assert rcpt(version(client)).startswith(b"550 5.7.1"), client
            assert login(door, version(client), tls=tls), (door, client)
            assert rcpt(version(client)).startswith(b"250"), client
            assert "login: user=<u1@office.example>, method=PLAINTEXT, rip=%s," % client in box().log(), client
            assert "client=unknown[%s], permit=drac:u1@office.example" % client in box().log(), client
            box().posthouse("drac", "flush")
    assert rcpt(v1("192.0.2.99")).startswith(b"550 5.7.1"), "another client of the same proxy has read nothing"


def test_version_2_may_come_an_octet_at_a_time():
    with box().raw("imap", PROXY) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in v2("192.0.2.20"):
            s.send(bytes([octet]))
            time.sleep(0.002)
        assert s.recv(100).startswith(b"* OK")


def test_the_proxy_itself_gets_no_grant():
    """LOCAL and UNKNOWN are its own checks; a header that names the proxy is no better."""
    for header in (v2("192.0.2.30", command=0x20), b"PROXY UNKNOWN\r\n", v1(PROXY)):
        assert login("pop3", header) and login("imap", header)
        assert rcpt(header).startswith(b"550 5.7.1"), header
    assert PROXY not in box().posthouse("drac", "list")


def test_a_listed_proxy_without_a_header_is_turned_away():
    for door, octets in (("smtp", b"EHLO x\r\n"), ("pop3", b"CAPA\r\n"), ("imap", b"a CAPABILITY\r\n"), ("submissions", b"\x16\x03\x01\x02\0"), ("imaps", b"PROXY TCP4 x\r\n")):
        with by(door, octets) as (f, _), contextlib.suppress(ConnectionResetError):
            assert f.read() == b"", door
    lab.eventually("all are told", lambda: box().log().count("what came first is no PROXY header") == 5)
    assert box().log().count("[%s]: it is in proxy_protocol_from, but what came first is no PROXY header" % PROXY) == 2, box().log()
    assert box().log().count("rip=%s, reason=it is in proxy_protocol_from, but what came first is no PROXY header" % PROXY) == 3


def test_a_silent_proxy_is_closed_in_time():
    with by("imap", b"PROXY TCP4 ") as (f, _):
        began = time.monotonic()
        assert f.read() == b"" and 4 < time.monotonic() - began < 8 * lab.SLOW
    lab.eventually("it is told", lambda: "the PROXY header did not end" in box().log())


def test_a_header_from_anybody_else_is_refused():
    for header in (v1("192.0.2.40"), v2("192.0.2.40"), b"PROXY UNKNOWN\r\n"):
        for door, answer in (("smtp", b"521 5."), ("submission", b"521 5."), ("pop3", b"-ERR "), ("imap", b"* BYE ")):
            with box().raw(door, STRANGER) as s:
                f = s.makefile("rwb", buffering=0)
                greeting = f.readline()
                f.write(header)
                said = f.read() if greeting[:3] != b"521" else greeting
                assert said.startswith(answer), (door, header, greeting, said)
    log = box().log()
    assert "rip=192.0.2.40" not in log and "[192.0.2.40]" not in log
    assert "rip=%s" % STRANGER in log and "a PROXY header, and proxy_protocol_from does not list that address" in log
    assert "[%s] sent a PROXY header, and proxy_protocol_from does not list that address" % STRANGER in log
    assert login("pop3", b"", STRANGER), "an honest client from there is served"


def test_limits_and_failures_count_the_client():
    """Forty wrong passwords of one client behind the proxy block that client, and nobody else behind it."""
    for i in range(41):
        assert not login("pop3", v1("192.0.2.50"), user=b"u2@office.example", password=b"guess%d" % i)
    assert not login("imap", v1("192.0.2.50"), user=b"u1@office.example"), "that client is blocked"
    assert login("imap", v1("192.0.2.51"), user=b"u1@office.example"), "the next one is not"


def test_what_is_no_network_is_named():
    with open(box().conf) as f:
        good = f.read()
    try:
        with open(box().conf, "w") as f:
            f.write(good.replace("proxy_protocol_from = " + PROXY, "proxy_protocol_from = 10.1.2.3/8"))
        r = box().posthouse("check", check=False)
        assert r.returncode == 78 and "proxy_protocol_from" in r.stderr and "10.1.2.3/8" in r.stderr, r.stderr
    finally:
        with open(box().conf, "w") as f:
            f.write(good)


if __name__ == "__main__":
    lab.main()
