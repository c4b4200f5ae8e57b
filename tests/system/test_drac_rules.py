"""tests/system/test_drac_rules.py - dracd's rules as an admin meets them: ends to the second under clocks that jump, caps, lists, files that are wrong.

The clock of dracd alone is moved by libfaketime (its wall clock; the monotonic one stays), where that is installed.
"""
# not under sanitizers: it waits more than it works
import glob, os, resource, socket, subprocess, time

import drac_lab, lab, nets

ROAMER = "192.0.2.7"


def test_smtpd_refuses_one_second_past_the_value_with_dracd_stopped():
    """drac_match_sender = no: smtpd reads dracd.db itself when dracd does not answer, and looks at its own clock."""
    nets.need()
    lab.need("db5.3_load", "db5.3_dump")
    lifetime = 5 * lab.SLOW
    office = lab.Appliance(settings={"drac_lifetime": "%ds" % lifetime, "drac_match_sender": "no", "drac_trust_v1": "127.0.0.1"})
    try:
        assert drac_lab.rcpt(office, ROAMER, "anybody@elsewhere.test") == 550
        assert drac_lab.Caller(office.port["drac-udp"]).add(ROAMER) == 0
        value = int(lab.eventually("dracd.db has it", lambda: drac_lab.dump(office).get(ROAMER), 5))
        lab.send(19, office.processes("dracd"))                                     # SIGSTOP
        assert drac_lab.rcpt(office, ROAMER, "anybody@elsewhere.test") == 250
        time.sleep(max(0, value + 1.05 - time.time()))
        assert drac_lab.rcpt(office, ROAMER, "anybody@elsewhere.test") in (450, 550)
        for ahead, wanted in ((lifetime - 1, {250}), (lifetime + 60, {450, 550}), (10 * 365 * 86400, {450, 550})):     # a bit that flipped, a clock set back
            text = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=512\nHEADER=END\n %s\n %d\nDATA=END\n" % (ROAMER, time.time() + ahead)
            new = drac_lab.table_path(office) + ".by-hand"
            subprocess.run(["db5.3_load", new], input=text, text=True, check=True)
            os.rename(new, drac_lab.table_path(office))
            assert drac_lab.rcpt(office, ROAMER, "anybody@elsewhere.test") in wanted, ahead
    finally:
        lab.send(18, office.processes("dracd"))
        office.destroy()


def test_a_user_has_eight_addresses_and_an_address_eight_users():
    office = lab.Appliance(settings={"drac_users_per_address": "3", "drac_addresses_per_user": "3"}, users=5)
    try:
        def grant(a, user):
            return office.posthouse("drac", "grant", a, "%s@office.example" % user, check=False)

        for i in range(1, 5):
            assert grant("198.18.0.%d" % i, "u1").returncode == 0
            time.sleep(1.1)                                     # the one that ends first gives way
        held = office.posthouse("drac", "list")
        assert [("198.18.0.%d " % i in held.replace("\t", " ")) for i in (1, 2, 3, 4)] == [False, True, True, True], held
        for u in ("u2", "u3", "u4"):
            assert grant("198.18.9.9", u).returncode == 0
        r = grant("198.18.9.9", "u5")
        assert r.returncode != 0, r.stdout
        assert "198.18.9.9 is shared by more than 3 users" in office.log()
    finally:
        office.destroy()


def refused(office, name, text, words):
    """posthouse check and dracd's start, with this file: both say file and line."""
    path = os.path.join(office.dir, "etc", name)
    with open(path, "w") as f:
        f.write(text)
    r = office.posthouse("check", check=False)
    assert r.returncode != 0 and path + words in r.stdout + r.stderr, (text, r.stdout + r.stderr)
    r = subprocess.run([os.path.join(lab.BIN, "dracd"), "-C", office.conf, "-T"], capture_output=True, text=True)
    assert r.returncode != 0 and path + words in r.stdout + r.stderr, (text, r.stdout + r.stderr)
    os.unlink(path)


