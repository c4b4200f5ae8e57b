"""tests/system/test_drac.py - who may relay thanks to DRAC, with everything real: sockets, a DNS server, rpcbind, an RPC client of libtirpc.

Runs in a network namespace of its own (other addresses on lo, rpcbind's port 111) where that is allowed; otherwise all is skipped.
"""
import os, signal, smtplib, socket, struct, subprocess, time

import drac_lab, lab, nets

LIFETIME = 6 * lab.SLOW
ROAMER, OTHER = "192.0.2.7", "192.0.2.8"
ROAMER6 = "2001:db8::7"
office = sink = dns = None


def world():
    """The office, a sink as elsewhere.test, and the DNS server that says where elsewhere.test is."""
    global office, sink, dns
    nets.need()
    if office is None:
        sink = lab.Sink()
        dns = lab.Dns(["mx-host=elsewhere.test,mx.elsewhere.test,10", "host-record=mx.elsewhere.test,127.0.0.1"])
        base = lab.free_base()
        office = lab.Appliance(base=base, settings={
            "drac_lifetime": "%ds" % LIFETIME, "dns_server": dns.setting, "client_port": sink.port, "client_tls": "none", "drac_rpcbind": "yes",
            "accept_unresolvable_domains": "yes", "plaintext_login_from": "127.0.0.0/8 ::1 192.0.2.0/24 2001:db8::/32",
            "listen_drac_udp": "127.0.0.1:%d [::1]:%d" % (base + 901, base + 901)})
    return office


def rcpt(source, sender="u1@office.example", host="127.0.0.1", to="x@elsewhere.test", token=None):
    """One SMTP session without AUTH; returns the reply to RCPT (and sends a message when that was 250)."""
    with smtplib.SMTP(host, world().port["smtp"], "laptop.test", 20, (source, 0)) as s:
        s.ehlo()
        mail = s.mail(sender)
        assert mail[0] == 250, mail
        code, text = s.rcpt(to)
        if code == 250 and token:
            assert s.data("From: %s\r\nSubject: %s\r\n\r\n%s\r\n" % (sender, token, token))[0] == 250
    return code, text.decode()


def login_pop3(source, user="u1", host="127.0.0.1", password="secret"):
    s = socket.create_connection((host, world().port["pop3"]), 20, (source, 0))
    f = s.makefile("rwb")
    assert f.readline().startswith(b"+OK")
    for line in ("USER %s@office.example" % user, "PASS " + password):
        f.write(line.encode() + b"\r\n")
        f.flush()
        reply = f.readline()
    f.write(b"QUIT\r\n")
    f.flush()
    f.readline()
    s.close()
    return reply.startswith(b"+OK")


def whole_story(source, host, token):
    code, text = rcpt(source, host=host)
    assert code == 550 and text.startswith("5.7.1") and "Relaying denied" in text, (code, text)
    assert login_pop3(source, host=host)
    granted = time.time()
    code, text = rcpt(source, host=host, token=token)
    assert code == 250, (code, text)
    sink.wait(token)
    # One second before the end it still holds, one second after it does not.
    time.sleep(max(0, granted + LIFETIME - 1.5 - time.time()))
    assert rcpt(source, host=host)[0] == 250
    time.sleep(max(0, granted + LIFETIME + 1 - time.time()))
    code, text = rcpt(source, host=host)
    assert code == 550 and "Relaying denied" in text, (code, text)


def test_ipv4_refused_then_pop3_then_accepted_then_refused():
    world()
    whole_story(ROAMER, "127.0.0.1", "roaming-v4")


def test_ipv6_the_same():
    world()
    whole_story(ROAMER6, "::1", "roaming-v6")


def test_imap_login_grants_too():
    world()
    s = socket.create_connection(("127.0.0.1", world().port["imap"]), 20, (OTHER, 0))
    f = s.makefile("rwb")
    f.readline()
    f.write(b"a LOGIN u2@office.example secret\r\n")
    f.flush()
    while not (line := f.readline()).startswith(b"a "):
        pass
    assert line.startswith(b"a OK"), line
    assert rcpt(OTHER, sender="u2@office.example", token="after-imap")[0] == 250
    sink.wait("after-imap")
    s.close()


def test_wrong_password_grants_nothing():
    world()
    time.sleep(LIFETIME + 1)
    assert not login_pop3(ROAMER, password="wrong")
    assert rcpt(ROAMER)[0] == 550


def test_grant_is_for_its_own_user_and_address():
    world()
    assert login_pop3(ROAMER, user="u1")
    code, text = rcpt(ROAMER, sender="u2@office.example")      # somebody else behind the same address
    assert code == 550, (code, text)
    assert rcpt(ROAMER, sender="stranger@elsewhere.test")[0] == 550
    assert rcpt(OTHER, sender="u1@office.example")[0] == 550   # another address
    assert rcpt(ROAMER)[0] == 250


def test_mail_for_us_needs_no_grant():
    world()
    assert rcpt(OTHER, sender="a@elsewhere.test", to="u1@office.example")[0] == 250


def test_log_names_the_rule():
    log = world().log()
    assert "NOQUEUE: reject: RCPT from" in log and "drac" in log.lower()


def test_posthouse_drac_list_shows_who_vouched():
    assert login_pop3(ROAMER)
    out = world().posthouse("drac", "list")
    assert ROAMER in out and "u1@office.example" in out, out


