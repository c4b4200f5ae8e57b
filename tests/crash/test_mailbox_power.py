# not under sanitizers: the recording disk is slow enough without
"""tests/crash/test_mailbox_power.py - power cuts under mailboxes: APPEND, COPY, MOVE, STORE, EXPUNGE, POP3 QUIT, folders, folds; on ext4, XFS and btrfs.

A client works through the real imapd and pop3d on a recording disk. For each image that a cut could have left (unflushed writes dropped, kept in part,
kept) the mailbox is opened as after a new boot and compared with what had been acknowledged:

    at its OK    APPEND, COPY, MOVE, EXPUNGE, POP3 QUIT, CREATE, RENAME, DELETE: there, or gone, and nothing is there twice
    at CHECK     flags and keywords; until then a message may have any of the values since the last CHECK

UIDVALIDITY stays, no UID names two messages or comes again, the quota's sum is right, and verify finds nothing that its repair does not mend.
POWER_IMAGES=240 is the default over the three file systems; the long form by hand: POWER_IMAGES=3000 python3 tests/crash/test_mailbox_power.py
"""
# not under sanitizers: the images would be the same, and a check of each takes too long
import os, re, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab, recdisk
from wire import Imap, Pop3, message, numbers

IMAGES = int(os.environ.get("POWER_IMAGES", "240"))
ROUNDS = int(os.environ.get("POWER_ROUNDS", "4"))
BITS = {"\\Seen": 1, "\\Answered": 2, "\\Flagged": 4, "\\Deleted": 8, "\\Draft": 16}
NEVER = 1 << 60


class Entry:
    """A message under one UID: since which operation it is there, from which on it is not, and what its flags were."""

    def __init__(self, token, added, flags):
        self.token, self.added, self.removed, self.flags = token, added, NEVER, [(added, frozenset(flags))]


class Model:
    """What the client was told, operation by operation. Operation n is acknowledged when the mark n is in the record."""

    def __init__(self, mark):
        self.n, self.mark = 0, mark
        self.entries = {}                                # (uidvalidity, uid) -> Entry
        self.names = []                                  # [name, uidvalidity, from operation, to operation]
        self.checks = {}                                 # uidvalidity -> operations that made its flags durable
        self.moves, self.quits = {}, {}                  # operation -> [(entry before, entry after)], [entry]
        self.creates = {}                                # operation -> name
        self.kinds = {}

    def begin(self, kind):
        self.n += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def acked(self):
        self.mark("%d" % self.n)

    def folder(self, name):
        return next(f for f in self.names if f[0] == name and f[3] == NEVER)[1]

    def add(self, name, uid, token, flags):
        key = (self.folder(name), uid)
        assert key not in self.entries, "UID %d of %s was given twice" % (uid, name)
        self.entries[key] = Entry(token, self.n, flags)
        return self.entries[key]

    def live(self, name):
        uv = self.folder(name)
        return sorted(uid for (v, uid), x in self.entries.items() if v == uv and x.removed == NEVER)

    def entry(self, name, uid):
        return self.entries[self.folder(name), uid]


