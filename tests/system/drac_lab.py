"""tests/system/drac_lab.py - what the tests of dracd share: calls of versions 1 and 2 by hand, kill -9."""
import os, socket, struct, subprocess, time

import lab

PROGRAM = 900101
SUCCESS = struct.pack(">5I", 1, 0, 0, 0, 0)


def v1_args(address):
    return socket.inet_aton(address)


def v2_args(address):
    """Sign-extended, as x86 sends it."""
    return b"".join(struct.pack(">i", b - 256 if b > 127 else b) for b in socket.inet_pton(socket.AF_INET6, address))


def message(args, version, proc=1, program=PROGRAM, xid=7):
    """An RPC call (RFC 5531) with AUTH_NONE."""
    return struct.pack(">6I", xid, 0, 2, program, version, proc) + bytes(16) + args


class Caller:
    """Versions 1 and 2 by UDP, asking again as RPC clients do: dracd may be away for a moment."""

    def __init__(self, port):
        self.port, self.xid, self.asked_again = port, 0, 0
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.settimeout(0.5)

    def add(self, address, patience=40):
        """The addstat: 0 granted, 1 refused, 2 system error."""
        v6 = ":" in address
        self.xid += 1
        octets = message(v2_args(address) if v6 else v1_args(address), 2 if v6 else 1, xid=self.xid)
        for _ in range(patience):
            try:
                self.s.sendto(octets, ("127.0.0.1", self.port))
                while True:
                    reply = self.s.recv(4096)
                    if reply[:4] == octets[:4]:
                        assert reply[4:24] == SUCCESS, reply
                        return struct.unpack(">I", reply[24:28])[0]
            except (socket.timeout, ConnectionRefusedError):
                self.asked_again += 1
        raise AssertionError("dracd gives no answer")


def opaque(octets):
    """XDR (RFC 4506 4.10)."""
    return struct.pack(">I", len(octets)) + octets + bytes(-len(octets) % 4)


def record(octets):
    return struct.pack(">I", 0x80000000 | len(octets)) + octets


def rcpt(appliance, source, sender="u1@office.example"):
    """The code of the reply to RCPT elsewhere, without AUTH."""
    with appliance.smtp(source=source) as s:
        s.ehlo()
        assert s.mail(sender)[0] == 250
        return s.rcpt("x@elsewhere.test")[0]


def table_path(appliance):
    return os.path.join(appliance.dir, "state", "drac", "dracd.db")


def dump(appliance):
    """dracd.db as db5.3_dump reads it: key -> value. Fails where db5.3_dump does."""
    r = subprocess.run(["db5.3_dump", "-p", table_path(appliance)], capture_output=True, text=True)
    assert r.returncode == 0 and not r.stderr, r.stderr
    lines = r.stdout.split("\n")
    lines = [line[1:] for line in lines[lines.index("HEADER=END") + 1:lines.index("DATA=END")]]
    return dict(zip(lines[::2], lines[1::2]))


class Killer:
    """kill -9 of dracd, again and again: three times its process, which the supervisor starts again, then all of it, started again by us (the pauses
    of the supervisor, which double, begin anew)."""

    def __init__(self, appliance):
        self.appliance, self.kills = appliance, 0

    def kill(self):
        self.kills += 1
        whole = self.kills % 4 == 0
        lab.kill(([self.appliance.supervisor("dracd")] if whole else []) + self.appliance.processes("dracd"))
        if whole:
            start(self.appliance)


def start(appliance):
    """dracd alone, as quickstart starts it; where a child of the killed one is just ending, its sockets are still taken for a moment."""
    args = [os.path.join(lab.BIN, "dracd"), "-C", appliance.conf]
    said = ""
    for attempt in range(20):
        with open(os.path.join(appliance.dir, "dracd.out"), "a+") as out:      # the sanitized one keeps it open, so no pipe
            at = out.seek(0, 2)
            status = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=30).returncode
            out.seek(at)
            said = out.read()
        if status == 0 or "in use" not in said:
            break
        time.sleep(0.1)
    assert status == 0, "dracd does not start: " + said