def test_wrong_files_are_named_with_file_and_line():
    office = lab.Appliance()
    try:
        for line in ("255.0.0.0 127.0.0.1", "999.0.0.0 127.0.0.1", "10.0.0.1/8", "host.example", "255.255.255.0 192.0.2.0 trailing", " junk"):
            refused(office, "dracd.allow", "# who may\n" + line + "\n", ":2: ")
        refused(office, "dracd.never", "192.0.2.0/24\n\n192.0.2.1/24\n", ":3: ")
        with open(os.path.join(office.dir, "etc", "dracd.never"), "w") as f:
            f.write("198.18.7.0/24\n")
        with open(os.path.join(office.dir, "etc", "dracd.allow"), "w") as f:
            f.write("255.255.255.0 127.0.0.0\n")
        office.posthouse("check")
        office.posthouse("reload")
        caller = drac_lab.Caller(office.port["drac-udp"])
        lab.eventually("the list holds after a reload", lambda: caller.add("198.18.7.1") == 1, 10)
        assert caller.add("198.18.8.1") == 0
        for value in ("0", "-5", "abc"):
            r = subprocess.run([os.path.join(lab.BIN, "dracd"), "-C", office.conf, "-o", "drac_lifetime=" + value], capture_output=True, text=True, timeout=20)
            assert r.returncode != 0 and "drac_lifetime" in r.stdout + r.stderr, (value, r.stdout + r.stderr)
    finally:
        office.destroy()


def test_an_allow_file_that_lets_strangers_register_is_refused():
    """Versions 1 and 2 have no password: where their grants open the relay, who may call must not be the world."""
    office = lab.Appliance()
    allow = os.path.join(office.dir, "etc", "dracd.allow")
    door = ["-o", "listen_drac_udp=0.0.0.0:%d" % office.port["drac-udp"]]

    def says(*more):
        """What the check and the starts of dracd and smtpd say of these settings; each must be of one mind."""
        args = [a for o in more for a in ("-o", o)] + door
        programs = ([os.path.join(lab.BIN, "posthouse"), "-C", office.conf, *args, "check"], [os.path.join(lab.BIN, "dracd"), "-C", office.conf, *args, "-T"],
            [os.path.join(lab.BIN, "smtpd"), "-C", office.conf, *args, "-T"])
        runs = [subprocess.run(p, capture_output=True, text=True) for p in programs]
        assert len({r.returncode == 0 for r in runs}) == 1, runs
        return "" if runs[0].returncode == 0 else [r.stdout + r.stderr for r in runs]

    def write(text):
        with open(allow, "w") as f:
            f.write(text)

    try:
        for wide in ("0.0.0.0 0.0.0.0", "0.0.0.0/1", "2000::/3"):
            write("# who may\n255.255.255.255 192.0.2.1\n" + wide + "\n")
            for settings in (["drac_match_sender=no"], ["drac_trust_v1=0.0.0.0/0 ::/0"]):
                for said in says(*settings) or ["nothing"]:
                    assert allow + ":3: " in said and "strangers could relay" in said and settings[0].split("=")[0] in said, (wide, settings, said)
            assert says() == "" and says("drac_trust_v1=127.0.0.1") == "" and says("drac_match_sender=no", "drac=no") == ""
        write("255.255.0.0 192.168.0.0\n10.0.0.0/8\n198.51.100.0/24\n")
        assert says("drac_match_sender=no") == "" and says("drac_trust_v1=0.0.0.0/0") == ""
        write("0.0.0.0/0\n")
        door = []
        assert says("drac_match_sender=no") == ""              # both versions are served on the loopback alone
    finally:
        office.destroy()


