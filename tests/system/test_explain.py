#!/usr/bin/env python3
"""posthouse explain: each step, the rule with file and line, and the smallest change that turns the answer - which is made for real and asked again."""
import os, re, shutil, subprocess, tempfile

import lab

DIR = tempfile.mkdtemp(prefix="posthouse-explain.")
CONF = """myhostname = mx.office.test
mydestination = office.test
mynetworks = 127.0.0.0/8 10.0.0.0/8
relay_domains = backup.test
drac = no
mail_owner =
state_directory = %s/state
resolv_conf = /dev/null
accept_unresolvable_domains = yes
""" % DIR
MAPS = {
    "access": "# the office\nConnect:192.0.2 REJECT\nConnect:198.51.100.9 OK\nConnect:198.51.100.10 RELAY\nFrom:spam.test REJECT\nFrom:bad@worse.test ERROR:5.7.1:550 go away\n"
              "To:u2@office.test REJECT\nTo:listed.test RELAY\nConnect:friend.test RELAY\nConnect:203.0.113.5 SKIP\nConnect:203.0.113 ERROR:4.7.1:450 later\nFrom:quiet.test DISCARD\nFrom:odd.test HOLD\n"
              "Connect:foe.test REJECT\nFrom:typo.test REJEKT\nConnect:IPv6:2001:db8:bad REJECT\n",
    "local-host-names": "# ours\nsecond.test\n",
    "relay-domains": "partner.test\n192.168.7\n",
    "virtusertable": "info@shop.test u1\n",
    "aliases": "boss: u1\nmoved: u9@new.test.REDIRECT\nprog: \"|/usr/bin/vacation u1\"\nboth: u1, /var/mail/both\na: b\nb: a\n",
}


def path(*parts):
    return os.path.join(DIR, *parts)


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)