class Client:
    """Does things, and tells the model what was acknowledged."""

    def __init__(self, office, mark):
        self.office, self.m = office, Model(mark)
        self.c = Imap(office.port["imap"])
        self.serial = 0

    def known(self, name, kind="known"):
        """Takes a folder that is there into the model."""
        uv = self.uidvalidity(name)
        self.m.names.append([name, uv, self.m.n, NEVER])

    def uidvalidity(self, name):
        got = self.c.ask("STATUS %s (UIDVALIDITY)" % name)
        return int(re.search(rb"UIDVALIDITY (\d+)", b" ".join(got)).group(1))

    def append(self, name, flags=()):
        self.serial += 1
        token = "p%d" % self.serial
        self.m.begin("APPEND")
        uid, _ = self.c.append(name, message(token), " ".join(flags))
        self.m.add(name, uid, token, flags)
        self.m.acked()
        return uid

    def select(self, name):
        self.c.ask("SELECT " + name)
        self.at = name

    def _sets(self, got):
        m = re.search(rb"\[COPYUID \d+ (\S+) (\S+)\]", b" ".join(got))
        return zip(numbers(m.group(1).decode()), numbers(m.group(2).decode()))

    def copy(self, uids, to):
        self.m.begin("COPY")
        for old, new in self._sets(self.c.ask("UID COPY %s %s" % (",".join(map(str, uids)), to))):
            x = self.m.entry(self.at, old)
            self.m.add(to, new, x.token, x.flags[-1][1])
        self.m.acked()

    def move(self, uids, to):
        self.m.begin("MOVE")
        pairs = self.m.moves[self.m.n] = []
        for old, new in self._sets(self.c.ask("UID MOVE %s %s" % (",".join(map(str, uids)), to))):
            x = self.m.entry(self.at, old)
            x.removed = self.m.n
            pairs.append((x, self.m.add(to, new, x.token, x.flags[-1][1])))
        self.m.acked()

    def store(self, uids, how, flags):
        self.m.begin("STORE")
        self.c.ask("UID STORE %s %sFLAGS.SILENT (%s)" % (",".join(map(str, uids)), how, " ".join(flags)))
        for uid in uids:
            x = self.m.entry(self.at, uid)
            was = x.flags[-1][1]
            x.flags.append((self.m.n, was | set(flags) if how == "+" else was - set(flags) if how == "-" else frozenset(flags)))
        self.m.acked()

    def check(self):
        self.m.begin("CHECK")
        self.c.ask("CHECK")
        self.m.checks.setdefault(self.m.folder(self.at), []).append(self.m.n)
        self.m.acked()

    def expunge(self, uids=None):
        """All that are \\Deleted, or those of uids."""
        self.m.begin("EXPUNGE")
        self.c.ask("EXPUNGE" if uids is None else "UID EXPUNGE " + ",".join(map(str, uids)))
        for uid in self.m.live(self.at):
            x = self.m.entry(self.at, uid)
            if "\\Deleted" in x.flags[-1][1] and (uids is None or uid in uids):
                x.removed = self.m.n
        self.m.acked()

    def quit_with_deletions(self, wanted):
        p = Pop3(self.office.port["pop3"])
        uids = self.m.live("INBOX")[:wanted]
        for i in range(len(uids)):
            p.ask("DELE %d" % (i + 1))
        self.m.begin("QUIT")
        gone = self.m.quits[self.m.n] = [self.m.entry("INBOX", uid) for uid in uids]
        for x in gone:
            x.removed = self.m.n
        p.ask("QUIT")
        self.m.acked()
        p.close()

    def create(self, name):
        self.m.begin("CREATE")
        self.m.creates[self.m.n] = name
        self.c.ask("CREATE " + name)
        self.m.acked()
        self.m.names.append([name, self.uidvalidity(name), self.m.n, NEVER])

    def rename(self, name, to):
        self.m.begin("RENAME")
        self.c.ask("RENAME %s %s" % (name, to))
        old = next(f for f in self.m.names if f[0] == name and f[3] == NEVER)
        old[3] = self.m.n
        self.m.names.append([to, old[1], self.m.n, NEVER])
        self.m.acked()

    def delete(self, name):
        self.m.begin("DELETE")
        for uid in self.m.live(name):
            self.m.entry(name, uid).removed = self.m.n
        self.c.ask("DELETE " + name)
        next(f for f in self.m.names if f[0] == name and f[3] == NEVER)[3] = self.m.n
        self.m.acked()


def fill(c):
    """A folder large enough that its log is folded every dozen changes."""
    c.create("Bulk")
    for _ in range(12):
        c.append("Bulk")
    for _ in range(4):
        c.select("Bulk")
        c.copy(c.m.live("Bulk"), "Bulk")


