"""tests/system/test_pam.py - passdb = users pam against the real PAM: pam_unix with a passwd and shadow of our own, in a mount namespace.

good has a password, expired one of an account that ended, locked one behind "!", slow waits longer than pam_timeout in its stack.
"""
import os, shutil, subprocess, sys, tempfile, threading, time

import lab

TIMEOUT = 2
STACK = """auth [success=1 default=ignore] pam_succeed_if.so quiet user != slow
auth required pam_exec.so quiet /bin/sleep 30
auth optional pam_faildelay.so delay=2000000
auth required pam_unix.so
account required pam_unix.so
"""
office = None


def enter_namespace():
    """Starts this file again where /etc/passwd, /etc/shadow and /etc/pam.d are others."""
    if os.environ.get("PH_PAM"):
        return
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return
    own = tempfile.mkdtemp(prefix="ph-pam.", dir="/tmp")
    secret = subprocess.run(["openssl", "passwd", "-6", "open sesame"], capture_output=True, text=True, check=True).stdout.strip()
    with open("/etc/passwd") as f:
        passwd = f.read()
    shadow = ""
    for uid, (name, mark, ends) in enumerate((("good", "", ""), ("expired", "", "10"), ("locked", "!", ""), ("slow", "", "")), 4200):
        passwd += "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (name, uid, uid)
        shadow += "%s:%s%s:19000:0:99999:7::%s:\n" % (name, mark, secret, ends)
    os.mkdir(os.path.join(own, "pam.d"))
    for name, text in (("passwd", passwd), ("shadow", shadow), ("pam.d/posthouse", STACK), ("pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\n")):
        with open(os.path.join(own, name), "w") as f:
            f.write(text)
    os.chmod(os.path.join(own, "shadow"), 0o600)
    os.environ["PH_PAM"] = own
    setup = "for f in passwd shadow pam.d; do mount --bind %s/$f /etc/$f || exit 1; done; exec \"$@\"" % own
    os.execvp("unshare", ["unshare", "-m", "sh", "-c", setup, "sh", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def box():
    global office
    if not os.environ.get("PH_PAM"):
        raise lab.Skip("needs root and mount namespaces")
    if office is None:
        office = lab.Appliance(users=1, settings={"passdb": "users pam", "pam_timeout": "%ds" % TIMEOUT, "auth_failure_delay": "0"})
    return office


def login(user, password):
    """The reply to IMAP LOGIN, and how long it took."""
    s = box().raw("imap")
    f = s.makefile("rwb")
    f.readline()
    began = time.monotonic()
    f.write(("a LOGIN %s \"%s\"\r\n" % (user, password)).encode())
    f.flush()
    while (line := f.readline()) and not line.startswith(b"a "):
        pass
    s.close()
    return line.decode(), time.monotonic() - began


def test_good_password():
    reply, _ = login("good", "open sesame")
    assert reply.startswith("a OK"), reply
    reply, _ = login("u1", "secret")                 # users_db is asked as well
    assert reply.startswith("a OK"), reply


def test_wrong_password_and_unknown_user_look_the_same():
    wrong, _ = login("good", "close sesame")
    unknown, _ = login("nobodyhere", "close sesame")
    assert wrong.startswith("a NO [AUTHENTICATIONFAILED]"), wrong
    assert wrong == unknown, (wrong, unknown)


def test_expired_account_has_the_right_password_and_stays_out():
    reply, _ = login("expired", "open sesame")
    assert reply.startswith("a NO"), reply
    assert login("expired", "wrong")[0].startswith("a NO [AUTHENTICATIONFAILED]")


def test_locked_account_stays_out():
    assert login("locked", "open sesame")[0].startswith("a NO")


def test_slow_module_is_given_up_and_delays_nobody():
    slow = box().raw("imap")
    f = slow.makefile("rwb")
    f.readline()
    began = time.monotonic()
    f.write(b"a LOGIN slow \"open sesame\"\r\n")
    f.flush()
    time.sleep(0.2)
    reply, took = login("good", "open sesame")
    assert reply.startswith("a OK") and took < 1.5 * lab.SLOW, (reply, took)
    line = f.readline()
    took = time.monotonic() - began
    slow.close()
    assert line.startswith(b"a NO [UNAVAILABLE]"), line
    assert TIMEOUT - 0.2 <= took < (TIMEOUT + 2) * lab.SLOW, took
    reply, _ = login("good", "open sesame")
    assert reply.startswith("a OK"), reply


def test_pam_s_own_delay_blocks_nobody():
    """libpam would sleep about two seconds in each refusal (half as long to half as long again); here that is a timer, so twenty refusals take as long as one."""
    took, began = [], time.monotonic()
    threads = [threading.Thread(target=lambda: took.append(login("good", "close sesame")[1])) for _ in range(20)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    reply, right = login("good", "open sesame")
    assert reply.startswith("a OK") and right < 1.5 * lab.SLOW, (reply, right)
    for t in threads:
        t.join()
    assert len(took) == 20 and min(took) > 0.9, took
    assert time.monotonic() - began < 8 * lab.SLOW, took


def test_submission_asks_pam_too():
    with box().smtp("submission") as s:
        s.starttls(context=box().tls_any())
        code, _ = s.login("good", "open sesame")
        assert code == 235, code


def test_no_password_in_the_log():
    assert "sesame" not in box().log()


enter_namespace()
if os.environ.get("PH_PAM"):
    import atexit
    atexit.register(shutil.rmtree, os.environ["PH_PAM"], True)
lab.main()
