#!/usr/bin/env python3
# not under sanitizers: other people's programs are what it runs
"""Ours and theirs: the files of makemap beside those of sendmail's makemap, and each other's maps read by each other (sendmail, Postfix)."""
import os, shutil, subprocess, tempfile

import anchors, lab

DIR = tempfile.mkdtemp(prefix="posthouse-makemap.")
NAMES = os.path.join(DIR, "names")

ACCESS = """# a comment
Connect:10.3 OK
Connect:10.3.9\tRELAY
abc.com relay

To:Joe@X.com "ERROR:5.1.1:550 no one"
From:spam@ \t REJECT
IPv6:2001:db8 ERROR:450 later,  with   blanks
10.0.0.0/8 SKIP
x@y.test value with a blank at the end\x20
"""
LARGE = "".join("key%05d@domain%d.example\tvalue %d\n" % (n, n % 97, n) for n in range(20000))


def path(*parts):
    return os.path.join(DIR, *parts)


def makemap(*args, stdin=""):
    if not os.path.exists(NAMES):
        os.makedirs(NAMES)
        os.symlink(os.path.join(lab.BIN, "posthouse"), NAMES + "/makemap")
    return subprocess.run([NAMES + "/makemap", *args], input=stdin, capture_output=True, text=True, cwd=DIR)


def theirs(*args, stdin="", check=True):
    return anchors.run("usr/libexec/sendmail/makemap", "-C", "/dev/null", *args, stdin=stdin, cwd=DIR, check=check)


def dump(name):
    lab.need("db5.3_dump")
    return subprocess.run(["db5.3_dump", "-p", path(name)], capture_output=True, text=True, check=True).stdout


def both(*options, stdin, first=None):
    for kind in ("hash", "btree"):
        for name, tool in (("ours", makemap), ("theirs", theirs)):
            if os.path.exists(path(name + ".db")):
                os.unlink(path(name + ".db"))
            if first is not None:
                assert tool(kind, name, stdin=first).returncode == 0
            r = tool(*options, kind, name, stdin=stdin)
            assert r.returncode == 0, (name, options, r.stderr)
        assert dump("ours.db") == dump("theirs.db"), (kind, options)
        assert os.stat(path("ours.db")).st_mode & 0o777 == os.stat(path("theirs.db")).st_mode & 0o777


def test_same_entries_in_the_same_order():
    both(stdin=ACCESS)
    both(stdin="")
    both(stdin="a 1\r\nb 2\r\n")
    both(stdin="a 1\nb 2")
    both(stdin=LARGE)


def test_every_option_that_shapes_the_file():
    both("-N", stdin=ACCESS)
    both("-f", stdin=ACCESS)
    both("-f", "-N", stdin=ACCESS)
    both("-r", stdin="a 1\nb 2\nA 3\n")
    both("-d", stdin="a 1\na 2\nb 1\na 3\n")
    both("-e", stdin="a\nb \nc 1\n")
    both("-t", ":", stdin="a b:c:d\n\"q k\":1\nx::y\n")
    both("-t", ":", "-D", ";", stdin=";comment\n#key:value\n")
    both("-o", stdin="new 1\n", first="old 1\nolder 2\n")
    both("-o", "-r", stdin="new 1\nold 9\n", first="old 1\nolder 2\n")
    both("-c", "1048576", "-s", stdin=ACCESS)


def test_words_and_status():
    for args, stdin in ((("-v", "hash", "%s"), ACCESS), (("hash", "%s"), "a 1\na 2\n"), (("hash", "%s"), " a 1\n"), (("hash", "%s"), "a\n"), (("foo", "%s"), "a 1\n"), (("-o", "hash", "%s-none"), "a 1\n"),
                        (("-u", "hash", "%s-none"), "")):
        a, b = (tool(*(w.replace("%s", name) for w in args), stdin=stdin, **more) for name, tool, more in (("ours", makemap, {}), ("theirs", theirs, {"check": False})))
        assert (a.returncode, a.stdout) == (b.returncode, b.stdout), (args, a, b)
    makemap("hash", "u", stdin=ACCESS)
    ours, others = makemap("-u", "hash", "u"), theirs("-u", "hash", "u")
    assert ours.stdout == others.stdout and "abc.com\trelay\n" in ours.stdout, (ours.stdout, others.stdout)


