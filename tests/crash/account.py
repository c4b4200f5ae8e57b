"""tests/crash/account.py - the accounting client: what was attempted, what was acknowledged with 250, what is found."""
import itertools, os, random, re, socket, threading, time

_runs = itertools.count(1)


class Account:
    """Senders that put unique tokens into messages for local users, over plain SMTP, as fast as they are let."""

    def __init__(self, port, users, senders=4, domain="office.example", on_ack=None, padding=2000, limit=None, pause=0):
        self.port, self.users, self.domain, self.on_ack, self.padding, self.limit = port, users, domain, on_ack, padding, limit
        self.longest = 0.0                                            # wait for a reply, in seconds
        self.pause = pause                                            # seconds between two messages of a sender, at most
        self.attempted, self.acked, self.lock = {}, set(), threading.Lock()
        self.stopping = threading.Event()
        self.refused = {}
        self.run = "%d.%d" % (os.getpid(), next(_runs))              # tokens of two accounts are never the same
        self.threads = [threading.Thread(target=self._sender, args=(i,), daemon=True) for i in range(senders)]

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(30)

    def wait(self):
        for t in self.threads:
            t.join()

    def _sender(self, number):
        n = 0
        while not self.stopping.is_set() and (self.limit is None or n < self.limit):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                    s.settimeout(20)
                    f = s.makefile("rb")
                    self._reply(f)
                    s.sendall(b"EHLO account.test\r\n")
                    self._reply(f)
                    while not self.stopping.is_set() and (self.limit is None or n < self.limit):
                        n += 1
                        if self.pause:
                            time.sleep(random.uniform(0, self.pause))
                        self._one(s, f, "t%s-%d-%d" % (self.run, number, n), self.users[(number + n) % len(self.users)])
            except (OSError, EOFError):
                time.sleep(0.02)                       # the server is being killed

    def _reply(self, f):
        began = time.monotonic()
        try:
            while True:
                line = f.readline()
                if not line.endswith(b"\n"):
                    raise EOFError
                if line[3:4] != b"-":
                    return line
        finally:
            self.longest = max(self.longest, time.monotonic() - began)

    def _one(self, s, f, token, user):
        with self.lock:
            self.attempted[token] = user
        s.sendall(("MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<%s@%s>\r\nDATA\r\n" % (user, self.domain)).encode())
        for _ in range(3):
            line = self._reply(f)
            if line[:1] not in b"23":
                self.refused[line[:3]] = self.refused.get(line[:3], 0) + 1
                raise EOFError
        s.sendall(("Subject: %s\r\nX-Token: <%s>\r\n\r\n%s\r\n[end %s]\r\n.\r\n" % (token, token, "padding " * (self.padding // 8), token)).encode())
        line = self._reply(f)
        if line[:3] == b"250":
            with self.lock:
                self.acked.add(token)
            if self.on_ack:
                self.on_ack(token)
        else:
            self.refused[line[:3]] = self.refused.get(line[:3], 0) + 1


TOKEN = re.compile(rb"X-Token: <([^>]+)>")


def found_below(mail_dir):
    """token -> how often it lies whole in a mailbox; and the list of broken files."""
    found, broken = {}, []
    for root, _, names in os.walk(mail_dir):
        if os.path.basename(root) not in ("new", "cur"):
            continue
        for name in names:
            try:
                with open(os.path.join(root, name), "rb") as f:
                    text = f.read()
            except FileNotFoundError:
                continue
            m = TOKEN.search(text)
            if m is None or not text.endswith(b"[end " + m.group(1) + b"]\r\n"):
                broken.append(os.path.join(root, name))
                continue
            token = m.group(1).decode()
            found[token] = found.get(token, 0) + 1
    return found, broken


def verdict(account, mail_dir):
    """(lost, doubled, broken files, not attempted by us)"""
    found, broken = found_below(mail_dir)
    lost = sorted(account.acked - set(found))
    doubled = sorted(t for t, n in found.items() if n > 1)
    foreign = sorted(set(found) - set(account.attempted))
    return lost, doubled, broken, foreign


def leftovers(state):
    """Files that belong to no message any more, once the queue is empty."""
    left = []
    for root, _, names in os.walk(os.path.join(state, "spool")):
        left += [os.path.join(root, n) for n in names if n.endswith((".eml", ".env", ".env.new", ".tmp")) or ".tmp." in n]
    for root, _, names in os.walk(os.path.join(state, "mail")):
        if os.path.basename(root) == "tmp":
            left += [os.path.join(root, n) for n in names]
    return left


def drained(office):
    """Has the queue told that it holds nothing?"""
    r = office.posthouse("queue", "list", check=False)
    return r.returncode == 0 and ("empty" in r.stdout.lower() or not r.stdout.strip())
