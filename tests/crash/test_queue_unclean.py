#!/usr/bin/env python3
"""A power cut without a disk: every process is killed, the outcome log is made to come from another run of the machine, and what was delivered since the
last checkpoint is damaged as a lost cache would: files gone, files empty, files cut short. Afterwards each message is there once and whole.

    tests/crash/test_queue_unclean.py        # after make tools; SEED=N plays one again; not under sanitizers
"""
import os, random, re, shutil, signal, subprocess, sys, tempfile, time

build = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", os.environ.get("POSTHOUSE_BUILD", "build"))
lab = os.path.join(build, "tests", "crash", "queue_lab")
posthouse = os.path.join(build, "bin", "posthouse")
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
random.seed(seed)
top = tempfile.mkdtemp(prefix="queue_unclean.")
conf = top + "/posthouse.conf"
for d in ("run", "spool", "mail", "state"):
    os.mkdir(f"{top}/{d}")
with open(conf, "w") as f:
    f.write(f"myhostname = mail.office.test\nmydestination = office.test\nstate_directory = {top}/state\nruntime_directory = {top}/run\n"
            f"spool_directory = {top}/spool\nmail_directory = {top}/mail\nconfig_directory = {top}\nlog_target = {top}/log\n"
            "mail_owner =\nfront_processes = 2\ncheckpoint_interval = 10m\njournal_segment_size = 4M\n")
for n in range(1, 6):
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
    env = dict(os.environ, LAB_MESSAGES=str(messages), LAB_SIZE="3000", LAB_ACKS=top + "/acks", LAB_USERS="5")
    return subprocess.Popen([lab, "-C", conf, "-f"], env=env, preexec_fn=drop, stderr=subprocess.DEVNULL)

def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xffffffff

def delivered():
    return [os.path.join(d, f) for d, _, fs in os.walk(top + "/mail") for f in fs if ",S=" in f]

def log():
    try:
        with open(top + "/log", errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""

super_ = start(300)
end = time.time() + 30
while time.time() < end and log().count(": removed") < 600:
    time.sleep(0.2)
with open(f"/proc/{super_.pid}/task/{super_.pid}/children") as f:
    kids = [int(x) for x in f.read().split()]
for pid in [super_.pid] + kids:
    os.kill(pid, signal.SIGKILL)
super_.wait()
time.sleep(0.3)

with open(top + "/spool/queue.log", "rb") as f:
    text = f.read().split(b"\n")
for i, l in enumerate(text):
    if l[9:].startswith(b"boot "):
        text[i] = b"%08x boot 00000000-0000-0000-0000-000000000000" % crc32c(b"boot 00000000-0000-0000-0000-000000000000")
with open(top + "/spool/queue.log", "wb") as f:
    f.write(b"\n".join(text))
harmed = {"gone": 0, "empty": 0, "short": 0}
for path in delivered():
    how = random.choice(["gone", "empty", "short", None, None, None])
    if how == "gone":
        os.unlink(path)
    elif how == "empty":
        os.truncate(path, 0)
    elif how == "short":
        os.truncate(path, 1000)
    if how:
        harmed[how] += 1

super_ = start(0)
end = time.time() + 30
while time.time() < end and "queue is up" not in log().rsplit("ready, ", 1)[-1]:
    time.sleep(0.1)
while time.time() < end:
    time.sleep(1)
    out = subprocess.run([posthouse, "-C", conf, "queue", "list", "--json"], capture_output=True, text=True)
    if out.returncode == 0 and out.stdout.strip() == "[]":
        break
super_.terminate()
super_.wait()

with open(top + "/acks") as f:
    acked = set(f.read().split())
found, torn = {}, 0
for path in delivered():
    with open(path, "rb") as f:
        data = f.read()
    m = re.search(rb"^X-Lab-Token: (\S+)\r$", data, re.M)
    if m is None or len(data) != int(re.search(r",S=(\d+)", path).group(1)):
        torn += 1
    else:
        found[m.group(1).decode()] = found.get(m.group(1).decode(), 0) + 1
lost, twice = acked - set(found), [t for t, n in found.items() if n > 1]
print(f"seed {seed}: acknowledged {len(acked)}, harmed {harmed}, found {len(found)}, lost {len(lost)}, twice {len(twice)}, torn {torn}")
if lost or twice or torn or len(acked) != 600:
    print(f"FAILED; kept: {top}")
    print("0 passed, 1 failed, 0 skipped")
    sys.exit(1)
shutil.rmtree(top)
print("1 passed, 0 failed, 0 skipped")
