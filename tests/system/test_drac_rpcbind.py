"""tests/system/test_drac_rpcbind.py - a real rpcbind beside dracd: absent, started late, killed and started cold, passing calls on, and dracd's end.

In a network namespace of its own, as rpcbind has one port for all.
"""
# not under sanitizers: it waits more than it works
import contextlib, os, signal, socket, struct, subprocess, time

import drac_lab, lab, nets

office = None
OUTSIDER, ASKED = "198.51.100.66", "127.0.0.1"


def world():
    global office
    nets.need()
    lab.need("rpcbind", "rpcinfo")
    if office is None:
        office = lab.Appliance(settings={"drac_rpcbind": "yes"})
    return office


class Rpcbind:
    def __init__(self, *args):
        self.proc = subprocess.Popen(["rpcbind", "-f", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lab.eventually("rpcbind listens", lambda: lab._taken(111), 5)

    def end(self, how=signal.SIGTERM):
        self.proc.send_signal(how)
        self.proc.wait()


def registered():
    """What rpcbind tells a client: (version, protocol) -> port."""
    out = subprocess.run(["rpcinfo", "-p", "127.0.0.1"], capture_output=True, text=True).stdout.split("\n")
    rows = [line.split() for line in out if line.split()[:1] == ["900101"]]
    return {(int(r[1]), r[2]): int(r[3]) for r in rows}


def all_of_it():
    udp, tcp = office.port["drac-udp"], office.port["drac-tcp"]
    return {(1, "udp"): udp, (2, "udp"): udp, (1, "tcp"): tcp, (2, "tcp"): tcp}


def callit(args, source=OUTSIDER):
    """PMAPPROC_CALLIT (RFC 1833 3.2): asks rpcbind to call version 1's ADD in our name. The octets that come back, or None."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.settimeout(2)
    s.sendto(struct.pack(">10I", 5, 0, 2, 100000, 2, 5, 0, 0, 0, 0) + struct.pack(">4I", drac_lab.PROGRAM, 1, 1, len(args)) + args, (ASKED, 111))
    try:
        return s.recv(512)
    except socket.timeout:
        return None


def test_absent_then_late_then_killed_and_cold():
    world()
    assert drac_lab.Caller(office.port["drac-udp"]).add("198.51.100.1") == 0     # our own port needs no rpcbind
    lab.eventually("the log says that there is none", lambda: "no rpcbind here" in office.log(), 5)
    rpcbind = Rpcbind()
    try:
        lab.eventually("registered with a late rpcbind", lambda: registered() == all_of_it(), 60)
        rpcbind.end(signal.SIGKILL)
        rpcbind = Rpcbind()                                                      # without -w: it knows nothing
        assert registered() == {}
        lab.eventually("registered again", lambda: registered() == all_of_it(), 60)
        assert office.log().count("no rpcbind here") == 1
    finally:
        rpcbind.end()


def test_nobody_reaches_dracd_through_rpcbind():
    """Debian's default passes nothing on. With -r every host would look like this machine: dracd notices, says so and is not registered."""
    world()
    rpcbind = Rpcbind()
    try:
        lab.eventually("registered", lambda: registered() == all_of_it(), 60)
        assert callit(socket.inet_aton("198.51.100.70")) is None
        assert "198.51.100.70" not in office.posthouse("drac", "list")
    finally:
        rpcbind.end()
    rpcbind = Rpcbind("-r")
    try:
        lab.eventually("an alert in the log", lambda: "rpcbind passes calls on (option -r)" in office.log(), 60)
        assert registered() == {}
        assert callit(socket.inet_aton("198.51.100.71")) is None
        assert "198.51.100.71" not in office.posthouse("drac", "list")
        rpcbind.end()
        rpcbind = Rpcbind()                                                      # the admin mends it, and reloads dracd
        office.posthouse("reload")
        lab.eventually("registered after the reload", lambda: registered() == all_of_it(), 60)
        time.sleep(2)
        assert registered() == all_of_it()
    finally:
        rpcbind.end()


def test_the_end_comes_at_once_and_removes_the_registration():
    world()
    rpcbind = Rpcbind()
    try:
        lab.eventually("registered", lambda: registered() == all_of_it(), 60)
        top = office.supervisor("dracd")
        began = time.monotonic()
        os.kill(top, signal.SIGTERM)
        lab.eventually("dracd has ended", lambda: not lab.is_alive(top), 10)
        took = time.monotonic() - began
        assert took < 1 * lab.SLOW, took
        assert registered() == {}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(office.dir, "run", "dracd.pid"))
        drac_lab.start(office)
        lab.eventually("the next dracd registers the same ports", lambda: registered() == all_of_it(), 60)
    finally:
        rpcbind.end()


nets.enter(__file__, "ip addr add %s/32 dev lo" % OUTSIDER)
lab.main()