def one_round(c, k):
    flags = [(), ("\\Seen",), ("\\Flagged", "$Work"), ("\\Answered", "\\Seen", "Label%d" % k)]
    for i in range(5):
        c.append("INBOX", flags[i % len(flags)])
    c.append("Archive")
    c.select("INBOX")
    uids = c.m.live("INBOX")
    c.store(uids[:3], "+", ("\\Seen", "$Round%d" % k))
    c.store(uids[1:2], "-", ("\\Seen",))
    c.check()
    c.store(uids[2:4], "", ("\\Draft",))
    c.copy(uids[:2], "Archive")
    c.move(uids[2:4], "Archive")
    c.move(uids[4:5], "Sent")
    c.select("Archive")
    uids = c.m.live("Archive")
    c.store(uids[::2], "+", ("\\Deleted",))
    c.expunge(uids[:3])
    c.expunge()
    c.move(c.m.live("Archive")[:1], "INBOX")
    c.c.ask("UNSELECT")
    c.quit_with_deletions(2)
    c.quit_with_deletions(1)
    c.create("Work/r%d" % k)
    c.append("Work/r%d" % k, ("$Kept",))
    c.rename("Work/r%d" % k, "Done-r%d" % k)
    c.append("Done-r%d" % k)
    if k > 0:
        c.delete("Done-r%d" % (k - 1))
        c.create("Done-r%d" % (k - 1))                    # the old name, but another folder to every client
    c.select("Bulk")
    for i in range(20):
        c.store(c.m.live("Bulk"), "+-"[i % 2], ("\\Flagged", "$Bulk%d" % k))
        if i % 5 == 4:
            c.check()
    c.c.ask("UNSELECT")


def record(recorder):
    office = lab.Appliance(users=1, settings={"state_directory": recorder.mnt + "/state", "journal_segment_size": "1M", "front_processes": "1",
                                              "queue_minfree": "1M"})
    office.down()
    shutil.rmtree(recorder.mnt + "/state")
    with recorder.recording() as mark:
        os.mkdir(recorder.mnt + "/state")
        office.up()
        c = Client(office, mark)
        for name in ("INBOX", "Archive", "Sent", "Trash", "Drafts", "Junk"):
            c.known(name)
        mark("0")
        fill(c)
        for k in range(ROUNDS):
            one_round(c, k)
        c.c.close()
        office.down()
    office.destroy()
    return c.m


# ---- the check of an image ----

class Seen:
    """What mailbox_dump told."""

    def __init__(self, text):
        self.folders, self.messages, self.bad, self.faults, self.left, self.quota = {}, {}, [], [], [], None
        octets = uv = 0
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "F":
                uv, uidnext, name = rest.split(" ", 2)
                uv = int(uv)
                self.folders[name] = (uv, int(uidnext))
            elif kind == "M":
                uid, size, flags, keywords, token, whole = rest.split(" ")
                self.messages[uv, int(uid)] = (token, int(flags, 16), frozenset(() if keywords == "-" else keywords.split(",")))
                octets += int(size)
                if whole != "1":
                    self.bad.append("UID %s (%s) is not whole" % (uid, token))
            elif kind == "Q":
                self.quota = tuple(map(int, rest.split(" ")))
            else:
                {"V": self.faults, "R": self.left, "E": self.bad}.get(kind, self.bad).append(rest)
        if self.quota != (octets, len(self.messages)):
            self.bad.append("the quota says %s, there are %s" % (self.quota, (octets, len(self.messages))))
        self.bad += ["after --repair: " + r for r in self.left]


def as_disk(flags):
    return sum(BITS[f] for f in flags if f in BITS), frozenset(f for f in flags if f not in BITS)


def allowed_flags(m, uv, x, k):
    """The values between the last CHECK (or the message's coming) and the operation that was under way."""
    floor = max([n for n in m.checks.get(uv, []) if x.added <= n <= k], default=x.added)
    before = [v for n, v in x.flags if n <= floor][-1]
    return [as_disk(before)] + [as_disk(v) for n, v in x.flags if floor < n <= k + 1]


def compare_messages(m, seen, k):
    bad = []
    for (uv, uid), (token, flags, keywords) in seen.messages.items():
        x = m.entries.get((uv, uid))
        if x is None or x.added > k + 1 or x.token != token:
            bad.append("UID %d of %d is %s: nobody was told so" % (uid, uv, token))
        elif x.removed <= k:
            bad.append("UID %d of %d (%s) is back, operation %d had removed it" % (uid, uv, token, x.removed))
        elif (flags, keywords) not in allowed_flags(m, uv, x, k):
            bad.append("UID %d of %d (%s) has flags %x %s, not one of %s" % (uid, uv, token, flags, sorted(keywords), allowed_flags(m, uv, x, k)))
    for (uv, uid), x in m.entries.items():
        if x.added <= k and x.removed > k + 1 and (uv, uid) not in seen.messages:
            bad.append("UID %d of %d (%s) is lost" % (uid, uv, x.token))
    return bad


