"""tests/system/test_check.py - `posthouse check` before the first start: what is missing on this machine, each with what to do. And `posthouse help`."""
import os, shutil, stat, subprocess, tempfile

import lab

top = None
POSTHOUSE = os.path.join(lab.BIN, "posthouse")


def site():
    """The shipped settings with only the two names changed, an empty state directory."""
    global top
    if top is None:
        top = tempfile.mkdtemp(prefix="posthouse-check.", dir="/tmp")
        lab.atexit.register(shutil.rmtree, top, True)
        shutil.copytree(os.path.join(lab.HERE, "etc"), top + "/etc")
        os.chmod(top, 0o755)
        os.makedirs(top + "/state/secret", 0o700)
        with open(top + "/etc/posthouse.conf", "a") as f:
            f.write("\nmyhostname = mail.office.example\nmydestination = office.example\nmail_owner =\nstate_directory = %s/state\nruntime_directory = %s/run\n" % (top, top))
    return top


def check(*options):
    r = subprocess.run([POSTHOUSE, "-C", site() + "/etc/posthouse.conf", *options, "check"], capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout.endswith("/posthouse.conf: fine\n"), (r.returncode, r.stdout, r.stderr)
    return "".join(line + "\n" for line in r.stdout.splitlines()[:-1] if not line.startswith("mail_owner is empty"))


def pair(name, days, cert, key):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days), "-subj", "/CN=" + name,
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    os.chmod(key, 0o600)


def complete():
    """A site that has everything."""
    site()
    pair("mail.office.example", 90, top + "/etc/cert.pem", top + "/state/secret/key.pem")
    if os.path.exists(top + "/state/secret/users.db"):
        return
    subprocess.run([POSTHOUSE, "-C", top + "/etc/posthouse.conf", "user", "add", "--password-stdin", "alice"], input="good enough\n", check=True, text=True)


def test_an_empty_machine_is_told_of_its_certificate_and_accounts():
    told = check()
    assert "no TLS: tls_cert_file %s/etc/cert.pem" % top in told and "without TLS nobody can log in" in told and "posthouse user add" in told, told


def test_nothing_is_said_where_nothing_is_missing():
    complete()
    assert check() == "", check()


def test_certificates_that_users_would_complain_of():
    complete()
    cert, key = top + "/etc/other.pem", top + "/state/secret/other.pem"
    pair("elsewhere.example", 3, cert, key)
    told = check("-o", "tls_cert_file=" + cert, "-o", "tls_key_file=" + key)
    assert "is not for myhostname = mail.office.example" in told and "expires in " in told, told
    assert "no TLS: tls_key_file" in check("-o", "tls_cert_file=" + cert)
    with open(cert, "w") as f:
        f.write("garbage\n")
    assert "not a usable certificate" in check("-o", "tls_cert_file=" + cert, "-o", "tls_key_file=" + key)
    subprocess.run(["openssl", "x509", "-in", top + "/etc/cert.pem", "-signkey", top + "/state/secret/key.pem", "-days", "-1", "-out", cert], check=True, capture_output=True)
    shutil.copy(top + "/state/secret/key.pem", key)
    told = check("-o", "tls_cert_file=" + cert, "-o", "tls_key_file=" + key)
    assert "has expired" in told, told


def test_secrets_that_others_may_read():
    complete()
    key, users = top + "/state/secret/key.pem", top + "/state/secret/users.db"
    for path, name in ((key, "tls_key_file"), (users, "users_db")):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        os.chmod(path, 0o644)
        told = check()
        assert "%s %s may be read or changed by others" % (name, path) in told and "chmod 600 " + path in told, told
        os.chmod(path, mode)
    shutil.copy(key, top + "/etc/key.pem")
    assert "lies in config_directory" in check("-o", "tls_key_file=" + top + "/etc/key.pem")
    os.unlink(top + "/etc/key.pem")
    assert check() == ""


def test_accounts_that_are_elsewhere_or_broken():
    complete()
    users = top + "/state/secret/users.db"
    os.rename(users, top + "/etc/users.db")
    told = check()
    assert "mv %s/etc/users.db %s" % (top, users) in told, told
    os.unlink(top + "/etc/users.db")
    with open(users, "wb") as f:
        f.write(b"no Berkeley DB at all" * 100)
    os.chmod(users, 0o600)
    told = check()
    assert "users_db, so nobody can log in: " in told and users in told, told
    os.unlink(users)


def test_an_owner_who_is_not_there():
    if os.geteuid() != 0:
        raise lab.Skip("only root becomes mail_owner")
    complete()
    assert "there is no such user on this machine" in check("-o", "mail_owner=no-such-user-1")
    assert "is root: nothing will start" in check("-o", "mail_owner=root")
    told = check("-o", "mail_owner=nobody")
    assert "tls_key_file %s/state/secret/key.pem, for nobody: Permission denied" % top in told and "so nobody can log in: chown" in told, told
    r = subprocess.run([POSTHOUSE, "-C", top + "/etc/posthouse.conf", "check"], capture_output=True, text=True)
    assert "mail_owner is empty" in r.stdout, r.stdout


def test_pam_without_its_file():
    complete()
    assert "/etc/pam.d/no-such-service is not there" in check("-o", "passdb=users pam", "-o", "pam_service=no-such-service")


def ask(*words):
    r = subprocess.run([POSTHOUSE, *words], capture_output=True, text=True)
    return r.returncode, r.stdout, r.stderr


def test_help_says_what_hands_type():
    assert ask("help") == ask("--help") and ask("help")[0] == 0
    rc, out, _ = ask("help", "queue")
    assert rc == 0 and "usage: posthouse queue list" in out and "usage: posthouse queue flush" in out and "user add" not in out
    rc, out, _ = ask("help", "queue", "list")
    assert (rc, out) == ask("queue", "list", "--help")[:2]
    rc, _, err = ask("help", "quack")
    assert rc == 64 and "no command 'quack'" in err, err
    rc, _, err = ask("check", "me")
    assert rc == 64 and "takes no arguments" in err, err


lab.main()
