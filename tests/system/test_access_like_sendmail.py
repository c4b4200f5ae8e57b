#!/usr/bin/env python3
# not under sanitizers: the policy itself runs under them in the unit tests
"""The access map, relay-domains and local-host-names beside sendmail's: the same random maps and questions to both, the same verdicts.

sendmail runs as Debian ships it (anchors.py), in -bt mode: check_relay, check_mail and check_rcpt of its own cf/m4, no network. POSTHOUSE_ACCESS_MAPS=N
tries N maps (12 of them in an ordinary run), 60 questions each.
"""
import os, random, re, shutil, subprocess, tempfile

import anchors, lab

MAPS = int(os.environ.get("POSTHOUSE_ACCESS_MAPS", "12"))
QUESTIONS = 60
DIR = tempfile.mkdtemp(prefix="posthouse-access.")
M4 = """OSTYPE(`linux')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confDONT_BLAME_SENDMAIL', `MapInUnsafeDirPath')dnl
define(`confDOMAIN_NAME', `mx.office.test')dnl
LOCAL_DOMAIN(`office.test second.test')dnl
RELAY_DOMAIN(`partner.test 192.168.7')dnl
define(`ALIAS_FILE', `%(dir)s/none')dnl
FEATURE(`access_db', `hash -T<TMPF> %(dir)s/sm-access', `relaytofulladdress', `skip')dnl
FEATURE(`blocklist_recipients')dnl
FEATURE(`accept_unresolvable_domains')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_RULESETS
STranslate
R$* $$| $*\t$: $1 $| $2
"""


def path(*parts):
    return os.path.join(DIR, *parts)


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)


def need_namespaces():
    lab.need("unshare")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-mnu", "true"], capture_output=True).returncode != 0:
        raise lab.Skip("sendmail -bt needs root and namespaces, else it asks DNS for its own name for a minute")


def make_cf():
    cf = anchors.root() + "/usr/share/sendmail/cf"
    write("t.mc", M4 % {"dir": DIR})
    r = anchors.run("usr/bin/m4", "-D_CF_DIR_=" + cf + "/", cf + "/m4/cf.m4", path("t.mc"), cwd=cf)
    write("t.cf", r.stdout)
    write("hosts", "127.0.0.1 mx.office.test mx localhost\n")


# ---- the questions ----

ADDRS = ["10.3.9.1", "10.3.8.1", "10.4.0.9", "192.168.7.20", "192.168.8.20", "203.0.113.7", "203.0.113.70", "2001:db8:1::5", "2001:db8:2:3::5"]
NAMES = ["pc.abc.test", "abc.test", "a.b.abc.test", "mail.def.test", "pc.partner.test", "host.nowhere.test", "pc.office.test"]
SENDERS = ["", "a@abc.test", "a+x@abc.test", "b@sub.abc.test", "spam@def.test", "SPAM@Def.Test", "u1@office.test", "friend@nowhere.test", "a@partner.test"]
RCPTS = ["u1@office.test", "u2@office.test", "U1@Office.Test", "u1+box@office.test", "u1@second.test", "x@abc.test", "x@sub.abc.test", "x@def.test", "x@partner.test", "x@pc.partner.test", "spam@def.test",
         "x@nowhere.test", "u2@second.test", "x@[203.0.113.9]"]
KEYS = ["10", "10.3", "10.3.9", "10.3.9.1", "10.4", "192.168", "192.168.7", "203.0.113", "203.0.113.7", "IPv6:2001:db8", "IPv6:2001:db8:1", "IPv6:2001:db8:1:0:0:0:0:5", "IPv6:2001:db8:2:3",
        "abc.test", "sub.abc.test", "b.abc.test", "pc.abc.test", "def.test", "mail.def.test", "Def.TEST", "partner.test", "nowhere.test", "test", "office.test", "[10.3.9.1]", "[203.0.113.7]", "second.test",
        "a@abc.test", "a+x@abc.test", "a+*@abc.test", "spam@def.test", "spam@", "a@", "a+*@", "u1@", "u1+*@", "u1+box@office.test", "u1@office.test", "u2@office.test", "x@def.test", "x@", "x@nowhere.test", "friend@nowhere.test"]
VALUES = ["OK", "ok", "RELAY", "Relay", "REJECT", "reject", "DISCARD", "SKIP", "ERROR:550 bad name", "ERROR:5.1.1:550 no such one", 'ERROR:"550 in quotes"', "ERROR:4.7.1:450 later", "ERROR:450 later",
          "550 plain words", "450 not now", "QUARANTINE:looked at"]


def make_map(r):
    lines = {}
    for _ in range(r.randrange(3, 26)):
        key = r.choice(KEYS)
        tags = ["", "Connect:", "From:", "To:"] if "@" not in key else ["From:", "To:", ""]
        if key[:1].isdigit() or key.startswith(("IPv6", "[")):
            tags = ["Connect:", "Connect:", ""]
        tag = r.choice(tags)
        value = r.choice(VALUES)
        if key.endswith("@") and value.upper() == "RELAY":
            value = "OK"  # there "To:joe@ RELAY" relays to any joe in the world; here only addresses and domains may
        lines[(tag + key).lower()] = tag + key + "\t" + value
    return "\n".join(lines.values()) + "\n"


