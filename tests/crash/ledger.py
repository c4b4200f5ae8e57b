"""tests/crash/ledger.py - the life of every UID, as all clients of one mailbox together saw it. What is told here is checked at once."""
import threading, time


class Violation(AssertionError):
    """Something that no history of the mailbox explains."""


class Ledger:
    """A message is (uidvalidity, uid). Times are of the monotonic clock, taken before a question is asked and after an answer is there."""

    def __init__(self):
        self.lock = threading.Lock()
        self.token = {}                                  # message -> token
        self.made = {}                                   # message -> APPEND, COPY or MOVE that said OK
        self.intended = set()                            # messages that somebody began to delete or to move away
        self.marked = set()                              # of those, the ones that may have \\Deleted, which a copy inherits
        self.gone = {}                                   # message -> since when somebody knows that it is gone
        self.created = {}                                # uidvalidity -> [(time, uid)] of OKs
        self.sent = {}                                   # token -> how: acknowledged deliveries and imports

    def saw(self, uv, uid, token):
        with self.lock:
            if self.token.setdefault((uv, uid), token) != token:
                raise Violation("UID %d of %d is %s and %s" % (uid, uv, self.token[uv, uid], token))

    def listed(self, uv, uids, since):
        """A client that asked at `since` was told that these are there."""
        with self.lock:
            back = [u for u in uids if self.gone.get((uv, u), since) < since]
        if back:
            raise Violation("UIDs %s of %d were gone and are there again" % (back[:5], uv))

    def next_uid(self, uv, uidnext, since):
        with self.lock:
            late = [u for t, u in self.created.get(uv, []) if t < since and u >= uidnext]
        if late:
            raise Violation("UIDNEXT of %d is %d, but %s had been given" % (uv, uidnext, late[:5]))

    def make(self, uv, uid, token, how, source=None):
        self.saw(uv, uid, token)
        with self.lock:
            if source in self.marked:
                self.intended.add((uv, uid))
                self.marked.add((uv, uid))
            if (uv, uid) in self.made:
                raise Violation("%s and %s both got UID %d of %d" % (self.made[uv, uid], how, uid, uv))
            self.made[uv, uid] = how
            self.created.setdefault(uv, []).append((time.monotonic(), uid))

    def intend(self, uv, uids, move=False):
        """Before the command goes out."""
        with self.lock:
            self.intended |= {(uv, u) for u in uids}
            if not move:
                self.marked |= {(uv, u) for u in uids}

    def is_known(self, uv, uid):
        with self.lock:
            return (uv, uid) in self.token

    def lost(self, uv, uids):
        """A client was told that they are gone. Whether somebody wanted it is asked at the end: who copied what is marked may not have heard so yet."""
        now = time.monotonic()
        with self.lock:
            for u in uids:
                self.gone.setdefault((uv, u), now)

    def settle(self, there):
        """At the end, when all is quiet: there is {message: token}. Returns what is wrong, and figures."""
        bad = []
        for key, token in there.items():
            self.saw(key[0], key[1], token)
            if key in self.gone:
                bad.append("%s was gone and is there" % (key,))
        for key, token in self.token.items():
            if key not in self.intended and (key in self.gone or key not in there):
                bad.append("%s (%s) is lost: nobody deleted it" % (key, token))
        origins = {}
        for key, token in self.token.items():
            if self.made.get(key) != "COPY" and self.made.get(key) != "MOVE":
                origins.setdefault(token, []).append(key)
        for token, keys in origins.items():
            if len(keys) != 1:
                bad.append("%s came into being %d times: %s" % (token, len(keys), keys))
        bad += ["%s was acknowledged (%s) and is nowhere" % (t, how) for t, how in self.sent.items() if t not in origins]
        return bad, "%d messages, %d of them made by COPY and MOVE, %d gone, %d there; %d tokens, %d acknowledged deliveries and imports" % (
            len(self.token), sum(h in ("COPY", "MOVE") for h in self.made.values()), len(self.token) - len(there), len(there), len(origins), len(self.sent))