def test_idle_connections_keep_nobody_out():
    """weaknesses.md row 40: 1,024 idle connections ended the original's library."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    office = lab.Appliance()
    try:
        idle = [socket.create_connection(("127.0.0.1", office.port["drac-tcp"]), 10) for _ in range(1100)]
        for s in idle[::3]:
            s.send(b"\x80\0\0")                                 # a third of them in the middle of a record
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", office.port["drac-tcp"]), 10) as s:
            s.sendall(drac_lab.record(drac_lab.message(drac_lab.v1_args("198.18.0.1"), 1)))
            assert s.recv(100)[-4:] == b"\0\0\0\0"
        assert drac_lab.Caller(office.port["drac-udp"]).add("198.18.0.2") == 0
        assert time.monotonic() - began < 1 * lab.SLOW
        assert {"198.18.0.1", "198.18.0.2"} <= set(office.posthouse("drac", "list").split())
        for s in idle:
            s.close()
    finally:
        office.destroy()


def test_another_loopback_address_is_not_this_machine():
    office = lab.Appliance()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.2", 0))
            s.settimeout(5)
            s.sendto(drac_lab.message(drac_lab.v1_args("198.18.0.1"), 1), ("127.0.0.1", office.port["drac-udp"]))
            assert s.recv(100)[-4:] == b"\0\0\0\1"
        assert "198.18.0.1" not in office.posthouse("drac", "list")
        assert "refused caller=127.0.0.2" in office.log()
    finally:
        office.destroy()


class FakeClock:
    """dracd started anew under libfaketime; jump() moves its wall clock while it runs."""

    def __init__(self, office):
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not found or lab.SANITIZED:
            raise lab.Skip("no libfaketime" if not found else "libfaketime and AddressSanitizer do not agree")
        self.office, self.file = office, os.path.join(office.dir, "state", "drac", "clock")
        self.write(0)
        top = office.supervisor("dracd")
        os.kill(top, 15)
        lab.eventually("dracd has ended", lambda: not lab.is_alive(top), 10)
        os.environ.update(LD_PRELOAD=found[0], FAKETIME_TIMESTAMP_FILE=self.file, FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DISABLE_SHM="1")
        try:
            drac_lab.start(office)
        finally:
            for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "FAKETIME_DISABLE_SHM"):
                del os.environ[name]

    def write(self, seconds):
        with open(self.file + ".new", "w") as f:
            f.write("%+d\n" % seconds)
        os.rename(self.file + ".new", self.file)

    def jump(self, seconds):
        self.write(seconds)
        time.sleep(0.2)


def test_clocks_that_jump():
    office = lab.Appliance(settings={"drac_lifetime": "1800s"})
    try:
        clock = FakeClock(office)
        caller = drac_lab.Caller(office.port["drac-udp"])

        def live(a):
            return a in office.posthouse("drac", "list")

        assert caller.add("198.18.0.1") == 0 and live("198.18.0.1")
        clock.jump(1700)
        assert live("198.18.0.1")
        clock.jump(1860)                                        # half an hour and a minute on: it has ended
        assert not live("198.18.0.1")
        assert caller.add("198.18.0.2") == 0 and live("198.18.0.2")
        value = int(lab.eventually("dracd.db has it", lambda: drac_lab.dump(office).get("198.18.0.2"), 5))
        assert abs(value - (time.time() + 1860 + 1800)) < 10
        clock.jump(-3600)                                       # back by more than an hour: it still ends by the monotonic clock, and is not refused
        assert live("198.18.0.2") and caller.add("198.18.0.3") == 0 and live("198.18.0.3")
        clock.jump(10 * 365 * 86400)                            # ten years on: nothing lives
        assert not live("198.18.0.2") and not live("198.18.0.3")
        clock.jump((1 << 31) - int(time.time()) + 100)          # 2038
        assert caller.add("198.18.0.4") == 0 and live("198.18.0.4")
        value = int(lab.eventually("dracd.db has it", lambda: drac_lab.dump(office).get("198.18.0.4"), 5))
        assert value > 1 << 31
    finally:
        office.destroy()


nets.enter(__file__, "ip addr add %s/32 dev lo" % ROAMER)
lab.main()