def make_questions(r):
    for _ in range(QUESTIONS):
        addr, state = r.choice(ADDRS), r.choice(["ok", "ok", "fail", "forged", "temp"])
        yield addr, r.choice(NAMES) if state == "ok" else "", state, r.choice(SENDERS), r.choice(RCPTS)


# ---- sendmail ----

def ask_sendmail(questions):
    lines = [".Dr SMTP", ".D{daemon_flags}"]
    for addr, name, state, sender, rcpt in questions:
        shown = "IPv6:" + addr if ":" in addr else addr
        shown = {"2001:db8:1::5": "IPv6:2001:db8:1:0:0:0:0:5", "2001:db8:2:3::5": "IPv6:2001:db8:2:3:0:0:0:5"}.get(addr, shown)
        client = name if state == "ok" else "[%s]" % shown
        lines += [".D{client_addr}" + shown, ".D{client_name}" + client, ".D{client_resolve}" + state.upper(), ".Df" + sender,
                  "Translate,check_relay %s $| %s" % (client, shown), "check_mail <%s>" % sender, "check_rcpt <%s>" % rcpt]
    inner = "hostname mx.office.test; mount --bind %s /etc/hosts; export LD_LIBRARY_PATH=$(echo %s/usr/lib/*-linux-gnu*); exec %s/usr/libexec/sendmail/sendmail -C %s -bt" % (
        path("hosts"), anchors.root(), anchors.root(), path("t.cf"))
    r = subprocess.run(["unshare", "-mnu", "sh", "-c", inner], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120)
    found = re.findall(r"^(check_relay|check_mail|check_rcpt) +returns: (.*)$", r.stdout, re.M)
    assert len(found) == 3 * len(questions), (len(found), len(questions), r.stdout[-2000:], r.stderr)
    return [[what for _, what in found[i:i + 3]] for i in range(0, len(found), 3)]


def reply_of(answer):
    """'$# error $@ 5 . 7 . 1 $: 550 Access denied' -> '550 Access denied'"""
    m = re.match(r'\$# error (?:\$@ (.*?) )?\$: (.*)', answer)
    return m and m.group(1) != "quarantine" and m.group(2).strip().strip('"')


def judge(answers):
    """As a session would go: the first refusal; DISCARD counts where nothing refuses before."""
    for a in answers:
        if reply_of(a):
            return "no", reply_of(a)
        if a.startswith("$# discard"):
            return "discard", a
    return "yes", ""


# ---- ours ----

def ask_ours(questions):
    text = "".join("\t".join((addr, name, state, "", sender, rcpt)) + "\n" for addr, name, state, sender, rcpt in questions)
    r = subprocess.run([os.path.join(lab.HERE, lab.BUILD, "tests/system/verdicts"), path("posthouse.conf"), "u1@office.test", "u2@office.test"], input=text, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout.splitlines()


def kind(ours):
    return ours.split()[0] if ours.startswith(("yes", "discard", "hold")) else "no"


def squeeze(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


def compare(number):
    r = random.Random(number)
    text = make_map(r)
    write("access", text)
    write("sm-access", text)
    anchors.run("usr/libexec/sendmail/makemap", "-C", "/dev/null", "hash", path("sm-access"), stdin=text)
    questions = list(make_questions(r))
    for q, theirs, ours in zip(questions, ask_sendmail(questions), ask_ours(questions)):
        verdict, words = judge(theirs)
        mine = kind(ours).replace("hold", "yes")
        story = "map %d:\n%s\nquestion %s\nsendmail %s\nours %s" % (number, text, q, theirs, ours)
        assert not ours.startswith("error"), story
        if "$@ quarantine" in theirs[2]:
            continue  # there a quarantined recipient skips the relay check; here nothing does
        if "SKIP" in (reply_of(a) for a in theirs):
            continue  # SKIP for a user or a whole address is an error there ("550 SKIP"); here it ends the search like any other
        if verdict != mine and {verdict, mine} == {"discard", "no"}:
            continue  # two rules apply, and who is asked first differs: neither lets the message through
        assert verdict == mine, story
        if verdict == "no" and sum(bool(reply_of(a)) or "discard" in a for a in theirs) == 1 and q[2] != "temp":
            assert words[:1] == ours[:1], story
            if not re.search("denied|relaying", words, re.I) and "disabled" not in words.lower():
                assert squeeze(words[4:]) in squeeze(ours), story
    return len(questions)


def test_verdicts_are_sendmails():
    need_namespaces()
    make_cf()
    write("posthouse.conf", "myhostname = mx.office.test\nmydestination = office.test\nmynetworks =\ndrac = no\naccept_unresolvable_domains = yes\nconfig_directory = %s\nstate_directory = %s\n" % (DIR, DIR))
    write("local-host-names", "office.test\nsecond.test\n")
    write("relay-domains", "partner.test\n192.168.7\n")
    n = sum(compare(i) for i in range(MAPS))
    print("note: %d verdicts over %d maps, the same as sendmail's" % (n, MAPS))


if __name__ == "__main__":
    try:
        lab.main()
    finally:
        shutil.rmtree(DIR, ignore_errors=True)
