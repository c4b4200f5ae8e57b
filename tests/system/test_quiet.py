# not under sanitizers: it measures processor time
"""tests/system/test_quiet.py - who says nothing costs nothing: clients that are greeted and then silent, in every door and at every step, take no processor time."""
import os, socket, time

import lab

SECONDS = 2.0


def spent(pids):
    """pid -> seconds on a processor, of all its threads."""
    out = {}
    for pid in pids:
        out[pid] = 0.0
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                out[pid] += int(f.read().split()[0]) / 1e9
    return out


def say(s, *lines):
    for line in lines:
        s.sendall(line + b"\r\n")
        s.recv(4096)


def test_silent_clients_cost_no_processor_time():
    office = lab.Appliance(users=2)
    opened = []
    for door, steps in (("smtp", []), ("smtp", [b"EHLO a.example"]), ("smtp", [b"EHLO a.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<u1@office.example>", b"DATA"]),
                        ("submission", [b"EHLO a.example"]), ("lmtp", [b"LHLO a.example"]), ("pop3", []), ("pop3", [b"USER u1"]), ("pop3", [b"USER u1", b"PASS secret"]),
                        ("imap", []), ("imap", [b"a CAPABILITY"]), ("imap", [b"a LOGIN u2 secret", b"b SELECT INBOX"]), ("imap", [b"a LOGIN u2 secret", b"b SELECT INBOX", b"c IDLE"])):
        s = socket.create_connection(("127.0.0.1", office.port[door]), 10)
        s.recv(4096)
        say(s, *steps)
        opened.append((door, steps, s))
    for door in ("submissions", "imaps", "pop3s"):
        opened.append((door, [], socket.create_connection(("127.0.0.1", office.port[door]), 10)))      # not even a TLS hello
    time.sleep(0.5)
    pids = office.pids()
    before = spent(pids)
    time.sleep(SECONDS)
    after = spent(pids)
    names = {p: lab.title(p) for p in pids}
    busy = {"%s %d" % (names[p], p): round(after[p] - before[p], 3) for p in pids if after[p] - before[p] > 0.05 * SECONDS}
    assert not busy, "seconds of processor time in %.0f s of silence: %s" % (SECONDS, busy)
    for door, steps, s in opened:
        s.close()
    office.destroy()


lab.main()
