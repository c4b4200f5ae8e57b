"""tests/system/test_auth.py - logging in as mail programs do, and as guessers do: the forms of PLAIN and LOGIN, what every answer looks like and how long it
takes, and the failures that all three daemons count together.

Clients at many addresses are played by a proxy that is listed (127.0.0.9, PROXY protocol). POSTHOUSE_TRIES=500 makes the timing test a long one.
"""
import base64, math, os, random, re, statistics, time

import lab, test_scram

PROXY = "127.0.0.9"
TRIES = int(os.environ.get("POSTHOUSE_TRIES", "80"))
DOORS = ("pop3", "imap", "submission")
office = None


def long_one():
    if lab.SANITIZED:
        raise lab.Skip("hundreds of slow hashes under sanitizers")


def box():
    global office
    if office is None:
        office = lab.Appliance(users=12, settings={"auth_failure_delay": "0", "plaintext_login_from": "0.0.0.0/0 ::/0", "proxy_protocol_from": PROXY})
    return office


class Client:
    """A connection of client (any address) to a door, past the greeting."""

    def __init__(self, door, client=None, appliance=None):
        a = appliance or box()
        self.door, self.sock = door, a.raw(door, PROXY if client else None, timeout=60)
        self.f = self.sock.makefile("rwb", buffering=0)
        if client:
            kind, here = ("TCP6", "2001:db8::1") if ":" in client else ("TCP4", "198.51.100.1")
            self.f.write(("PROXY %s %s %s 40000 25\r\n" % (kind, client, here)).encode())
        self.greeting = self.f.readline()
        if door.startswith("submission"):
            test_scram.ehlo(self.f)

    def ask(self, line):
        self.f.write(line + b"\r\n")
        return self.f.readline().rstrip()

    def login(self, user, password):
        """The reply, and the seconds from the last word to it."""
        user, password = user.encode(), password.encode()
        if self.door.startswith("pop3"):
            assert self.ask(b"USER " + user).startswith(b"+OK")
        line = {"pop3": b"PASS " + password, "imap": b"a LOGIN \"%s\" \"%s\"" % (user, password),
                "subm": b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password)}[self.door[:4]]
        began = time.perf_counter()
        return self.ask(line), time.perf_counter() - began

    def close(self):
        if self.door.startswith("pop3"):
            self.f.write(b"QUIT\r\n")
            self.f.read()
        self.sock.close()


def login(door, user, password, client=None, appliance=None):
    c = Client(door, client, appliance)
    reply = c.login(user, password)[0]
    c.close()
    assert reply.startswith((b"+OK", b"a OK", b"235", b"-ERR [AUTH]", b"a NO [AUTHENTICATIONFAILED]", b"535 5.7.8")), reply
    return reply.startswith((b"+OK", b"a OK", b"235"))


# ---- PLAIN and LOGIN, as Outlook and others send them ----

