# not under sanitizers: it measures time
"""tests/crash/test_restart.py - kill -9 of everything with much mail waiting: the next message is acknowledged at once, and nothing is lost or doubled.

RESTART_MESSAGES=2000 is the default. The time is printed; it fails only where it is far off, since the machine may be busy.
"""
import os, socket, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import lab

MESSAGES = int(os.environ.get("RESTART_MESSAGES", "500" if lab.SANITIZED else "2000"))
TURNS = 4


class Talk:
    """One SMTP connection; raises OSError at any reply that is not the wanted one."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 5)
        self.f = self.s.makefile("rb")
        self.want(b"220")
        self.s.sendall(b"EHLO x.example\r\n")
        self.want(b"250")

    def want(self, code):
        while True:
            line = self.f.readline()
            if not line.startswith(code):
                raise OSError(line)
            if line[3:4] != b"-":
                return

    def send(self, rcpt, text=b"text"):
        self.s.sendall(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + rcpt + b">\r\nDATA\r\n")
        for code in (b"250", b"250", b"354"):
            self.want(code)
        self.s.sendall(b"Subject: x\r\n\r\n" + text + b"\r\n.\r\n")
        self.want(b"250")


def delivered(office):
    cur = os.path.join(office.dir, "state", "mail", "office.example", "u1", "cur")
    return len(os.listdir(cur)) if os.path.isdir(cur) else 0


def waiting(office):
    return sum(1 for d in os.scandir(os.path.join(office.dir, "state", "spool", "deferred")) for f in os.scandir(d) if f.name.endswith(".env"))


def first_ack(office, rcpt):
    """Seconds from the start of smtpd to its first 250 for a message."""
    began = time.monotonic()
    start = subprocess.Popen([os.path.join(lab.BIN, "smtpd"), "-C", office.conf])
    while True:
        assert time.monotonic() - began < 20 * lab.SLOW, "no message is taken"
        try:
            Talk(office.port["smtp"]).send(rcpt)
            break
        except OSError:
            time.sleep(0.002)
    took = time.monotonic() - began
    assert start.wait(30) == 0
    return took


def test_first_message_after_kill_9():
    office = lab.Appliance(users=1, settings={"mynetworks": "127.0.0.0/8", "relayhost": "[127.0.0.1]:1", "smtpd_client_connection_limit": "0"})
    t = Talk(office.port["smtp"])
    for i in range(MESSAGES):
        t.send(b"x%d@far.example" % i)
    lab.eventually("all are deferred", lambda: waiting(office) == MESSAGES, 60)
    took = []
    for turn in range(TURNS):
        lab.kill([office.supervisor("smtpd")] + office.processes("smtpd"))
        took.append(first_ack(office, b"u1@office.example"))
        lab.eventually("the mailbox has it", lambda: delivered(office) == turn + 1, 20)
        lab.eventually("the queue has read everything", lambda: office.log().count("queue is up: ") == turn + 2, 30)
    assert waiting(office) == MESSAGES, (waiting(office), MESSAGES)
    print("note: %d messages wait; first 250 after kill -9 within %s s" % (MESSAGES, ", ".join("%.3f" % s for s in sorted(took))))
    assert min(took) < 3 * lab.SLOW, took            # a machine that does ten other things at once takes ten times as long
    office.destroy()


lab.main()
