"""tests/crash/queue_tree.py - queue, deliver and client in a tree of their own, fed by queue_lab without SMTP; and the accounting."""
import os, random, re, shutil, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import lab

LAB = os.path.join(lab.HERE, lab.BUILD, "tests", "crash", "queue_lab")
POSTHOUSE = os.path.join(lab.BIN, "posthouse")
NOBODY = 65534


def _drop():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


class Tree:
    """No root needed; root becomes nobody. SEED=N in the environment plays a run again."""

    def __init__(self, name, users, checkpoint):
        self.users = users
        self.seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        random.seed(self.seed)
        self.top = top = tempfile.mkdtemp(prefix=name + ".")
        self.conf = top + "/posthouse.conf"
        for d in ("run", "spool", "mail", "state"):
            os.mkdir(f"{top}/{d}")
        with open(self.conf, "w") as f:
            f.write(f"myhostname = mail.office.test\nmydestination = office.test\nstate_directory = {top}/state\nruntime_directory = {top}/run\n"
                    f"spool_directory = {top}/spool\nmail_directory = {top}/mail\nconfig_directory = {top}\nlog_target = {top}/log\n"
                    f"mail_owner =\nfront_processes = 2\ncheckpoint_interval = {checkpoint}\njournal_segment_size = 4M\n")
        for n in range(1, users + 1):
            subprocess.run([POSTHOUSE, "-C", self.conf, "user", "add", "--password-stdin", f"u{n}@office.test"], input=b"secret%d\n" % n, check=True,
                           stdout=subprocess.DEVNULL)
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", top], check=True)

    def start(self, messages, **more):
        """The supervisor, whose fronts submit so many messages each. more: LAB_OPEN and the like."""
        env = dict(os.environ, LAB_MESSAGES=str(messages), LAB_SIZE="3000", LAB_ACKS=self.top + "/acks", LAB_USERS=str(self.users), **more)
        self.super = subprocess.Popen([LAB, "-C", self.conf, "-f"], env=env, preexec_fn=_drop, stderr=subprocess.DEVNULL)

    def stop(self):
        self.super.terminate()
        self.super.wait()

    def children(self):
        return lab.children(self.super.pid)

    def text(self, name):
        try:
            with open(f"{self.top}/{name}", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def drain(self, seconds):
        """Nothing new: until the queue lists nothing."""
        end = time.time() + seconds
        while time.time() < end:
            time.sleep(1)
            out = subprocess.run([POSTHOUSE, "-C", self.conf, "queue", "list", "--json"], capture_output=True, text=True)
            if out.returncode == 0 and out.stdout.strip() in ("", "[]"):
                return

    def files(self, below):
        return [os.path.join(d, f) for d, _, names in os.walk(f"{self.top}/{below}") for f in names]

    def delivered(self):
        return [p for p in self.files("mail") if ",S=" in os.path.basename(p)]

    def acked(self):
        return {line for line in self.text("acks").split("\n") if line.count("-") == 2}

    def found(self):
        """({token: how often it is there}, torn files)"""
        found, torn = {}, 0
        for path in self.delivered():
            with open(path, "rb") as f:
                data = f.read()
            m = re.search(rb"^X-Lab-Token: (\S+)\r$", data, re.M)
            if m is None or len(data) != int(re.search(r",S=(\d+)", path).group(1)):
                torn += 1
            else:
                found[m.group(1).decode()] = found.get(m.group(1).decode(), 0) + 1
        return found, torn

    def verdict(self, notes, at_fault):
        """Counts, says so, and ends the program. at_fault: what else is wrong; notes: what else to say."""
        acked, (found, torn) = self.acked(), self.found()
        lost, twice = sorted(acked - set(found)), sorted(t for t, n in found.items() if n > 1)
        print(f"note: seed {self.seed}: {notes}; acknowledged {len(acked)}, found {len(found)}, lost {len(lost)}, twice {len(twice)}, torn {torn}")
        bad = bool(lost or twice or torn or at_fault or not acked)
        if bad:
            print(f"FAILED; kept: {self.top}; {at_fault}")
            print("\n".join([f"  lost {t}" for t in lost[:5]] + [f"  twice {t}" for t in twice[:5]]))
        else:
            shutil.rmtree(self.top)
        print("0 passed, 1 failed, 0 skipped" if bad else "1 passed, 0 failed, 0 skipped")
        sys.exit(1 if bad else 0)