def e(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


NAME, PASS = b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6"
OK, WRONG, CANCELLED, GARBLED = b"235 2.7.0", b"535 5.7.8", b"501 5.7.0", b"501 5.5.2"
FORMS = [
    # LOGIN asked word by word (Outlook), with the user on the command line (Outlook 2016, Apple Mail), with an empty initial response
    [(b"AUTH LOGIN", NAME), (e("u1"), PASS), (e("secret"), OK)],
    [(b"AUTH LOGIN", NAME), (e("U1@OFFICE.example"), PASS), (e("secret"), OK)],
    [(b"AUTH LOGIN " + e("u1@office.example"), PASS), (e("secret"), OK)],
    [(b"auth login " + e("u1") + b" ", PASS), (e("secret"), OK)],
    [(b"AUTH LOGIN =", NAME), (e("u1"), PASS), (e("secret"), OK)],
    [(b"AUTH LOGIN", NAME), (b"", PASS), (b"", WRONG)],
    [(b"AUTH LOGIN", NAME), (e("u1"), PASS), (b"", WRONG)],
    [(b"AUTH LOGIN", NAME), (e("u1"), PASS), (e("secret\0"), WRONG)],
    [(b"AUTH LOGIN", NAME), (e("u1\0x"), PASS), (e("secret"), WRONG)],
    [(b"AUTH LOGIN", NAME), (b"*", CANCELLED), (b"NOOP", b"250")],
    [(b"AUTH LOGIN", NAME), (e("u1"), PASS), (b"*", CANCELLED), (b"AUTH LOGIN", NAME), (e("u1"), PASS), (e("secret"), OK)],
    [(b"AUTH LOGIN " + e("u1"), PASS), (b"*", CANCELLED), (b"AUTH PLAIN " + e("\0u1\0secret"), OK)],
    [(b"AUTH LOGIN", NAME), (b"u1", GARBLED), (b"NOOP", b"250")],
    # PLAIN with and without initial response, with and without the authorization identity
    [(b"AUTH PLAIN " + e("\0u1\0secret"), OK)],
    [(b"AUTH PLAIN", b"334"), (e("\0u1\0secret"), OK), (b"AUTH PLAIN " + e("\0u1\0secret"), b"503 5.5.1")],
    [(b"AUTH PLAIN " + e("u1\0u1\0secret"), OK)],
    [(b"AUTH PLAIN " + e("u1@office.example\0u1\0secret"), OK)],
    [(b"AUTH PLAIN " + e("u2\0u1\0secret"), WRONG)],
    [(b"AUTH PLAIN " + e("\0u1\0guess"), WRONG), (b"AUTH PLAIN " + e("\0nobody\0guess"), WRONG), (b"AUTH PLAIN " + e("\0u1\0secret"), OK)],
    [(b"AUTH PLAIN " + e("\0u1\0"), WRONG)],
    [(b"AUTH PLAIN =", GARBLED), (b"AUTH PLAIN", b"334"), (b"", GARBLED), (b"AUTH PLAIN", b"334"), (b"*", CANCELLED)],
    [(b"AUTH PLAIN " + e("u1 secret"), GARBLED)],
    [(b"AUTH CRAM-MD5", b"504 5.5.4"), (b"AUTH DIGEST-MD5", b"504 5.5.4"), (b"AUTH", b"501 5.5.4"), (b"AUTH PLAIN x y", b"501 5.5.4"), (b"AUTH PLAIN !", GARBLED)],
    [(b"MAIL FROM:<u1@office.example>", b"250"), (b"AUTH PLAIN " + e("\0u1\0secret"), b"503 5.5.1")],
]


def test_forms_of_plain_and_login():
    box()
    for form in FORMS:
        c = Client("submission")
        for line, want in form:
            reply = c.ask(line)
            assert reply.startswith(want), (form, line, reply)
        c.close()


def test_no_password_before_tls_where_nobody_is_listed():
    """587 and 25 without TLS: 538, whatever mechanism would show the password; after STARTTLS it is taken, on 25 where the admin allows it."""
    a = lab.Appliance(users=1, settings={"plaintext_login_from": "", "smtpd_auth_on_port_25": "yes", "auth_failure_delay": "0"})
    for door in ("smtp", "submission"):
        with a.smtp(door) as s:
            s.ehlo()
            assert s.esmtp_features["auth"].split() == ["SCRAM-SHA-256"], s.esmtp_features
            for line in ("AUTH PLAIN " + e("\0u1\0secret").decode(), "AUTH LOGIN", "AUTH SCRAM-SHA-256-PLUS"):
                code, text = s.docmd(line)
                assert code == 538 and text.startswith(b"5.7.11"), (door, line, code, text)
            s.starttls(context=a.tls_any())
            s.ehlo()
            assert s.esmtp_features["auth"].split() == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"], s.esmtp_features
            s.login("u1", "secret")
    with a.raw("imap") as s:
        f = s.makefile("rwb", buffering=0)
        assert b"LOGINDISABLED" in f.readline()
        f.write(b"a LOGIN u1 secret\r\n")
        assert f.readline().startswith(b"a NO [PRIVACYREQUIRED]")
    with a.raw("pop3") as s:
        f = s.makefile("rwb", buffering=0)
        f.readline()
        f.write(b"USER u1\r\n")
        assert f.readline().startswith(b"-ERR")
    assert "login: user" not in a.log()
    a.destroy()


def test_an_unreadable_password_store_is_a_matter_for_later():
    users = os.path.join(box().dir, "state", "secret", "users.db")
    os.rename(users, users + ".away")
    try:
        with open(users, "w") as f:
            f.write("this is no database " * 500)
        said = {door: Client(door).login("u12", "secret")[0] for door in DOORS}        # whom no cache remembers
        assert said["submission"].startswith(b"454 4.7.0"), said
        assert said["imap"].startswith(b"a NO [UNAVAILABLE]"), said
        assert said["pop3"].startswith(b"-ERR [SYS/TEMP]"), said
    finally:
        os.rename(users + ".away", users)
    for door in DOORS:
        assert login(door, "u12", "secret"), door


# ---- unknown user and wrong password are alike (weaknesses.md row 28) ----

def rank_test(a, b):
    """Mann-Whitney: how likely samples of one kind lie so far apart, and how often a is over b."""
    ranked = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    u = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == 0) - len(a) * (len(a) + 1) / 2
    z = (u - len(a) * len(b) / 2) / math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2)), u / (len(a) * len(b))