# ---- versions 1 and 2 ----

def call(args, version, proc=1, program=drac_lab.PROGRAM, xid=7):
    """A call by hand over UDP from 127.0.0.1; returns the reply behind the XID."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(drac_lab.message(args, version, proc, program, xid), ("127.0.0.1", world().port["drac-udp"]))
        reply = s.recv(4096)
    assert reply[:4] == struct.pack(">I", xid)
    return reply[4:]


def test_v1_vector_byte_for_byte():
    assert call(socket.inet_aton("192.0.2.77"), 1) == drac_lab.SUCCESS + struct.pack(">I", 0)
    assert "192.0.2.77" in world().posthouse("drac", "list")


def test_v2_vector_byte_for_byte():
    words = drac_lab.v2_args("2001:db8::ff80")
    assert len(words) == 64 and words.endswith(b"\xff\xff\xff\xff\xff\xff\xff\x80")
    assert call(words, 2) == drac_lab.SUCCESS + struct.pack(">I", 0)
    assert "2001:db8::ff80" in world().posthouse("drac", "list")


def test_short_datagram_stores_no_stale_address():
    call(socket.inet_aton("10.200.201.202"), 1)
    reply = call(b"\x0b\x0c", 1)
    assert struct.unpack(">5I", reply[:20])[4] == 4, reply              # GARBAGE_ARGS
    assert "11.12." not in world().posthouse("drac", "list")


def test_rpc_errors():
    assert struct.unpack(">I", call(b"", 1, proc=9)[16:20])[0] == 3       # PROC_UNAVAIL
    assert struct.unpack(">3I", call(b"", 4)[16:28]) == (2, 1, 2) or struct.unpack(">3I", call(b"", 4)[16:28]) == (2, 1, 3)
    assert struct.unpack(">I", call(b"", 1, program=900102)[16:20])[0] == 1


def test_half_sent_tcp_record_delays_nobody():
    world()
    stuck = socket.create_connection(("127.0.0.1", world().port["drac-tcp"]))
    stuck.sendall(b"\x80\x00\x00\x2c\0\0")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", world().port["drac-tcp"]), 5) as s:
        s.sendall(drac_lab.record(drac_lab.message(drac_lab.v1_args("192.0.2.78"), 1)))
        assert s.recv(100)[-4:] == b"\0\0\0\0"
    assert time.monotonic() - began < 1 * lab.SLOW
    stuck.close()


def test_v1_grant_names_no_user_and_counts_only_where_trusted():
    call(socket.inet_aton(OTHER), 1)
    assert rcpt(OTHER, sender="u1@office.example")[0] == 550


# ---- rpcbind and the table ----

def test_rpcbind_and_a_client_of_libtirpc():
    lab.need("rpcbind")
    world()
    tool = os.path.join(lab.HERE, lab.BUILD, "tests/clients/drac_add")
    rpcbind = subprocess.Popen(["rpcbind", "-f", "-w"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def add(*args):
            r = subprocess.run([tool, "127.0.0.1", *args], capture_output=True, text=True)
            return r.stdout.strip() if r.returncode == 0 else None
        # dracd notices within 60 s that rpcbind is there and registers.
        lab.eventually("dracd registers with rpcbind", lambda: add("v1", "198.51.100.9") == "0", 65)
        assert add("v2", "2001:db8::9") == "0"
        out = world().posthouse("drac", "list")
        assert "198.51.100.9" in out and "2001:db8::9" in out
    finally:
        rpcbind.terminate()
        rpcbind.wait()


def test_table_is_as_the_original_wrote_it():
    lab.need("db5.3_dump")
    call(socket.inet_aton("192.0.2.99"), 1)
    path = drac_lab.table_path(world())
    def entry():
        out = subprocess.run(["db5.3_dump", "-p", path], capture_output=True, text=True).stdout.split("\n")
        return out[out.index(" 192.0.2.99") + 1] if " 192.0.2.99" in out and "type=btree" in out and "db_pagesize=512" in out else None
    value = lab.eventually("the grant is in dracd.db", entry, 5)
    assert value.strip().isdigit() and abs(int(value) - time.time() - LIFETIME) < LIFETIME
    assert subprocess.run(["db5.3_verify", path], capture_output=True).returncode == 0


# ---- dracd slow, stopped, gone ----

def test_stopped_dracd_delays_a_login_at_most_400_ms():
    pids = world().processes("dracd")
    lab.send(signal.SIGSTOP, pids)
    try:
        login_pop3(ROAMER)                         # fills the password cache
        began = time.monotonic()
        assert login_pop3(ROAMER)
        took = time.monotonic() - began
        assert took < 0.4 * lab.SLOW + 0.1, took
        code, text = rcpt(ROAMER)
        assert code == 450 and text.startswith("4.7.1"), (code, text)
    finally:
        lab.send(signal.SIGCONT, pids)


def test_killed_dracd_comes_back_with_its_grants():
    assert login_pop3(ROAMER)
    lab.kill(world().processes("dracd"))

    def relayed():
        return rcpt(ROAMER)[0] == 250
    lab.eventually("grants survive kill -9 of dracd", relayed, 4)


nets.enter(__file__, "ip addr add %s/32 dev lo && ip addr add %s/32 dev lo && ip addr add %s/128 dev lo" % (ROAMER, OTHER, ROAMER6))
lab.main()
