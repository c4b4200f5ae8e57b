"""tests/system/test_install.py - make install into an empty root, the programs from there, manual pages, make dist."""
# not under sanitizers: it installs the ordinary build
import os, shutil, subprocess, tarfile, tempfile

import lab

root = None


def make(*args):
    r = subprocess.run(["make", "-C", lab.HERE, "-s", *args], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def installed():
    global root
    if root is None:
        root = tempfile.mkdtemp(prefix="ph-root.", dir="/tmp")
        lab.atexit.register(shutil.rmtree, root, True)
        make("install", "DESTDIR=" + root)
    return root


def prefix():
    with open(os.path.join(lab.HERE, "config.mk")) as f:
        return dict(line.split(" = ", 1) for line in f.read().splitlines() if " = " in line)["PREFIX"]


def path(*parts):
    return os.path.join(installed() + prefix(), *parts)


def test_programs_run_from_where_they_are_installed():
    installed()
    for name in ("smtpd", "pop3d", "imapd", "dracd"):
        assert os.access(path("libexec/posthouse", name), os.X_OK), name
    r = subprocess.run([path("sbin/posthouse"), "--help"], capture_output=True, text=True)
    assert r.returncode == 0 and "queue list" in r.stdout and "drac list" in r.stdout
    for name in ("sendmail", "mailq", "newaliases", "makemap"):
        assert os.readlink(path("sbin", name)) == "posthouse"


def test_shipped_settings_are_read():
    etc = [d for d, _, names in os.walk(installed()) if "posthouse.conf" in names and os.path.basename(d) == "posthouse"]
    assert len(etc) == 1
    for name in ("filter.d", "jail.d"):
        assert os.path.exists(os.path.join(os.path.dirname(etc[0]), "fail2ban", name, "posthouse.conf")), name
    assert os.path.exists(os.path.join(os.path.dirname(etc[0]), "pam.d", "posthouse"))
    r = subprocess.run([path("sbin/posthouse"), "-C", os.path.join(etc[0], "posthouse.conf"), "conf", "-n"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_the_user_and_his_directory_come_by_systemd():
    for kind, word in (("sysusers", "u posthouse "), ("tmpfiles", "/lib/posthouse/secret 0700 posthouse")):
        with open(path("lib", kind + ".d", "posthouse.conf")) as f:
            text = f.read()
        assert word in text and "@STATE@" not in text, text
    for tool in ("systemd-sysusers", "systemd-tmpfiles"):
        if shutil.which(tool):
            r = subprocess.run([tool, "--dry-run", path("lib", tool.split("-")[1] + ".d", "posthouse.conf")], capture_output=True, text=True)
            assert r.returncode == 0 or "unrecognized option" in r.stderr, r.stderr


def test_an_admins_file_is_never_overwritten():
    etc = [d for d, _, names in os.walk(installed()) if "posthouse.conf" in names and os.path.basename(d) == "posthouse"][0]
    with open(os.path.join(etc, "access"), "w") as f:
        f.write("Connect:192.0.2 REJECT\n")
    make("install", "DESTDIR=" + installed())
    with open(os.path.join(etc, "access")) as f:
        assert f.read() == "Connect:192.0.2 REJECT\n"
    assert os.path.exists(os.path.join(etc, "access.new"))


def test_manual_pages_say_everything():
    installed()
    with open(path("share/man/man5/posthouse.conf.5")) as f:
        page = f.read()
    out = subprocess.run([path("sbin/posthouse"), "-C", "/dev/null", "conf"], capture_output=True, text=True).stdout
    names = [line.split(" = ")[0] for line in out.splitlines() if " =" in line]
    assert len(names) > 80
    assert not [n for n in names if n.split(" ")[0] not in page]
    if shutil.which("mandoc"):
        for d, _, files in os.walk(path("share/man")):
            for f in files:
                r = subprocess.run(["mandoc", "-Tlint", "-W", "warning", os.path.join(d, f)], capture_output=True, text=True)
                assert r.returncode == 0, r.stdout


def test_units_name_files_that_are_there():
    units = path("lib/systemd/system")
    for name in os.listdir(units):
        with open(os.path.join(units, name)) as f:
            text = f.read()
        assert "@LIBEXEC@" not in text and "@SYSCONF@" not in text, name
        for line in text.splitlines():
            if line.startswith("ExecStart="):
                program = line.split("=", 1)[1].split()[0]
                assert os.path.exists(installed() + program), program


def test_a_clone_has_what_is_installed():
    """A file that git ignores is there for whoever wrote it and for nobody else."""
    if not os.path.exists(os.path.join(lab.HERE, ".git")):
        raise lab.Skip("no git checkout")
    r = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "--others", "--ignored", "--exclude-standard", "admin", "common", "dracd", "etc", "imapd", "man", "pop3d",
                        "smtpd", "systemd", "tests"], cwd=lab.HERE, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert [f for f in r.stdout.splitlines() if "__pycache__" not in f] == [], r.stdout


def test_dist_unpacks_and_configures():
    if not os.path.isdir(os.path.join(lab.HERE, ".git")) and not os.path.isfile(os.path.join(lab.HERE, ".git")):
        raise lab.Skip("no git checkout")
    with open(os.path.join(lab.HERE, "VERSION")) as f:
        name = "posthouse-" + f.read().strip()
    make("dist")
    tarball = os.path.join(lab.HERE, name + ".tar.gz")
    try:
        with tempfile.TemporaryDirectory() as d:
            with tarfile.open(tarball) as t:
                t.extractall(d)
            r = subprocess.run(["sh", "configure", "--prefix=/usr"], cwd=os.path.join(d, name), capture_output=True, text=True)
            assert r.returncode == 0, r.stdout + r.stderr
            assert "/etc" in open(os.path.join(d, name, "config.mk")).read()
            r = subprocess.run(["sh", "configure", "--frobnicate"], cwd=os.path.join(d, name), capture_output=True, text=True)
            assert r.returncode == 1 and "unknown option: --frobnicate" in r.stderr
    finally:
        os.unlink(tarball)


lab.main()
