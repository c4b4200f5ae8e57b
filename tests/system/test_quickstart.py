"""tests/system/test_quickstart.py - the contract of ./quickstart up and down, and the show that a new user sees first."""
import os, signal, re, shutil, socket, subprocess, tempfile

import lab

QUICKSTART = os.path.join(lab.HERE, "quickstart")
OFFSETS = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "pop3s": 995, "imap": 143, "imaps": 993, "lmtp": 24, "drac-udp": 901, "drac-tcp": 901}


def run(*args, **env):
    return subprocess.run([QUICKSTART, *args], capture_output=True, text=True, timeout=120 * lab.SLOW, env={**os.environ, **env})


def of_dir(d):
    """Processes that name this folder on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read()
        except OSError:
            continue
        if d.encode() in words and int(pid) != os.getpid():
            found.append(words)
    return found


def refused(r, word):
    assert r.returncode == 1 and word in r.stderr, (r.returncode, r.stdout, r.stderr)


def test_up_says_where_everything_is_and_down_leaves_no_process():
    d = tempfile.mkdtemp(prefix="ph.", dir="/tmp")
    base = lab.free_base()
    try:
        r = run("up", "--dir", d, "--base", str(base), "--users", "3", "--domain", "inn.example", "--set", "drac_lifetime=6s", "--set", "pop3_uidl_format=%f")
        assert r.returncode == 0, r.stderr
        with open(os.path.join(d, "ports")) as f:
            assert f.read() == "".join("%s=%d\n" % (name, base + off) for name, off in OFFSETS.items())
        for name, off in OFFSETS.items():
            if name != "drac-udp":
                socket.create_connection(("127.0.0.1", base + off), 5).close()
        for user in ("u1", "u3@inn.example"):
            with socket.create_connection(("127.0.0.1", base + 110), 10) as s:
                f = s.makefile("rwb")
                for line in (None, "USER " + user, "PASS secret"):
                    if line:
                        f.write(line.encode() + b"\r\n")
                        f.flush()
                    assert f.readline().startswith(b"+OK"), (user, line)
        posthouse = [os.path.join(lab.BIN, "posthouse"), "-C", os.path.join(d, "etc/posthouse.conf"), "conf"]
        for name, value in (("drac_lifetime", "6s"), ("pop3_uidl_format", "%f"), ("mynetworks", "")):
            out = subprocess.run(posthouse + [name], capture_output=True, text=True).stdout
            assert out.partition("=")[2].strip() == value, out
        refused(run("up", "--dir", d, "--base", str(lab.free_base())), "in use")
        assert len(of_dir(d)) > 4
    finally:
        r = run("down", "--dir", d)
        left = of_dir(d)
        shutil.rmtree(d)
    assert r.returncode == 0, r.stderr
    assert left == [], left


def test_a_taken_port_starts_nothing():
    d = os.path.join(tempfile.mkdtemp(prefix="ph.", dir="/tmp"), "box")
    base = lab.free_base()
    for kind, off in ((socket.SOCK_STREAM, 993), (socket.SOCK_DGRAM, 901)):
        with socket.socket(socket.AF_INET, kind) as s:
            s.bind(("127.0.0.1", base + off))
            if kind == socket.SOCK_STREAM:
                s.listen()
            refused(run("up", "--dir", d, "--base", str(base)), str(base + off))
        assert of_dir(d) == [] and not os.path.exists(os.path.join(d, "etc"))
    shutil.rmtree(os.path.dirname(d))


def test_somebody_elses_folder_stays_as_it_is():
    d = tempfile.mkdtemp(prefix="ph.", dir="/tmp")
    with open(os.path.join(d, "thesis"), "w") as f:
        f.write("mine")
    refused(run("up", "--dir", d, "--base", str(lab.free_base())), "in use")
    assert os.listdir(d) == ["thesis"]
    refused(run("down", "--dir", d), "no appliance")
    shutil.rmtree(d)


def test_a_wrong_setting_is_named_and_starts_nothing():
    d = tempfile.mkdtemp(prefix="ph.", dir="/tmp")
    refused(run("up", "--dir", d, "--base", str(lab.free_base()), "--set", "no_such_setting=1"), "no_such_setting")
    assert of_dir(d) == []
    shutil.rmtree(d)


def test_wrong_usage_says_what_is_missing():
    refused(run("up", "--base", "20000"), "--dir")
    d = tempfile.mkdtemp(prefix="ph.", dir="/tmp")
    refused(run("up", "--dir", d), "--base")
    refused(run("up", "--dir", d, "--base", "65000"), "too high")
    refused(run("sideways"), "sideways")
    os.rmdir(d)                                      # it is still empty
    assert run("--help").stdout.startswith("quickstart - ")


def test_the_show_runs_to_its_end():
    lab.need("curl", "msmtp")
    r = run("--no-apt", POSTHOUSE_SHOW_ONCE="1", POSTHOUSE_SHOW_BASE="20000")
    assert r.returncode == 0, (r.stdout[-2000:], r.stderr[-2000:])
    for sight in ("Bring the letters", "550 5.7.1", "127.0.0.7", "permit=drac:u1@office.example", "Thunderbird", "Everything is stopped and removed"):
        assert sight in r.stdout, (sight, r.stdout[-3000:])
    assert r.stderr == "", r.stderr
    folder = re.search(r"/tmp/posthouse\.\w+", r.stdout).group(0)
    assert not os.path.exists(folder) and of_dir(folder) == []


def test_status_and_reload():
    office = lab.Appliance(users=1)
    out = office.posthouse("status")
    assert out.count(" runs, process ") == 4, out
    with open(office.conf, "a") as f:
        f.write("smtpd_recipient_limit = 2\n")
    office.posthouse("reload", "smtpd")
    lab.eventually("the new settings", lambda: "smtpd: new settings in use" in office.log(), 10)
    def third_recipient():
        with office.smtp() as s:
            s.ehlo()
            s.mail("a@elsewhere.example")
            return [s.rcpt("u1@office.example")[0] for _ in range(3)]
    lab.eventually("the new limit is kept", lambda: third_recipient() == [250, 250, 452], 5)
    with open(office.conf, "a") as f:
        f.write("smtpd_recipient_limt = 3\n")
    r = office.posthouse("reload", "smtpd", check=False)
    assert r.returncode == 78 and "smtpd_recipient_limt" in r.stderr, (r.returncode, r.stderr)
    os.kill(office.supervisor("smtpd"), signal.SIGHUP)
    lab.eventually("the wrong name is logged with its line", lambda: "smtpd_recipient_limt" in office.log(), 5)
    assert third_recipient() == [250, 250, 452], "broken settings change nothing"
    with open(office.conf) as f:
        good = f.read().replace("smtpd_recipient_limt = 3\n", "")
    with open(office.conf, "w") as f:
        f.write(good)
    office.down()
    r = office.posthouse("status", check=False)
    assert r.returncode == 69 and r.stdout.count("does not run") == 4
    office.destroy()


lab.main()
