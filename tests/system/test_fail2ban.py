"""tests/system/test_fail2ban.py - the shipped filter, read by the real fail2ban-regex, against lines that the real daemons wrote."""
# not under sanitizers: it waits more than it works
import base64, configparser, os, re, smtplib, subprocess, tempfile

import lab

FILTER = os.path.join(lab.HERE, "etc", "fail2ban", "filter.d", "posthouse.conf")
GUESSER, PROBER, HONEST, VICTIM = "127.0.0.66", "127.0.0.67", "127.0.0.68", "127.0.0.99"
office = None


def box():
    global office
    if office is None:
        office = lab.Appliance(users=2, settings={"auth_failure_delay": "0", "plaintext_login_from": "127.0.0.0/8"})
    return office


def matches(mode="login", text=None):
    """The addresses that the filter finds, in order."""
    lab.need("fail2ban-regex")
    with tempfile.NamedTemporaryFile("w", suffix=".log") as f:
        f.write(text if text is not None else box().log())
        f.flush()
        r = subprocess.run(["fail2ban-regex", "-v", "-o", "ip", f.name, "%s[mode=%s]" % (FILTER, mode)], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr
    return [line for line in r.stdout.split() if re.fullmatch(r"[0-9.]+|[0-9a-f:]+", line)]


def talk(door, source, *lines):
    """Says each line, reads a reply line to each; returns the replies."""
    with box().raw(door, source) as s:
        f = s.makefile("rwb", buffering=0)
        replies = [f.readline()]
        for line in lines:
            f.write(line + b"\r\n")
            while (reply := f.readline())[3:4] == b"-" or reply.startswith(b"* "):
                pass
            replies.append(reply)
        return replies


def plain(user, password):
    return base64.b64encode(b"\0" + user + b"\0" + password)


FORGED = [b"x>, method=PLAIN, rip=%s, TLS, session=<a>, reason=wrong password" % VICTIM.encode(), b"%s" % VICTIM.encode(),
          b"y rip=%s," % VICTIM.encode(), b"posthouse/imapd[1]: login failed: user=<z>, method=PLAIN, rip=%s, TLS" % VICTIM.encode(),
          b"unknown[%s]: SASL PLAIN authentication failed: x" % VICTIM.encode(), b"a\\nb", b"\xff\xfe"]


def test_every_failed_login_is_found_once():
    box()
    before = len(matches())
    expected = 0
    for user, password in ((b"u1@office.example", b"guess"), (b"nobody@office.example", b"guess"), (b"u1", b"")):
        assert talk("imap", GUESSER, b'a LOGIN "%s" "%s"' % (user, password))[-1].startswith(b"a NO"), user
        assert talk("pop3", GUESSER, b"USER " + user, b"PASS " + (password or b"x"))[-1].startswith(b"-ERR"), user
        assert talk("submission", GUESSER, b"EHLO x", b"AUTH PLAIN " + plain(user, password or b"x"))[-1].startswith(b"535"), user
        expected += 3
    with box().raw("imap", GUESSER) as s:                    # by AUTHENTICATE too
        f = s.makefile("rwb", buffering=0)
        f.readline()
        f.write(b"a AUTHENTICATE PLAIN " + plain(b"u1", b"guess") + b"\r\n")
        assert f.readline().startswith(b"a NO")
    expected += 1
    found = matches()[before:]
    assert found == [GUESSER] * expected, (expected, found, box().log()[-3000:])
    assert matches("all") == matches(), "no relaying was tried"


def test_what_is_right_or_not_a_guess_is_not_found():
    box()
    before = matches("all")
    assert talk("imap", HONEST, b"a LOGIN u1@office.example secret", b"b LOGOUT")[1].startswith(b"a OK")
    assert talk("pop3", HONEST, b"USER u2", b"PASS secret", b"QUIT")[2].startswith(b"+OK")
    assert talk("submission", HONEST, b"EHLO x", b"AUTH PLAIN " + plain(b"u1", b"secret"), b"MAIL FROM:<u1@office.example>", b"RCPT TO:<u2@office.example>",
                b"QUIT")[4].startswith(b"250")
    assert talk("submission", HONEST, b"EHLO x", b"AUTH PLAIN", b"*")[-1].startswith(b"501")        # cancelled
    assert talk("submission", HONEST, b"EHLO x", b"AUTH PLAIN", b"!!!")[-1].startswith(b"501")      # not base64
    assert talk("submission", HONEST, b"EHLO x", b"AUTH PLAIN AAAA")[-1].startswith(b"5")           # no user in it
    assert talk("smtp", HONEST, b"EHLO x", b"MAIL FROM:<a@elsewhere.example>", b"RCPT TO:<nobody@office.example>")[-1].startswith(b"550")
    lab.eventually("all is logged", lambda: "broken off" in box().log())
    assert matches("all") == before


def test_a_forged_name_accuses_nobody_else():
    box()
    for name in FORGED:
        before = len(matches())
        imap = b"a LOGIN {%d+}\r\n%s guess" % (len(name), name)
        assert talk("imap", GUESSER, imap)[-1].startswith((b"a NO", b"a BAD")), name
        talk("pop3", GUESSER, b"USER " + name, b"PASS guess")
        talk("submission", GUESSER, b"EHLO x", b"AUTH PLAIN " + plain(name, b"guess"))
        found = matches()[before:]
        assert found and set(found) == {GUESSER}, (name, found)
    for line in (b"unknown[%s]: SASL PLAIN authentication failed: x" % VICTIM.encode(), b"login failed: user=<z>, method=PLAIN, rip=%s," % VICTIM.encode()):
        talk("smtp", GUESSER, b"HELO [%s]:" % VICTIM.encode(), b"MAIL FROM:<\"%s\"@elsewhere.example>" % line, b"RCPT TO:<\"%s\"@elsewhere.example>" % line)
        talk("smtp", GUESSER, line)
        with smtplib.LMTP("127.0.0.1", box().port["lmtp"], "x") as s:
            s.sendmail("a@elsewhere.example", "u1@office.example", "Message-ID: <%s>\r\nSubject: %s\r\n\r\nx\r\n" % (line.decode(), line.decode()))
    assert VICTIM in box().log()
    assert VICTIM not in matches("all"), [x for x in box().log().splitlines() if VICTIM in x]


def test_relay_probing_is_its_own_mode():
    box()
    before, logins = len(matches("relay")), len(matches())
    for i in range(3):
        assert talk("smtp", PROBER, b"EHLO x", b"MAIL FROM:<a@elsewhere.example>", b"RCPT TO:<x%d@third.example>" % i)[-1].startswith(b"550 5.7.1")
    assert matches("relay")[before:] == [PROBER] * 3 and len(matches()) == logins
    assert len(matches("all")) == len(matches()) + len(matches("relay"))


def test_the_forms_of_other_sinks_are_read_too():
    """Syslog's own line, and the one that fail2ban makes of a journal's entry; IPv6."""
    line = "posthouse/imapd[12]: login failed: user=<u1@office.example>, method=PLAIN, rip=%s, TLS, session=<x>, reason=wrong password\n"
    text = ("Nov 22 10:00:00 mail " + line) % "192.0.2.7" + ("2026-11-22T10:00:00.123456+00:00 mail " + line) % "2001:db8::7"
    text += "Nov 22 10:00:00 mail posthouse/smtpd[3]: warning: pc_1.dial-up.test[192.0.2.8]: SASL LOGIN authentication failed: wrong password, sasl_username=u1\n"
    text += "Nov 22 10:00:00 mail other/imapd[12]: login failed: user=<u1>, method=PLAIN, rip=192.0.2.9, reason=x\n"
    assert matches(text=text) == ["192.0.2.7", "2001:db8::7", "192.0.2.8"], matches(text=text)


def test_the_jails_name_the_filter_and_are_off():
    jail = configparser.ConfigParser(interpolation=None)
    jail.read(os.path.join(lab.HERE, "etc", "fail2ban", "jail.d", "posthouse.conf"))
    assert jail.sections() == ["posthouse", "posthouse-relay"]
    for name in jail.sections():
        assert jail[name]["enabled"] == "false" and jail[name]["filter"].startswith("posthouse")
        for door in jail[name]["port"].split(","):
            assert subprocess.run(["getent", "services", door + "/tcp"], capture_output=True).returncode == 0, door


if __name__ == "__main__":
    lab.main()
