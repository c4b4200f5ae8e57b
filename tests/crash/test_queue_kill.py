#!/usr/bin/env python3
"""Kills queue, deliver and front processes with SIGKILL while messages pour in, and accounts for every one.

    tests/crash/test_queue_kill.py [seconds]        # after make tools; SEED=N plays one again; not under sanitizers

The accounting (reliability.md R2): acknowledged is a subset of found, each found once, nothing left in the spool. No root needed.
"""
import os, random, re, shutil, signal, subprocess, sys, tempfile, time

build = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", os.environ.get("POSTHOUSE_BUILD", "build"))
lab = os.path.join(build, "tests", "crash", "queue_lab")
posthouse = os.path.join(build, "bin", "posthouse")
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
random.seed(seed)
users = 10

top = tempfile.mkdtemp(prefix="queue_kill.")
conf = top + "/posthouse.conf"
for d in ("run", "spool", "mail", "state"):
    os.mkdir(f"{top}/{d}")
with open(conf, "w") as f:
    f.write(f"myhostname = mail.office.test\nmydestination = office.test\nstate_directory = {top}/state\nruntime_directory = {top}/run\n"
            f"spool_directory = {top}/spool\nmail_directory = {top}/mail\nconfig_directory = {top}\nlog_target = {top}/log\n"
            "mail_owner =\nfront_processes = 2\ncheckpoint_interval = 1s\njournal_segment_size = 4M\n")
for n in range(1, users + 1):
    subprocess.run([posthouse, "-C", conf, "user", "add", "--password-stdin", f"u{n}@office.test"], input=b"secret%d\n" % n, check=True,
                   stdout=subprocess.DEVNULL)

def drop():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

if os.getuid() == 0:
    subprocess.run(["chown", "-R", "65534:65534", top], check=True)

def start(messages):
    env = dict(os.environ, LAB_MESSAGES=str(messages), LAB_OPEN="10", LAB_SIZE="3000", LAB_ACKS=top + "/acks", LAB_USERS=str(users))
    return subprocess.Popen([lab, "-C", conf, "-f"], env=env, preexec_fn=drop, stderr=subprocess.DEVNULL)

def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []

def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

def lines(path):
    try:
        with open(path, errors="replace") as f:
            return f.read().split("\n")
    except FileNotFoundError:
        return []

kills, cycles, ended = 0, 0, time.time() + seconds
super_ = start(10 ** 9)
while time.time() < ended:
    time.sleep(random.uniform(0.05, 0.8))
    kids = children(super_.pid)
    if random.random() < 0.25 or not kids:
        kill([super_.pid] + kids)
        kills += 1 + len(kids)
        super_.wait()
        while any(os.path.exists(f"/proc/{k}") for k in kids):
            time.sleep(0.01)
        super_ = start(10 ** 9)
    else:
        kill([random.choice(kids)])
        kills += 1
    cycles += 1
kids = children(super_.pid)
kill([super_.pid] + kids)
super_.wait()

super_ = start(0)                                           # nothing new: let it drain
deadline, before = time.time() + 60, -1
while time.time() < deadline:
    time.sleep(1)
    out = subprocess.run([posthouse, "-C", conf, "queue", "list", "--json"], capture_output=True, text=True)
    if out.returncode == 0 and out.stdout.strip() in ("", "[]"):
        break
time.sleep(2.5)
super_.terminate()
super_.wait()

acked = set(l for l in lines(top + "/acks") if l.count("-") == 2)
found, torn = {}, 0
for d, _, files in os.walk(top + "/mail"):
    for name in files:
        if ",S=" not in name:
            continue
        with open(os.path.join(d, name), "rb") as f:
            text = f.read()
        m = re.search(rb"^X-Lab-Token: (\S+)\r$", text, re.M)
        if m is None or len(text) != int(re.search(r",S=(\d+)", name).group(1)):
            torn += 1
            continue
        found[m.group(1).decode()] = found.get(m.group(1).decode(), 0) + 1
lost = acked - set(found)
twice = [t for t, n in found.items() if n > 1]
left = [os.path.join(d, f) for d, _, fs in os.walk(top + "/spool/deferred") for f in fs] + [
    os.path.join(d, f) for d, _, fs in os.walk(top + "/spool/large") for f in fs]
tmp = [os.path.join(d, f) for d, _, fs in os.walk(top + "/mail") for f in fs if d.endswith("/tmp")]
errors = [l for l in lines(top + "/log") if " error: " in l]
print(f"seed {seed}: {cycles} cycles, {kills} processes killed; acknowledged {len(acked)}, found {len(found)}, lost {len(lost)}, twice {len(twice)}, "
      f"torn {torn}, left in the spool {len(left)}, in tmp {len(tmp)}, error lines {len(errors)}")
for l in errors:
    if "was killed by signal" not in l:
        print("  " + l)
if lost or twice or torn or left or tmp or not acked:
    print(f"FAILED; kept: {top}")
    for t in list(lost)[:5]:
        print("  lost", t)
    for t in twice[:5]:
        print("  twice", t)
    print("0 passed, 1 failed, 0 skipped")
    sys.exit(1)
shutil.rmtree(top)
print("1 passed, 0 failed, 0 skipped")
