"""tests/system/test_drac_fuzz.py - octets that no client would send, to a running dracd: by UDP, by TCP in pieces, and by the local socket as an admin.

DRAC_FUZZ_SECONDS says how long (3 in ./quickstart test, under ASan and UBSan too; 600 is what a release gets). DRAC_FUZZ_SEED repeats a run.
dracd must stay the same process, answer in between, hold no more memory than its bounds allow, and leave no sanitizer report.
"""
import os, random, re, select, socket, struct, time

import drac_lab, lab
from drac_lab import opaque

SECONDS = float(os.environ.get("DRAC_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("DRAC_FUZZ_SEED", str(random.randrange(1 << 32))))
EVIL = [0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 255, 256, 2047, 2048, 65535, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]


def who(r):
    return opaque(b"u%d@office.example" % r.randrange(50)) + opaque(b"imap") + opaque(b"mx") + opaque(b"s" * r.randrange(20)) + struct.pack(">I", r.randrange(16))


def addr(r):
    return opaque(bytes(r.randrange(256) for _ in range(r.choice((4, 4, 4, 16, 0)))))


def good(r):
    """A call that is right, of any version and procedure, and the versions' doors it belongs to."""
    version = r.choice((1, 2, 3, 3, 3))
    if version == 1:
        return drac_lab.message(bytes((198, 18, r.randrange(256), r.randrange(256))), 1, xid=r.getrandbits(32))
    if version == 2:
        return drac_lab.message(b"".join(struct.pack(">i", r.randrange(-128, 128)) for _ in range(16)), 2, xid=r.getrandbits(32))
    proc = r.randrange(9)
    args = {0: b"", 1: addr(r) + who(r) + struct.pack(">I", r.choice(EVIL)), 2: addr(r) + opaque(b""), 3: addr(r) + opaque(b"u%d@office.example" % r.randrange(50)),
            4: addr(r) + opaque(b"u1@office.example") + struct.pack(">I", r.choice(EVIL)), 5: opaque(struct.pack(">Q", r.randrange(50))) + struct.pack(">I", r.choice(EVIL)) + opaque(b""),
            6: b"", 7: b"", 8: struct.pack(">QQII", r.choice(EVIL), r.choice(EVIL), r.choice(EVIL), r.choice((0, 0, 1, 50)))}[proc]
    return drac_lab.message(args, 3, proc=proc, xid=r.getrandbits(32))


def mutate(r, octets):
    b = bytearray(octets)
    for _ in range(r.choice((0, 1, 1, 1, 2, 3, 8))):
        what = r.randrange(6)
        at = r.randrange(len(b)) if b else 0
        if what == 0 and b:
            b[at] ^= 1 << r.randrange(8)
        elif what == 1 and len(b) >= 4:
            at &= ~3
            b[at:at + 4] = struct.pack(">I", r.choice(EVIL))
        elif what == 2:
            del b[at:]
        elif what == 3:
            b[at:at] = bytes(r.randrange(256) for _ in range(r.choice((1, 4, 64, 400, 3000))))
        elif what == 4:
            del b[at:at + r.choice((1, 4, 8))]
        elif what == 5 and b:
            b += b[at:at + 40]
    return bytes(b)


def marked(r, octets):
    """As one record, or as fragments, with a mark that lies now and then."""
    out = b""
    while r.random() < 0.2 and len(octets) > 1:
        cut = r.randrange(1, len(octets))
        out, octets = out + struct.pack(">I", cut) + octets[:cut], octets[cut:]
    n = len(octets) if r.random() < 0.93 else r.choice(EVIL)
    return out + struct.pack(">I", (n | 0x80000000) & 0xffffffff) + octets


class Streams:
    """Some connections at a time; each gets whole records, halves, and its end at any moment. What comes back is read and thrown away."""

    def __init__(self, r, connect):
        self.r, self.connect, self.open, self.sent = r, connect, [], 0

    def step(self):
        r = self.r
        if len(self.open) < 20 and r.random() < 0.3:
            s = self.connect()
            s.setblocking(False)
            self.open.append(s)
        if not self.open:
            return
        s = r.choice(self.open)
        octets = b"".join(marked(r, mutate(r, good(r))) for _ in range(r.choice((1, 1, 1, 5))))
        if r.random() < 0.1:
            octets = octets[:r.randrange(len(octets) + 1)]
        try:
            self.sent += s.send(octets) > 0
            if s in select.select([s], [], [], 0)[0] and not s.recv(1 << 20):
                raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            self.drop(s)
            return
        if r.random() < 0.02:
            self.drop(s)

    def drop(self, s):
        self.open.remove(s)
        s.close()


def memory_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def test_octets_that_no_client_would_send():
    r = random.Random(SEED)
    office = lab.Appliance(settings={"drac_addresses_per_user": "8"})
    before = office.processes("dracd")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    udp.connect(("127.0.0.1", office.port["drac-udp"]))

    def tcp():
        return socket.create_connection(("127.0.0.1", office.port["drac-tcp"]), 5)

    def local():
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(office.dir, "run", "dracd.sock"))
        return s

    streams = [Streams(r, tcp), Streams(r, local)]
    datagrams, answered, end, look = 0, 0, time.monotonic() + SECONDS, time.monotonic() + 1
    caller = drac_lab.Caller(office.port["drac-udp"])
    while time.monotonic() < end:
        for _ in range(10):
            for _ in range(3):
                try:
                    udp.send(mutate(r, good(r)))
                    datagrams += 1
                    udp.recv(65536)
                except OSError:
                    pass
            streams[0].step()
            streams[1].step()
        if time.monotonic() > look:
            look = time.monotonic() + 1
            assert caller.add("198.19.0.%d" % r.randrange(1, 255)) == 0, "seed %d" % SEED
            answered += 1
            assert office.processes("dracd") == before, "dracd was restarted; seed %d:\n%s" % (SEED, office.log()[-3000:])
    assert caller.add("198.19.1.1") == 0
    assert office.processes("dracd") == before and not office.sanitizer_reports(), "seed %d" % SEED
    if not lab.SANITIZED:
        assert memory_kb(before[0]) < 60000 + SECONDS * 600, memory_kb(before[0])
    print("note: %d datagrams, %d writes by TCP, %d by the local socket; seed %d" % (datagrams, streams[0].sent, streams[1].sent, SEED))


lab.main()