def posthouse(*args):
    return subprocess.run([os.path.join(lab.BIN, "posthouse"), "-C", path("posthouse.conf"), *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def set_up():
    write("posthouse.conf", CONF)
    for name, text in MAPS.items():
        write(name, text)
    for user in ("u1", "u2", "u3"):
        r = subprocess.run([os.path.join(lab.BIN, "posthouse"), "-C", path("posthouse.conf"), "user", "add", "--password-stdin", user + "@office.test"], input="secret\n", capture_output=True, text=True)
        assert r.returncode in (0, 65, 73), r.stderr


# what is asked; exit status; what must be told
YES, LATER, NO = 0, 75, 77
STRANGER = ("--client", "198.51.100.200", "--name", "")
CASES = [
    (STRANGER + ("--from", "x@far.test", "--to", "u1@office.test"), YES, ["local - posthouse.conf:2", "rule local by posthouse.conf:2", "To:u1@office.test REJECT", "u1@office.test: mailbox"]),
    (STRANGER + ("--from", "x@far.test", "--to", "u1@second.test"), YES, ["local-host-names:2"]),
    (STRANGER + ("--from", "x@far.test", "--to", "info@shop.test"), YES, ["rule virtual", "virtusertable:1"]),
    (STRANGER + ("--from", "x@far.test", "--to", "x@backup.test"), YES, ["rule relay-domain by posthouse.conf:4"]),
    (STRANGER + ("--from", "x@far.test", "--to", "x@sub.partner.test"), YES, ["rule relay-domain by relay-domains:1"]),
    (STRANGER + ("--from", "x@far.test", "--to", "x@sub.listed.test"), YES, ["rule access-to by access:8"]),
    (STRANGER + ("--from", "x@far.test", "--to", "x@far.test"), NO, ["[PH-R03]", "Connect:198.51.100.200 RELAY", "tried: accepted, rule access-connect", "mynetworks: no - posthouse.conf:3", "posthouse explain PH-R03"]),
    (("--client", "198.51.100.200", "--name", "pc.far.test", "--from", "x@far.test", "--to", "x@far.test"), NO, ["[PH-R01]", "confirmed by DNS both ways", "Connect:198.51.100.200 RELAY"]),
    (("--client", "198.51.100.200", "--name", "pc.friend.test", "--forged", "--from", "x@far.test", "--to", "x@far.test"), NO, ["[PH-R02]", "may be forged"]),
    (("--client", "198.51.100.200", "--name", "pc.friend.test", "--from", "x@far.test", "--to", "x@far.test"), YES, ["rule name by access:9", "access map, Connect: name: RELAY - access:9"]),
    (("--client", "198.51.100.200", "--name", "pc.partner.test", "--from", "x@far.test", "--to", "x@far.test"), YES, ["rule name by relay-domains:1"]),
    (("--client", "198.51.100.9", "--name", "", "--from", "x@far.test", "--to", "x@far.test"), NO, ["OK (which is no permission to relay) - access:3"]),
    (("--client", "198.51.100.10", "--name", "", "--from", "x@far.test", "--to", "x@far.test"), YES, ["rule access-connect by access:4"]),
    (("--client", "10.1.2.3", "--name", "", "--from", "x@far.test", "--to", "x@far.test"), YES, ["rule mynetworks by posthouse.conf:3"]),
    (("--client", "192.168.7.7", "--name", "", "--from", "x@far.test", "--to", "x@far.test"), YES, ["rule relay-domains by relay-domains"]),
    (("--client", "192.0.2.7", "--name", "", "--from", "x@far.test", "--to", "u1@office.test"), NO, ["[PH-A01]", "rule: access - access:2", "Connect:192.0.2.7 OK", "tried: accepted, rule local", "or: take out access:2"]),
    (("--client", "192.0.2.7", "--name", "", "--from", "x@far.test", "--to", "postmaster@office.test"), YES, ["rule local"]),
    (("--client", "192.0.2.7", "--name", "", "--from", "x@far.test", "--to", "x@far.test"), NO, ["[PH-R03]", "Connect:192.0.2.7 RELAY", "tried: accepted"]),
    (("--client", "2001:db8:bad::1", "--name", "", "--from", "x@far.test", "--to", "u1@office.test"), NO, ["rule: access - access:16", "Connect:IPv6:2001:db8:bad::1 OK", "tried: accepted"]),
    (("--client", "203.0.113.9", "--name", "", "--from", "x@far.test", "--to", "u1@office.test"), LATER, ["450 4.7.1", "[PH-A03]", "access:11", "Connect:203.0.113.9 OK", "tried: accepted"]),
    (("--client", "203.0.113.5", "--name", "", "--from", "x@far.test", "--to", "u1@office.test"), YES, ["rule local"]),
    (("--client", "198.51.100.3", "--name", "pc.foe.test", "--from", "x@far.test", "--to", "u1@office.test"), NO, ["access:14", "Connect:pc.foe.test OK", "tried: accepted"]),
    (STRANGER + ("--from", "x@spam.test", "--to", "u1@office.test"), NO, ["[PH-A01]", "access:5", "From:x@spam.test OK", "tried: accepted"]),
    (STRANGER + ("--from", "bad@worse.test", "--to", "u1@office.test"), NO, ["550 5.7.1 <bad@worse.test>... go away [PH-A03]", "the entry access:6, From:bad@worse.test, itself"]),
    (STRANGER + ("--from", "x@typo.test", "--to", "u1@office.test"), LATER, ["[PH-A05]", "access:15", "posthouse check"]),
    (STRANGER + ("--from", "x@quiet.test", "--to", "u1@office.test"), YES, ["thrown away (DISCARD)", "access:12"]),
    (STRANGER + ("--from", "x@odd.test", "--to", "u1@office.test"), YES, ["held (HOLD)", "access:13"]),
    (STRANGER + ("--from", "<>", "--to", "u1@office.test"), YES, ["rule local"]),
    (STRANGER + ("--from", "x@far.test", "--to", "u2@office.test"), NO, ["[PH-A02]", "the entry access:7, To:u2@office.test, itself"]),
    (STRANGER + ("--from", "x@far.test", "--to", "nobody@office.test"), NO, ["[PH-U01]", "posthouse user add"]),
    (STRANGER + ("--from", "x@far.test", "--to", "moved@office.test"), NO, ["[PH-U04]", "u9@new.test"]),
    (STRANGER + ("--from", "x@far.test", "--to", "a@office.test"), NO, ["[PH-U06]"]),
    (STRANGER + ("--from", "x@far.test", "--to", "prog@office.test"), NO, ["550 5.3.5 <prog@office.test>... This server does not deliver to programs [PH-U16]"]),
    (STRANGER + ("--from", "x@far.test", "--to", "both@office.test"), YES, ["u1@office.test: mailbox"]),
    (STRANGER + ("--from", "x@far.test", "--to", "x%far.test@office.test"), NO, ["[PH-R03]", "it asks us to pass it on"]),
    (STRANGER + ("--port", "submission", "--from", "u1@office.test", "--to", "u1@office.test"), NO, ["[PH-R05]"]),
    (STRANGER + ("--port", "submission", "--user", "u1", "--from", "u1@office.test", "--to", "x@far.test"), YES, ["rule login", "login: u1@office.test"]),
    (STRANGER + ("--port", "submission", "--user", "u1", "--from", "boss@office.test", "--to", "x@far.test"), YES, ["rule login"]),
    (STRANGER + ("--port", "submission", "--user", "u1", "--from", "u3@office.test", "--to", "x@far.test"), NO, ["[PH-S06]"]),
    (STRANGER + ("--port", "lmtp", "--from", "x@far.test", "--to", "x@backup.test"), NO, ["[PH-R07]"]),
]


def test_cases():
    set_up()
    for args, status, needles in CASES:
        r = posthouse("explain", *args)
        assert r.returncode == status, (args, status, r.returncode, r.stdout, r.stderr)
        for needle in needles:
            assert needle in r.stdout, (args, needle, r.stdout)
    print("note: %d deliveries explained" % len(CASES))


def test_room():
    set_up()
    ask = ("explain",) + STRANGER + ("--from", "x@far.test", "--to", "u3@office.test")
    assert "room in the mailboxes: not asked" in posthouse(*ask).stdout
    assert posthouse("user", "set", "--quota", "10K", "u3").returncode == 0
    r = posthouse(*ask)                                               # no mailbox yet
    assert r.returncode == YES and "u3@office.test, quota 10K: has room" in r.stdout, r.stdout
    r = posthouse(*ask, "--size", "11K")
    assert r.returncode == NO and "552 5.2.3 <u3@office.test>: message is larger" in r.stdout and "[PH-U14]" in r.stdout and "rule: room" in r.stdout, r.stdout
    for sub in ("cur", "new", "tmp"):
        os.makedirs(path("state", "mail", "office.test", "u3", sub), mode=0o700)
    write("state/mail/office.test/u3/cur/1700000000.x.host,S=9216:2,", "Subject: x\r\n\r\n" + "x" * (9216 - 14))
    r = posthouse(*ask, "--size", "500")
    assert r.returncode == YES and ": has room" in r.stdout, r.stdout
    r = posthouse(*ask, "--size", "2K")
    assert r.returncode == LATER and "452 4.2.2 <u3@office.test>: mailbox is full" in r.stdout and "[PH-U12]" in r.stdout and ": full\n" in r.stdout, r.stdout
    write("aliases", MAPS["aliases"] + "two: u3, u2\n")
    r = posthouse("explain", *STRANGER, "--from", "x@far.test", "--to", "two@office.test", "--size", "2K")
    write("aliases", MAPS["aliases"])
    assert r.returncode == YES and "not asked" in r.stdout, r.stdout  # u2 has no quota
    assert posthouse(*ask, "--size", "many").returncode == 64


def test_the_smallest_change_does_what_it_says():
    set_up()
    n = 0
    for args, status, _ in CASES:
        out = posthouse("explain", *args).stdout
        m = re.search(r"^to (change|refuse) it: a line in access:  (.*)\n  tried: (.*)$", out, re.M)
        if not m:
            continue
        write("access", MAPS["access"] + m.group(2) + "\n")
        r = posthouse("explain", *args)
        said = re.search(r"^verdict: (.*)$", r.stdout, re.M).group(1)
        write("access", MAPS["access"])
        if m.group(3).startswith("accepted"):
            assert said.startswith("accepted"), (args, m.groups(), r.stdout)
        else:
            assert said == m.group(3), (args, m.groups(), r.stdout)
        assert (r.returncode == 0) == m.group(3).startswith("accepted"), (args, m.groups(), r.stdout)
        n += 1
    assert n >= 25, n
    print("note: %d changes made and asked again" % n)


def test_codes():
    for words in ("PH-R01", "r01", "[PH-R01]", "550 5.7.1 <x@y>... Relaying denied: log in [PH-R01]"):
        r = posthouse("explain", words)
        assert r.returncode == 0 and "Relaying denied" in r.stdout and "what to do" in r.stdout, r
    os.rename(path("posthouse.conf"), path("gone.conf"))
    try:
        assert posthouse("explain", "PH-U01").returncode == 0  # also where no settings are
        listed = posthouse("explain", "list")
    finally:
        os.rename(path("gone.conf"), path("posthouse.conf"))
    codes = re.findall(r"^(PH-[A-Z]\d\d) ", listed.stdout, re.M)
    assert listed.returncode == 0 and len(codes) > 60 and len(set(codes)) == len(codes)
    for code in codes:
        assert posthouse("explain", code).returncode == 0, code
    r = posthouse("explain", "PH-Z99")
    assert r.returncode == 65 and "explain list" in r.stderr, r


def test_check_tells_what_never_works():
    set_up()
    for line, word in (("Connect:10.0.0.5/8 OK", "access:17: \"10.0.0.5/8\" is not a network"), ("Connect:IPv6:2001:db8:: OK", "never matches: leave out the last ::"), ("x.test REJEKT", "access:15: the value of"),
                       ("127.0.0.1RELAY", "access:17: '127.0.0.1RELAY' has no value")):
        write("access", MAPS["access"].replace("REJEKT", "REJECT" if line != "x.test REJEKT" else "REJEKT") + line + "\n")
        r = posthouse("check")
        assert r.returncode != 0 and word in r.stdout + r.stderr, (line, r)
    write("access", "old.test relay\nClientRate:127.0.0.1 0\nTo:x.test RELAY\n")
    r = posthouse("check")
    assert r.returncode == 0 and "access:1: RELAY without a tag" in r.stdout + r.stderr and "access:2: ClientRate: is not read here" in r.stdout + r.stderr, r
    write("access", MAPS["access"])


def test_wrong_words():
    for args, status in ((("--client", "300.1.1.1", "--from", "a@b", "--to", "c@d"), 65), (("--client", "192.0.2.1"), 64), (("--client", "192.0.2.1", "--from", "a@b", "--to", "@"), 65),
                         (("--port", "25", "--client", "192.0.2.1", "--name", "", "--from", "a@b", "--to", "c@d"), 64), (("--foo", "x"), 64)):
        assert posthouse("explain", *args).returncode == status, args


if __name__ == "__main__":
    try:
        lab.main()
    finally:
        shutil.rmtree(DIR, ignore_errors=True)
