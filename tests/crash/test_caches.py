"""tests/crash/test_caches.py - posthouse.log, .index and .cache deleted in the middle of sessions: same UIDs, UIDVALIDITY, UIDLs, flags and keywords, and
mbsync transfers nothing."""
import os, re, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab
from wire import Imap, Pop3, message

FILES = ["posthouse.log", "posthouse.index", "posthouse.cache"]
FOLDERS = ["INBOX", "Archive"]
N = 40


def place(office, folder):
    return os.path.join(office.dir, "state/mail", office.domain, "u1", "" if folder == "INBOX" else "." + folder)


def fill(office):
    c = Imap(office.port["imap"])
    for folder in FOLDERS:
        for i in range(N):
            c.append(folder, message("%s-%d" % (folder, i)), ["", "\\Seen", "\\Flagged $Work", "\\Answered \\Draft"][i % 4])
        c.ask("SELECT " + folder)
        c.ask("STORE 3 +FLAGS (%s)" % " ".join("Key%d" % k for k in range(30)))          # more than have a letter
        c.ask("STORE 5,6 +FLAGS (\\Deleted)")
        c.ask("EXPUNGE")
        for _ in range(60):                              # so that there is an index too, and a log behind it
            c.ask("STORE 1:* +FLAGS.SILENT ($Fold)")
            c.ask("STORE 1:* -FLAGS.SILENT ($Fold)")
        c.ask("STORE 7 +FLAGS (\\Answered $Late)")
        time.sleep(1.2)                                  # names follow flags within a second of somebody looking
        c.ask("NOOP")
        c.ask("NOOP")
        assert all(os.path.exists(os.path.join(place(office, folder), f)) for f in FILES), os.listdir(place(office, folder))
    c.close()


def picture(c):
    """Of the selected folder: uid -> flags and size, as a session sees it. A rebuilt folder has new MODSEQs, which may be told; nothing else may."""
    got, told = {}, {}
    for line in c.ask("UID FETCH 1:* (UID FLAGS RFC822.SIZE)")[:-1]:
        m = re.match(rb"\* (\d+) FETCH \(UID (\d+) (?:MODSEQ \(\d+\) )?FLAGS \(([^)]*)\)(?: RFC822.SIZE (\d+))?", line)
        assert m is not None, line
        flags = frozenset(m.group(3).split()) - {b"\\Recent"}
        told[int(m.group(2))] = flags
        if m.group(4):
            got[int(m.group(2))] = (flags, int(m.group(4)))
    assert all(got[uid][0] == flags for uid, flags in told.items())
    return got


def numbers_of(c, folder):
    text = b" ".join(c.ask("STATUS %s (UIDVALIDITY UIDNEXT HIGHESTMODSEQ MESSAGES)" % folder))
    return {k: int(re.search(k.encode() + rb" (\d+)", text).group(1)) for k in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ", "MESSAGES")}


class Mbsync:
    """A real mbsync of u1 to a Maildir; run() says what it changed."""

    def __init__(self, office):
        lab.need("mbsync")
        self.dir = tempfile.mkdtemp(prefix="mbsync.", dir=office.dir)
        os.mkdir(self.dir + "/mail")
        with open(self.dir + "/rc", "w") as f:
            f.write("IMAPAccount a\nHost localhost\nPort %d\nUser u1@office.example\nPass secret\nSSLType IMAPS\nCertificateFile %s\n\n"
                    "IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/mail/\nInbox %s/mail/INBOX\nSubFolders Verbatim\n\n"
                    "Channel c\nFar :far:\nNear :near:\nPatterns INBOX Archive\nCreate Near\nExpunge Both\nSyncState *\n" % (
                        office.port["imaps"], office.ca, self.dir, self.dir))

    def run(self):
        r = subprocess.run(["mbsync", "-c", self.dir + "/rc", "-a"], capture_output=True, text=True)
        assert r.returncode == 0, r.stdout + r.stderr

    def state(self):
        found = {}
        for top, _, names in os.walk(self.dir + "/mail"):
            for name in names:
                path = os.path.join(top, name)
                found[path] = open(path).read() if name == ".mbsyncstate" else os.stat(path).st_ino
        return found


def delete(office, mask):
    for folder in FOLDERS:
        for i, name in enumerate(FILES):
            path = os.path.join(place(office, folder), name)
            if mask >> i & 1 and os.path.exists(path):
                os.unlink(path)


def test_deleted_in_the_middle_of_sessions():
    office = lab.Appliance(users=1)
    fill(office)
    mbsync = Mbsync(office)
    mbsync.run()
    synced = mbsync.state()
    assert sum(isinstance(v, int) for v in synced.values()) >= 2 * (N - 2), len(synced)
    sessions = {f: Imap(office.port["imap"]) for f in FOLDERS}
    before, facts = {}, {}
    for f, c in sessions.items():
        c.ask("SELECT " + f)
        before[f] = picture(c)
        facts[f] = numbers_of(c, f)
    p = Pop3(office.port["pop3"])
    uidls = p.lines("UIDL")
    texts = {n: p.lines("RETR %d" % n) for n in (1, 7, len(uidls))}
    for mask in range(1, 8):
        sessions["INBOX"].send("UID FETCH 1:* (UID BODY.PEEK[])")                        # under way while they go
        delete(office, mask)
        bodies = [line for line in sessions["INBOX"].finish()[:-1] if b"BODY[" in line]
        assert len(bodies) == len(before["INBOX"]) and all(b"[end INBOX-" in line for line in bodies), (mask, len(bodies))
        for f, c in sessions.items():
            assert picture(c) == before[f], (mask, f)
            now = numbers_of(c, f)
            assert now["UIDVALIDITY"] == facts[f]["UIDVALIDITY"] and now["MESSAGES"] == facts[f]["MESSAGES"], (mask, f, now, facts[f])
            assert now["UIDNEXT"] >= facts[f]["UIDNEXT"] and now["HIGHESTMODSEQ"] >= facts[f]["HIGHESTMODSEQ"], (mask, f, now, facts[f])
            facts[f] = now
            new = Imap(office.port["imap"])
            new.ask("SELECT " + f)
            assert picture(new) == before[f], (mask, f)
            new.close()
        assert p.lines("UIDL") == uidls and all(p.lines("RETR %d" % n) == t for n, t in texts.items()), mask
        mbsync.run()
        assert mbsync.state() == synced, "mbsync changed something after deleting %d" % mask
        # And the sessions go on changing things. What is in no name yet when the log goes, is in the memory of whoever has the folder open.
        for f, c in sessions.items():
            first = min(before[f])
            c.ask("UID STORE %d %sFLAGS (\\Flagged $Late)" % (first, "-" if b"\\Flagged" in before[f][first][0] else "+"))
            before[f] = picture(c)
        mbsync.run()
        synced = mbsync.state()
    uid, _ = sessions["INBOX"].append("INBOX", message("last"))
    assert uid >= facts["INBOX"]["UIDNEXT"] > max(before["INBOX"])
    p.ask("QUIT")
    for c in sessions.values():
        c.close()
    office.posthouse("verify", "u1")
    again = Pop3(office.port["pop3"])
    assert again.lines("UIDL")[:len(uidls)] == uidls
    again.close()
    print("note: 7 times two folders without some of log, index and cache: %d messages, their UIDs, flags and keywords stay, mbsync transfers nothing" % (
        sum(map(len, before.values()))))
    office.destroy()


lab.main()
