#!/usr/bin/env python3
"""Who may send, live: the access map, the lists and client names as a running smtpd reads them, edited under it; and posthouse explain says the same.

127.0.0.9 is a proxy that is believed, so that a client may come from any address; names come from a name server of the test's own.
"""
import contextlib, os, random, re, time

import lab

PROXY = "127.0.0.9"
ACCESS = """Connect:192.0.2 REJECT
Connect:192.0.2.77 OK
Connect:198.51.100.10 RELAY
Connect:friend.test RELAY
From:spam.test REJECT
From:gone@far.test ERROR:5.7.1:550 go away
To:u2@office.example ERROR:4.7.1:450 later
To:listed.test RELAY
Connect:IPv6:2001:db8:77 RELAY
"""
NAMES = {"203.0.113.5": "pc.friend.test", "203.0.113.6": "forged.friend.test", "203.0.113.7": "mail.partner.test"}
office = dns = None


def ptr(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def box():
    global office, dns
    if office is None:
        records = ["ptr-record=%s,%s" % (ptr(a), n) for a, n in NAMES.items()] + ["host-record=pc.friend.test,203.0.113.5", "host-record=mail.partner.test,203.0.113.7",
                   "host-record=forged.friend.test,198.51.100.99", "local=/in-addr.arpa/", "local=/ip6.arpa/"]
        dns = lab.Dns(records)
        office = lab.Appliance(users=3, settings={"proxy_protocol_from": PROXY, "dns_server": dns.setting, "drac": "no"},
                               files={"access": ACCESS, "relay-domains": "partner.test\n", "local-host-names": "second.test.\nb\u00fccher.test\n"})
    return office


@contextlib.contextmanager
def client(address):
    with box().raw("smtp", PROXY) as s:
        s.sendall(("PROXY TCP%d %s %s 40000 25\r\n" % ((6, address, "2001:db8::1") if ":" in address else (4, address, "198.51.100.1"))).encode())
        f = s.makefile("rwb", buffering=0)

        def ask(line=None):
            if line is not None:
                f.write(line.encode() + b"\r\n")
            while True:
                answer = f.readline().decode()
                if answer[3:4] != "-":
                    return answer.strip()
        yield ask


def verdict(address, sender, rcpt, utf8=False):
    with client(address) as ask:
        greeting = ask()
        if not greeting.startswith("220"):
            return greeting
        ask("EHLO client.test")
        answer = ask("MAIL FROM:<%s>%s" % (sender, " SMTPUTF8" if utf8 else ""))
        return answer if answer[0] != "2" else ask("RCPT TO:<%s>" % rcpt)


def edit(name, text):
    """As an editor does: a new file takes the name. Times of files move in steps, so a moment passes."""
    time.sleep(0.02)
    where = os.path.join(box().dir, "etc", name)
    with open(where + ".new", "w") as f:
        f.write(text)
    os.rename(where + ".new", where)


def test_each_rule():
    for address, sender, rcpt, want in (
            ("203.0.113.99", "x@far.test", "u1@office.example", "250"), ("203.0.113.99", "x@far.test", "y@far.test", r"550 5\.7\.1 .*\[PH-R03\]"),
            ("192.0.2.7", "x@far.test", "u1@office.example", r"550 5\.7\.1 Access denied \[PH-A01\]"), ("192.0.2.77", "x@far.test", "u1@office.example", "250"),
            ("192.0.2.77", "x@far.test", "y@far.test", r"550 .*\[PH-R03\]"), ("192.0.2.7", "x@far.test", "postmaster@office.example", "250"),
            ("198.51.100.10", "x@far.test", "y@far.test", "250"), ("203.0.113.5", "x@far.test", "y@far.test", "250"),
            ("203.0.113.6", "x@far.test", "y@far.test", r"550 .*possibly forged.*\[PH-R02\]"), ("203.0.113.6", "x@far.test", "u1@office.example", "250"),
            ("203.0.113.7", "x@far.test", "y@far.test", "250"), ("2001:db8:77::5", "x@far.test", "y@far.test", "250"), ("2001:db8:78::5", "x@far.test", "y@far.test", "550"),
            ("203.0.113.99", "x@spam.test", "u1@office.example", r"550 .*\[PH-A01\]"), ("203.0.113.99", "gone@far.test", "u1@office.example", r"550 5\.7\.1 <gone@far\.test>\.\.\. go away \[PH-A03\]"),
            ("203.0.113.99", "x@far.test", "u2@office.example", r"450 4\.7\.1 .*later \[PH-A03\]"), ("203.0.113.99", "x@far.test", "y@sub.listed.test", "250"),
            ("203.0.113.99", "x@far.test", "y@partner.test", "250"), ("203.0.113.99", "x@far.test", "u1@second.test", "250")):
        got = verdict(address, sender, rcpt)
        assert re.match(want, got), (address, sender, rcpt, got)


def test_domains_beyond_ascii():
    for rcpt in ("u1@b\u00fccher.test", "u1@B\u00dcCHER.test", "u1@xn--bcher-kva.test"):
        got = verdict("203.0.113.99", "x@far.test", rcpt, utf8=True)
        assert got.startswith("250"), (rcpt, got)
    assert "550 5.7.1" in verdict("203.0.113.99", "x@far.test", "u1@b\u00e4cker.test", utf8=True)


def test_forged_is_said():
    token = "forged-%d" % os.getpid()
    with client("203.0.113.6") as ask:
        assert ask().startswith("220")
        for line in ("EHLO client.test", "MAIL FROM:<x@far.test>", "RCPT TO:<u1@office.example>", "DATA"):
            answer = ask(line)
        assert answer.startswith("354") and ask("Subject: %s\r\n\r\nhello\r\n." % token).startswith("250")
    mail = box().wait_mail("u1", token)[0].decode()
    assert "Received: from client.test (forged.friend.test [203.0.113.6] (may be forged))" in mail, mail[:400]
    assert "forged.friend.test[203.0.113.6]: the name does not lead back to the address: may be forged" in box().log()


def test_a_trailing_dot_is_told():
    assert "local-host-names:1: the trailing dot of 'second.test.' is not wanted and was dropped" in box().log()


def test_an_edit_counts_at_once():
    assert verdict("203.0.113.98", "x@far.test", "y@far.test").startswith("550")
    edit("access", ACCESS + "Connect:203.0.113.98 RELAY\n")
    assert verdict("203.0.113.98", "x@far.test", "y@far.test").startswith("250")
    edit("access", ACCESS)
    assert verdict("203.0.113.98", "x@far.test", "y@far.test").startswith("550")
    edit("relay-domains", "partner.test\nnew.test\n")
    assert verdict("203.0.113.98", "x@far.test", "y@new.test").startswith("250")


def test_a_broken_text_changes_nothing_and_says_where():
    edit("access", ACCESS + "Connect:203.0.113.98 RELAY\nno-value\n")
    assert verdict("203.0.113.98", "x@far.test", "y@far.test").startswith("550")
    assert verdict("198.51.100.10", "x@far.test", "y@far.test").startswith("250")
    lab.eventually("the line is named in the log", lambda: re.search(r"access:11: 'no-value' has no value", box().log()))
    r = box().posthouse("check", check=False)
    assert r.returncode != 0 and "access:11" in r.stdout + r.stderr, (r.stdout, r.stderr)
    edit("access", ACCESS)
    assert verdict("198.51.100.10", "x@far.test", "y@far.test").startswith("250")


def test_an_open_relay_is_not_served_until_mended():
    for text, blame in ((ACCESS + "Connect:0.0.0.0/1 RELAY\n", "access:10: RELAY for a network that covers a large part of the world"), (ACCESS + "To:com RELAY\n", "access:10: RELAY for a whole top-level domain"),
                        (ACCESS + "".join("Connect:%d RELAY\n" % n for n in (1, 8, 23, 58, 77, 93, 133, 177)), "strangers could relay")):
        edit("access", text)
        verdict("203.0.113.98", "x@far.test", "u1@office.example")  # whoever comes first makes it looked at
        for rcpt in ("u1@office.example", "y@far.com"):
            got = verdict("203.0.113.98", "x@far.test", rcpt)
            assert re.match(r"421 4\.3\.5 .*\[PH-C01\]$", got), (text[-40:], got)
        assert "no mail is taken" in box().log() and blame in box().log(), blame
        assert blame in (lambda r: r.stdout + r.stderr)(box().posthouse("check", check=False))
        edit("access", ACCESS)
        assert verdict("203.0.113.98", "x@far.test", "u1@office.example").startswith("250"), "mended"
    assert "mail is taken again" in box().log()


def test_the_first_to_come_after_an_open_map_does_not_relay():
    """The map is judged before it answers anybody."""
    with client("203.0.113.98") as early:
        assert early().startswith("220")
        early("EHLO client.test")
        early("MAIL FROM:<x@far.test>")
        edit("access", ACCESS + "Connect:0.0.0.0/1 RELAY\n")
        assert verdict("203.0.113.99", "x@far.test", "y@far.test")[:3] in ("421", "550")
        assert early("RCPT TO:<y@far.test>")[:3] in ("421", "550")
    edit("access", ACCESS)
    assert verdict("203.0.113.98", "x@far.test", "u1@office.example").startswith("250")


def test_a_large_map_is_read_by_the_confined_front():
    many = "".join("Connect:host%05d.far.test REJECT\n" % n for n in range(40000))
    assert len(many) > 1 << 20
    for address in ("203.0.113.97", "203.0.113.96"):
        edit("access", ACCESS + many + "Connect:%s RELAY\n" % address)
        assert verdict(address, "x@far.test", "y@far.test").startswith("250"), address
    assert verdict("203.0.113.97", "x@far.test", "y@far.test").startswith("550")
    box().posthouse("check", check=False)  # may write the image, and does
    assert os.path.getmtime(os.path.join(box().dir, "etc/access.db")) >= os.path.getmtime(os.path.join(box().dir, "etc/access"))
    assert verdict("203.0.113.96", "x@far.test", "y@far.test").startswith("250")
    edit("access", ACCESS)
    assert verdict("203.0.113.96", "x@far.test", "y@far.test").startswith("550")


def test_explain_says_what_smtpd_says():
    r = random.Random(1)
    addresses = ["203.0.113.99", "192.0.2.7", "192.0.2.77", "198.51.100.10", "2001:db8:77::5", "2001:db8:78::5"] + list(NAMES)
    senders = ["x@far.test", "x@spam.test", "gone@far.test", "u1@office.example"]
    rcpts = ["u1@office.example", "u2@office.example", "nobody@office.example", "postmaster@office.example", "y@far.test", "y@listed.test", "y@partner.test", "u1@second.test", "u1%far.test@office.example"]
    for _ in range(60):
        address, sender, rcpt = r.choice(addresses), r.choice(senders), r.choice(rcpts)
        live = verdict(address, sender, rcpt)
        told = box().posthouse("explain", "--client", address, "--from", sender, "--to", rcpt, check=False)
        said = re.search(r"^verdict: (.*)$", told.stdout, re.M).group(1)
        if live.startswith("250"):
            assert said.startswith("accepted") and told.returncode == 0, (address, sender, rcpt, live, told.stdout)
        else:
            assert said == live, (address, sender, rcpt, live, told.stdout)


def test_a_user_hears_at_once_of_a_domain_that_does_not_exist():
    other = lab.Appliance(users=1, settings={"dns_server": dns.setting, "accept_unresolvable_domains": "no", "drac": "no"}, files={"mailertable": "routed.test smtp:[127.0.0.1]:1\n"})
    with other.smtp("submission") as s:
        s.starttls(context=other.tls_any())
        s.login("u1", "secret")
        assert s.mail("u1@office.example")[0] == 250
        for _ in range(2):  # the second answer comes from memory
            code, text = s.rcpt("x@nowhere.test")
            assert code == 550 and text == b"5.1.2 <x@nowhere.test>... Domain of recipient does not exist [PH-U15]", (code, text)
            assert s.rcpt("x@pc.friend.test")[0] == 250  # an address is enough
            assert s.rcpt("x@routed.test")[0] == 250
            assert s.rcpt("u1@office.example")[0] == 250
    r = other.posthouse("explain", "--client", "127.0.0.5", "--port", "submission", "--user", "u1", "--from", "u1@office.example", "--to", "x@nowhere.test", check=False)
    assert r.returncode == 77 and "recipient's domain nowhere.test: does not exist" in r.stdout and "[PH-U15]" in r.stdout, r.stdout


if __name__ == "__main__":
    lab.main()