def compare_under_way(m, seen, k):
    """The operation that the cut interrupted: a move is not two messages and not none, a QUIT is all or nothing."""
    there = {id(x) for key, x in m.entries.items() if key in seen.messages}
    bad = ["%s is in %d folders during MOVE" % (a.token, (id(a) in there) + (id(b) in there))
           for a, b in m.moves.get(k + 1, []) if (id(a) in there) == (id(b) in there)]
    gone = m.quits.get(k + 1, [])
    if 0 < sum(id(x) in there for x in gone) < len(gone):
        bad.append("QUIT removed a part: %s" % [(x.token, id(x) in there) for x in gone])
    return bad


def compare_folders(m, seen, k):
    bad = []
    for name, (uv, uidnext) in seen.folders.items():
        if m.creates.get(k + 1) != name and not any(f[0] == name and f[1] == uv and f[2] <= k + 1 and f[3] > k for f in m.names):
            bad.append("folder %s with UIDVALIDITY %d: nobody was told so" % (name, uv))
        told = max((uid for (v, uid), x in m.entries.items() if v == uv and x.added <= k), default=0)
        if uidnext <= told:
            bad.append("folder %s: UIDNEXT %d, but UID %d was given" % (name, uidnext, told))
    for name, uv, since, until in m.names:
        if since <= k and until > k + 1 and seen.folders.get(name, (0, 0))[0] != uv:
            bad.append("folder %s with UIDVALIDITY %d is lost" % (name, uv))
    return bad


def look(image, recorder):
    """Opens the mailbox of an image as after a new boot."""
    disk = recdisk.Disk(image, recorder.mnt, recorder.fs)
    try:
        tool = os.path.join(lab.HERE, lab.BUILD, "tests/crash/mailbox_dump")
        r = subprocess.run(["unshare", "-T", "--boottime", "100000", tool, "-v", recorder.mnt + "/state/mail/office.example/u1"], capture_output=True, text=True)
        return Seen(r.stdout if r.returncode in (0, 1) else r.stdout + "\nE status %d: %s" % (r.returncode, r.stderr))
    finally:
        disk.done()


def power(fs):
    recdisk.possible(fs)
    work = tempfile.mkdtemp(prefix="mpower.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        recorder = recdisk.Recorder(fs, work)
        m = record(recorder)
        bad, images, repaired, stake = [], 0, 0, 0
        for what, marks, image in recdisk.cut_images(recorder, IMAGES // 3 + 3):
            if not marks:
                continue
            k = int(marks[-1])
            keep = os.environ.get("POWER_KEEP")
            if keep:
                shutil.copy(image, image + ".before")
            seen = look(image, recorder)
            images += 1
            repaired += bool(seen.faults)
            stake += sum(x.added <= k < x.removed for x in m.entries.values())
            found = seen.bad + compare_messages(m, seen, k) + compare_under_way(m, seen, k) + compare_folders(m, seen, k)
            if seen.faults and os.environ.get("POWER_FAULTS"):
                print(what, seen.faults[:4])
            if found:
                bad.append((what, "operation %d acknowledged" % k, found[:4], len(found)))
                if keep:
                    shutil.copy(image + ".before", "/tmp/bad-%s-%d.img" % (fs, images))
            if len(bad) >= int(os.environ.get("POWER_BAD", "5")):
                break
        print("note: %s: %d images of %d operations (%s), %d messages at stake over all images, verify had something to mend in %d; %d images bad" % (
            fs, images, m.n, ", ".join("%d %s" % (n, k) for k, n in sorted(m.kinds.items())), stake, repaired, len(bad)))
        assert not bad, "\n".join(map(str, bad))
        assert images >= IMAGES // 4, "only %d images" % images
    finally:
        shutil.rmtree(work, ignore_errors=True)


def test_power_cut_under_mailboxes_ext4():
    power("ext4")


def test_power_cut_under_mailboxes_xfs():
    power("xfs")


def test_power_cut_under_mailboxes_btrfs():
    power("btrfs")


lab.main()
