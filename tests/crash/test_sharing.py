"""tests/crash/test_sharing.py - everybody at one user's mailbox: eight IMAP clients, eight POP3 clients, eight senders, eight commands, at once.

ledger.py follows every UID. Each client checks its own view as RFC 3501 has it: sequence numbers and UIDs fit together, EXISTS never shrinks, EXPUNGE
never comes where it may not, SEARCH finds what the view has, and at the end, when all is quiet, the view is what a new client sees.
SHARING_SECONDS=20 is the default; the long form by hand: SHARING_SECONDS=600 python3 tests/crash/test_sharing.py
"""
import os, random, re, subprocess, sys, threading, time, traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab
from account import Account
from ledger import Ledger, Violation
from wire import Imap, Pop3, Refused, message, numbers

SECONDS = float(os.environ.get("SHARING_SECONDS", "10" if lab.SANITIZED else "20"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
FOLDERS = ["INBOX", "Archive", "Sent"]
MANY = 80                                                # a folder that has more is made smaller
TOKEN = re.compile(rb"X-Token: <([^>]+)>")
WORK = "FETCH %s (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Token)])"


class View:
    """A selected folder as an IMAP client knows it: what the server tells, and nothing else."""

    def __init__(self, ledger, name, since):
        self.ledger, self.name, self.since, self.uv = ledger, name, since, None
        self.uids, self.flags = [], {}                   # None: not told yet
        self.gone = set()

    def say(self, text, *args):
        raise Violation(("%s: " + text) % ((self.name,) + args))

    def take(self, line, expunges=True):
        """One untagged line."""
        m = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)|\* (VANISHED) ([\d:,]+)|\* (SEARCH)(.*)|\* OK \[(UIDVALIDITY|UIDNEXT) (\d+)\]", line)
        if m is None:
            return
        if m.group(7) == b"UIDVALIDITY":
            self.uv = int(m.group(8))
        elif m.group(7) == b"UIDNEXT":
            self.ledger.next_uid(self.uv, int(m.group(8)), self.since)
        elif m.group(2) == b"EXISTS":
            self._exists(int(m.group(1)))
        elif m.group(2) == b"FETCH":
            self._fetch(int(m.group(1)), line)
        elif m.group(5):
            self._search([int(w) for w in m.group(6).split()])
        elif not expunges:
            self.say("%r during a command by sequence numbers", line)
        elif m.group(2):
            self._expunge(int(m.group(1)))
        else:
            for uid in reversed(numbers(m.group(4).decode())):
                self._vanished(uid)

    def _exists(self, n):
        if n < len(self.uids):
            self.say("EXISTS %d, but there are %d", n, len(self.uids))
        self.uids += [None] * (n - len(self.uids))

    def _drop(self, at):
        uid = self.uids.pop(at)
        if uid is not None:
            self.gone.add(uid)
            self.flags.pop(uid, None)
            self.ledger.lost(self.uv, [uid])

    def _expunge(self, n):
        if not 1 <= n <= len(self.uids):
            self.say("EXPUNGE %d of %d", n, len(self.uids))
        self._drop(n - 1)

    def _vanished(self, uid):
        if uid in self.uids:
            self._drop(self.uids.index(uid))
            return
        for at, known in enumerate(self.uids):           # or it is one of those whose UIDs nobody told us
            if known is None and self._fits(at, uid):
                self.gone.add(uid)
                del self.uids[at]
                return
        self.say("VANISHED %d, which was not there", uid)

    def _fits(self, at, uid):
        before = [u for u in self.uids[:at] if u is not None][-1:] or [0]
        after = [u for u in self.uids[at + 1:] if u is not None][:1] or [1 << 32]
        return before[0] < uid < after[0]

    def _fetch(self, n, line):
        if not 1 <= n <= len(self.uids):
            self.say("FETCH %d of %d", n, len(self.uids))
        head = line.split(b"BODY[", 1)[0]
        m = re.search(rb"\bUID (\d+)", head)
        if m is not None:
            self._uid(n, int(m.group(1)))
        uid = self.uids[n - 1]
        flags = re.search(rb"FLAGS \(([^)]*)\)", head)
        if flags is not None and uid is not None:
            self.flags[uid] = frozenset(f for f in flags.group(1).split() if f.lower() != b"\\recent")
        token = TOKEN.search(line)
        if token is not None and uid is not None:
            self.ledger.saw(self.uv, uid, token.group(1).decode())

    def _uid(self, n, uid):
        if self.uids[n - 1] not in (None, uid):
            self.say("message %d was UID %d and is UID %d", n, self.uids[n - 1], uid)
        if uid in self.gone:
            self.say("UID %d was gone and is there again", uid)
        known = [u for u in self.uids[:n - 1] if u is not None][-1:] + [uid] + [u for u in self.uids[n:] if u is not None][:1]
        if known != sorted(set(known)):
            self.say("UIDs do not ascend: %s", known)
        self.uids[n - 1] = uid

    def _search(self, found):
        if None not in self.uids and sorted(found) != self.uids:
            self.say("SEARCH ALL found %d, the view has %d: %s", len(found), len(self.uids), sorted(set(found) ^ set(self.uids))[:5])


class Reader:
    """An IMAP client that does what comes to its mind."""

    def __init__(self, office, ledger, number):
        self.office, self.ledger, self.number = office, ledger, number
        self.rng = random.Random(SEED + number)
        self.qresync = number % 2 == 1
        self.serial = 0
        self.done = {}
        self.connect()

    def connect(self):
        self.c = Imap(self.office.port["imap"])
        if self.qresync:
            self.c.ask("ENABLE QRESYNC")
        self.select(self.rng.choice(FOLDERS))

    def select(self, name):
        self.v = View(self.ledger, name, time.monotonic())
        self.ask("SELECT " + name)
        self.look()
        self.ledger.listed(self.v.uv, [u for u in self.v.uids if u is not None], self.v.since)

    def ask(self, command, expunges=True):
        self.done[command.split()[0]] = self.done.get(command.split()[0], 0) + 1
        try:
            got = self.c.ask(command)
        except Refused as e:
            for line in e.args[1]:
                self.v.take(line, expunges)
            self.done["NO"] = self.done.get("NO", 0) + 1
            if not re.match(r"NO \[(NONEXISTENT|UNAVAILABLE|EXPUNGEISSUED)|NO ", e.args[0]):
                raise
            return None
        for line in got[:-1]:
            self.v.take(line, expunges)
        return got

    def look(self):
        """Asks for what it was not told yet."""
        while None in self.v.uids:
            first = self.v.uids.index(None) + 1
            self.ask(WORK % ("%d:*" % first), expunges=False)
            if None in self.v.uids:                      # gone already, which FETCH may not say (RFC 3501 7.4.1)
                self.ask("NOOP")

    def some(self, most=4):
        known = [u for u in self.v.uids if u is not None and self.ledger.is_known(self.v.uv, u)]
        return sorted(self.rng.sample(known, min(len(known), self.rng.randint(1, most))))

    def step(self):
        self.rng.choice([self.append, self.flags, self.flags, self.copy, self.move, self.delete, self.noop, self.idle, self.read, self.search,
                         self.leave, self.fetch_all])()
        self.look()

    def append(self):
        if len(self.v.uids) > MANY:
            return self.delete(12)
        self.serial += 1
        token, name = "i%d-%d" % (self.number, self.serial), self.rng.choice(FOLDERS)
        self.c.send("APPEND %s (%s) {%d+}\r\n" % (name, self.rng.choice(["", "\\Seen", "$A \\Flagged"]), len(message(token))) + message(token).decode())
        got = self.c.finish()
        m = re.search(rb"\[APPENDUID (\d+) (\d+)\]", got[-1])
        self.ledger.make(int(m.group(1)), int(m.group(2)), token, "APPEND")
        for line in got[:-1]:
            self.v.take(line)

    def flags(self):
        uids = self.some()
        if uids:
            word = self.rng.choice(["\\Seen", "\\Flagged", "\\Answered", "$A", "$B", "$C%d" % self.number])
            self.ask("UID STORE %s %sFLAGS (%s)" % (",".join(map(str, uids)), self.rng.choice("+-"), word))

    def _pairs(self, command, uids):
        was = {u: self.ledger.token[self.v.uv, u] for u in uids}
        got = self.ask(command)
        m = got and re.search(rb"\[COPYUID (\d+) (\S+) (\S+?)\]", b" ".join(got))
        if m:
            for old, new in zip(numbers(m.group(2).decode()), numbers(m.group(3).decode())):
                self.ledger.make(int(m.group(1)), new, was[old], command.split()[1], (self.v.uv, old))

    def copy(self):
        uids = self.some(3)
        if uids and len(self.v.uids) < MANY:
            self._pairs("UID COPY %s %s" % (",".join(map(str, uids)), self.rng.choice(FOLDERS)), uids)

    def move(self):
        uids = self.some(3)
        if uids:
            self.ledger.intend(self.v.uv, uids, move=True)
            self._pairs("UID MOVE %s %s" % (",".join(map(str, uids)), self.rng.choice([f for f in FOLDERS if f != self.v.name])), uids)

    def delete(self, most=2):
        uids = self.some(most)
        if uids:
            self.ledger.intend(self.v.uv, uids)
            self.ask("UID STORE %s +FLAGS (\\Deleted)" % ",".join(map(str, uids)))
            self.ask(self.rng.choice(["EXPUNGE", "UID EXPUNGE " + ",".join(map(str, uids))]))

    def noop(self):
        self.ask(self.rng.choice(["NOOP", "CHECK"]))

    def idle(self):
        self.c.send("IDLE")
        while True:
            line = self.c.line()
            if line.startswith(b"+"):
                break
            self.v.take(line)
        time.sleep(self.rng.uniform(0, 0.1))
        self.c.s.sendall(b"DONE\r\n")
        for line in self.c.finish()[:-1]:
            self.v.take(line)

    def read(self):
        uids = self.some(2)
        if uids:
            self.ask("UID FETCH %s (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])" % ",".join(map(str, uids)))

    def search(self):
        self.ask(self.rng.choice(["UID SEARCH ALL", "UID SEARCH UNDELETED DELETED NOT ALL", "STATUS INBOX (MESSAGES UIDNEXT)"][:1]))

    def fetch_all(self):
        if self.v.uids:
            self.ask("FETCH 1:* (UID FLAGS)", expunges=False)

    def leave(self):
        how = self.rng.randrange(4)
        if how == 0:
            self.c.close()
            self.connect()
        else:
            if how == 1:
                self.ask("CLOSE")
            self.select(self.rng.choice(FOLDERS))

    def last_look(self):
        """When all is quiet: what it knows by now, to be compared with what a new client sees."""
        self.ask("NOOP")
        self.look()
        return self.v.uv, {u: self.v.flags.get(u) for u in self.v.uids}


def popper(office, ledger, number, stop, figures):
    """Reads by POP3, and deletes one or two."""
    rng = random.Random(SEED + 100 + number)
    while not stop.is_set():
        since = time.monotonic()
        try:
            p = Pop3(office.port["pop3"], "u1" + rng.choice(["", "+Archive", "+Sent"]))
        except Refused as e:
            assert "[IN-USE]" in e.args[0], e.args
            figures["IN-USE"] = figures.get("IN-USE", 0) + 1
            time.sleep(rng.uniform(0.01, 0.2))
            continue
        ids = [line.split() for line in p.lines("UIDL")]
        there = {int(n): (int(x[8:], 16), int(x[:8], 16)) for n, x in ids}
        for uv, uid in there.values():
            ledger.listed(uv, [uid], since)
        assert len(there) == int(p.ask("STAT").split()[1])
        marked = []
        for n in rng.sample(sorted(there), min(len(there), 3)):
            try:
                text = b"".join(p.lines("RETR %d" % n))
            except Refused:
                continue                                 # somebody deleted it meanwhile
            token = TOKEN.search(text).group(1)
            assert text.endswith(b"[end " + token + b"]\r\n"), text[-100:]
            ledger.saw(*there[n], token.decode())
            if rng.random() < 0.1:
                ledger.intend(there[n][0], [there[n][1]])
                p.ask("DELE %d" % n)
                marked.append(there[n])
        p.ask("QUIT")
        p.close()
        for uv, uid in marked:
            ledger.lost(uv, [uid])
        figures["POP3"] = figures.get("POP3", 0) + 1
        time.sleep(rng.uniform(0, 0.2))                  # or nothing would stay for the others


def commander(office, ledger, number, stop, figures):
    """verify, quota, import and export, one after the other."""
    turn = 0
    own = os.path.join(office.dir, "command%d" % number)
    while not stop.is_set():
        turn += 1
        what = ("verify", "quota", "import", "export")[(turn + number) % 4]
        if what == "import":
            tokens = ["m%d-%d-%d" % (number, turn, k) for k in range(2)]
            with open(own + ".mbox", "wb") as f:
                for t in tokens:
                    f.write(b"From x Thu Jan  1 00:00:00 2026\n" + message(t).replace(b"\r\n", b"\n") + b"\n")
            office.posthouse("import", "mbox", "--folder", "Archive", "u1", own + ".mbox")
            ledger.sent.update({t: "import" for t in tokens})
        elif what == "export":
            if os.path.exists(own + ".out"):
                os.unlink(own + ".out")
            office.posthouse("export", "mbox", "--folder", "Archive", "u1", own + ".out")
        else:
            office.posthouse(*([what, "u1"]))
        figures[what] = figures.get(what, 0) + 1
        stop.wait(0.2)


class Crew:
    """Threads that all stop when one fails."""

    def __init__(self):
        self.stop, self.failed, self.threads = threading.Event(), [], []

    def add(self, fn, *args):
        def run():
            try:
                fn(*args)
            except BaseException:
                self.failed.append(traceback.format_exc())
                self.stop.set()
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def finish(self):
        self.stop.set()
        for t in self.threads:
            t.join(60 * lab.SLOW)
        hung = sum(t.is_alive() for t in self.threads)
        assert not hung, "%d of %d clients hang" % (hung, len(self.threads))
        assert not self.failed, "\n".join(self.failed[:3])


def read_along(reader, stop):
    try:
        while not stop.is_set():
            reader.step()
    except BaseException as e:
        story = b"\n".join(reader.c.story).decode(errors="replace")
        raise AssertionError("client %d, %s: %s; it heard:\n%s\nits view: %s" % (reader.number, reader.v.name, e, story, reader.v.uids)) from e


def truth(office, ledger):
    """What a new client sees: (all messages and their tokens, {uidvalidity: {uid: flags}})."""
    there, flags = {}, {}
    c = Imap(office.port["imap"])
    for name in FOLDERS:
        v = View(ledger, name, time.monotonic())
        for line in c.ask("SELECT " + name)[:-1]:
            v.take(line)
        if v.uids:
            for line in c.ask("FETCH 1:* (UID FLAGS BODY.PEEK[])")[:-1]:
                v.take(line)
        assert None not in v.uids
        there.update({(v.uv, u): ledger.token[v.uv, u] for u in v.uids})
        flags[v.uv] = v.flags
    c.close()
    return there, flags


def test_everybody_at_one_mailbox():
    print("note: SEED=%d" % SEED)
    office = lab.Appliance(users=1, settings={"mail_user_connection_limit": "100", "smtpd_client_connection_limit": "0", "checkpoint_interval": "1s"})
    ledger, crew, figures = Ledger(), Crew(), {}
    readers = [Reader(office, ledger, n) for n in range(8)]
    senders = Account(office.port["smtp"], ["u1"], senders=8, pause=1.0, padding=300, on_ack=lambda t: ledger.sent.__setitem__(t, "250"))
    senders.start()
    for n in range(8):
        crew.add(read_along, readers[n], crew.stop)
        crew.add(popper, office, ledger, n, crew.stop, figures)
        crew.add(commander, office, ledger, n, crew.stop, figures)
    crew.stop.wait(SECONDS)
    senders.stop()
    crew.finish()
    lab.eventually("the queue is empty", lambda: "empty" in office.posthouse("queue", "list").lower() or not office.posthouse("queue", "list").strip(), 20)
    time.sleep(0.2)

    there, flags = truth(office, ledger)
    for r in readers:
        uv, known = r.last_look()
        assert known == flags[uv], "client %d: %s" % (r.number, sorted(set(known.items()) ^ set(flags[uv].items()), key=str)[:4])
        r.c.close()
    bad, text = ledger.settle(there)
    for r in readers:
        for k, n in r.done.items():
            figures[k] = figures.get(k, 0) + n
    print("note: %s" % text)
    print("note: %s" % ", ".join("%d %s" % (n, k) for k, n in sorted(figures.items())))
    assert not bad, "\n".join(bad[:8])
    office.posthouse("verify", "u1")
    tool = os.path.join(lab.HERE, lab.BUILD, "tests/crash/mailbox_dump")
    dump = subprocess.run([tool, os.path.join(office.dir, "state/mail", office.domain, "u1")], capture_output=True, text=True).stdout
    assert sum(line.startswith("M ") for line in dump.splitlines()) == len(there)
    assert "Q %d %d" % (sum(int(line.split()[2]) for line in dump.splitlines() if line[:2] == "M "), len(there)) in dump, dump[-200:]
    errors = [line for line in office.log().splitlines() if " error: " in line]
    assert not errors, errors[:3]
    office.destroy()


lab.main()