def sample(attempt, close, n):
    """n attempts, known and unknown users in random order: (seconds, seconds), and the replies."""
    took, said = ([], []), (set(), set())
    kinds = [0, 1] * (n // 2)
    random.shuffle(kinds)
    c = None
    for i, kind in enumerate(kinds):
        if i % 2 == 0:
            if c is not None:
                close(c)
            c = attempt(None, None)
        reply, seconds = attempt(c, "u%d" % random.randint(1, 12) if kind == 0 else "x%d" % random.randint(1, 1000))
        took[kind].append(seconds)
        said[kind].add(reply)
    close(c)
    return took, said


def by_password(door):
    return lambda c, user: Client(door) if c is None else c.login(user, "guess")


def by_scram(c, user):
    if c is None:
        return Client("submission")
    began = time.perf_counter()
    return test_scram.auth(c.f, test_scram.Scram(user, "guess"), "SCRAM-SHA-256"), time.perf_counter() - began


def test_row_28_unknown_user_and_wrong_password_are_alike_in_all_daemons():
    """Alike unless a rank test says otherwise twice: a busy machine moves both kinds, an answer that skips the slow hash moves one."""
    long_one()
    for name, attempt in [(door, by_password(door)) for door in DOORS] + [("scram", by_scram)]:
        apart = []
        for _ in range(3):
            (known, unknown), said = sample(attempt, Client.close, TRIES)
            assert len(said[0]) == 1 and said[0] == said[1], (name, said)
            p, over = rank_test(known, unknown)
            note = "%s: known %.2f ms, unknown %.2f ms, p %.3f, known slower in %.0f %%" % (name, statistics.median(known) * 1e3, statistics.median(unknown) * 1e3, p, over * 100)
            if p > 0.01:
                break
            apart.append(note)
        assert len(apart) < 3, apart
        print("note: " + note)


# ---- failures are counted by address and by user, over all daemons ----

def fails(client, n, user="u%d", first=1, doors=DOORS, appliance=None):
    """n wrong passwords of client, in turn at each door."""
    for i in range(n):
        name = user % (first + i % 4) if "%" in user else user
        assert not login(doors[i % len(doors)], name + "@office.example", "guess%d" % i, client, appliance)


def gets_in(user, client, appliance=None):
    """At all doors, or at none."""
    said = {login(door, user + "@office.example", "secret", client, appliance) for door in DOORS}
    assert len(said) == 1, (user, client, said)
    return said.pop()


def test_answers_come_slower_and_slower_whatever_daemon_is_tried():
    a = lab.Appliance(users=6, settings={"auth_failure_delay": "1s", "plaintext_login_from": "0.0.0.0/0", "proxy_protocol_from": PROXY})
    took = [Client(door, "192.0.2.1", a).login(user, "guess")[1] for door, user in (("pop3", "u1"), ("imap", "u2"), ("submission", "nobody"))]
    for seconds, want in zip(took, (1, 2, 4)):
        assert want <= seconds < want + 2 * lab.SLOW, took
    fresh = Client("imap", "192.0.2.2", a).login("u3", "guess")[1]
    assert 1 <= fresh < 3 * lab.SLOW, fresh
    of_user = Client("pop3", "192.0.2.3", a).login("u3", "guess")[1]         # another address, the same user: the second failure
    assert 2 <= of_user < 4 * lab.SLOW, of_user
    reply, right = Client("imap", "192.0.2.1", a).login("u4", "secret")
    assert reply.startswith(b"a OK") and right < 2 * lab.SLOW, "a right password is not held back"
    a.destroy()


def test_an_address_that_guesses_is_blocked_in_all_daemons():
    assert gets_in("u5", "192.0.2.11")
    fails("192.0.2.10", 40, user="u%d")
    assert not gets_in("u1", "192.0.2.10") and not gets_in("u6", "192.0.2.10")
    assert gets_in("u1", "192.0.2.11") and gets_in("u6", "192.0.2.12")
    assert "too many failures, refused unheard" in box().log()


def test_ipv6_counts_by_64():
    for i in range(40):
        assert not login(DOORS[i % 3], "nobody%d" % i, "guess", "2001:db8:1:2::%x" % (i + 1))
    assert not gets_in("u7", "2001:db8:1:2:ffff::1")
    assert gets_in("u7", "2001:db8:1:3::1")


def block_a_user(user, appliance=None):
    for i in range(100):
        assert not login(DOORS[i % 3], user + "@office.example", "guess%d" % i, "203.0.113.%d" % (i + 1), appliance)


def test_a_guessed_user_keeps_known_good_addresses():
    """A hundred addresses guess at u8: who comes from where u8 has been before gets in, at every daemon; a new address waits."""
    long_one()
    home, mobile, new = "198.51.100.8", "2001:db8:8::8", "198.51.100.9"
    assert login("imap", "u8@office.example", "secret", home) and login("pop3", "u8@office.example", "secret", mobile)
    block_a_user("u8")
    assert gets_in("u8", home) and gets_in("u8", mobile)
    assert not gets_in("u8", new)
    assert gets_in("u9", new), "nobody else is touched"


def test_counts_and_known_addresses_survive_restarts():
    """Of a process, of a daemon, of everything."""
    long_one()
    guesser, home, new = "192.0.2.60", "198.51.100.60", "198.51.100.61"
    assert gets_in("u10", home)
    fails(guesser, 40, user="u%d", first=2)
    block_a_user("u10")

    def as_before():
        return not gets_in("u11", guesser) and gets_in("u10", home) and not gets_in("u10", new)
    assert as_before()
    for daemon in ("smtpd", "pop3d", "imapd"):
        pids = box().pids(daemon + ":auth")
        assert pids, daemon
        lab.kill(pids)
        lab.eventually("another auth process", lambda: box().pids(daemon + ":auth"))
    assert as_before()
    box().posthouse("reload")
    lab.eventually("the new settings", lambda: len(re.findall("new settings in use", box().log())) >= 3)
    assert as_before()
    box().down()
    box().up()
    assert as_before()


if __name__ == "__main__":
    lab.main()