def test_a_wrong_line_leaves_the_map_that_is_there():
    assert makemap("hash", "keep", stdin="a 1\n").returncode == 0
    before = dump("keep.db")
    for text, word in (("b 1\n lead 2\n", "line 2: syntax error (leading space)"), ("b 1\nc\n", "line 2: no RHS for LHS c"), ("b 1\nb 2\n", "line 2: duplicate key")):
        r = makemap("hash", "keep", stdin=text)
        assert r.returncode == 65 and word in r.stderr and dump("keep.db") == before, r
    assert not [n for n in os.listdir(DIR) if ".tmp." in n], os.listdir(DIR)


# ---- read by each other ----

def postfix(program, *args, check=True, stdin=""):
    os.makedirs(path("pf"), exist_ok=True)
    with open(path("pf/main.cf"), "w") as f:
        f.write("compatibility_level = 3.6\nmail_owner = mail\nsetgid_group = operator\nalias_database =\n")
    return anchors.run("usr/sbin/" + program, "-c", path("pf"), *args, check=check, stdin=stdin, cwd=DIR)


def explain(*args, maps):
    """The verdict of posthouse explain with an access map that is nothing but this image."""
    conf = path("conf")
    shutil.rmtree(conf, ignore_errors=True)
    os.makedirs(conf)
    for to, source in maps.items():
        shutil.copy(source, os.path.join(conf, to))
    with open(conf + "/posthouse.conf", "w") as f:
        f.write("myhostname = mx.office.test\nmydestination = office.test\nmynetworks =\ndrac = no\naccept_unresolvable_domains = yes\nstate_directory = %s\n" % conf)
    return subprocess.run([os.path.join(lab.BIN, "posthouse"), "-C", conf + "/posthouse.conf", "explain", "--name", "", *args], capture_output=True, text=True)


TEXT = "Connect:192.0.2.7 RELAY\nfrom:bad@x.test REJECT\nConnect:198.51.100.0/24 RELAY\n"


def check_read(image):
    maps = {"access.db": image}
    r = explain("--client", "192.0.2.7", "--from", "a@b.test", "--to", "c@elsewhere.test", maps=maps)
    assert r.returncode == 0 and "access.db" in r.stdout, (image, r.stdout, r.stderr)
    assert explain("--client", "198.51.100.9", "--from", "a@b.test", "--to", "c@elsewhere.test", maps=maps).returncode == 0, image
    assert explain("--client", "192.0.2.8", "--from", "a@b.test", "--to", "c@elsewhere.test", maps=maps).returncode == 77, image
    r = explain("--client", "192.0.2.7", "--from", "bad@x.test", "--to", "c@elsewhere.test", maps=maps)
    assert r.returncode == 77 and "Access denied" in r.stdout, (image, r.stdout)


def test_maps_of_sendmail_are_read():
    for kind in ("hash", "btree"):
        for options in ((), ("-N",)):
            theirs(*options, kind, "sm", stdin=TEXT.replace("From", "from"))
            check_read(path("sm.db"))


def test_maps_of_postfix_are_read():
    with open(path("pfmap"), "w") as f:
        f.write(TEXT)
    for kind in ("hash", "btree"):
        postfix("postmap", kind + ":" + path("pfmap"))
        check_read(path("pfmap.db"))


def test_our_maps_are_read_by_postfix_and_sendmail():
    for kind in ("hash", "btree"):
        for options in ((), ("-N",)):
            assert makemap(*options, kind, "mine", stdin=ACCESS).returncode == 0
            r = postfix("postmap", "-q", "to:joe@x.com", kind + ":" + path("mine"))
            assert r.stdout == '"ERROR:5.1.1:550 no one"\n', (kind, options, r)
            r = theirs("-u", kind, "mine")
            assert "connect:10.3.9\tRELAY\n" in r.stdout.replace("\0", ""), (kind, options, r.stdout)


def test_aliases_of_postfix_are_read():
    with open(path("pfaliases"), "w") as f:
        f.write("postmaster: root\nlist: a@elsewhere.test, b@elsewhere.test\n")
    postfix("postalias", "hash:" + path("pfaliases"))
    r = explain("--client", "192.0.2.7", "--from", "a@b.test", "--to", "list@office.test", maps={"aliases.db": path("pfaliases.db")})
    assert r.returncode == 0 and "a@elsewhere.test" in r.stdout and "b@elsewhere.test" in r.stdout, (r.stdout, r.stderr)


if __name__ == "__main__":
    try:
        lab.main()
    finally:
        shutil.rmtree(DIR, ignore_errors=True)
