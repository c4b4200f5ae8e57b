"""tests/crash/test_power.py - power cuts: a recording disk under the accept path, cut at every flush, on ext4 and on XFS (reliability.md recipe R1).

Each image is mounted, a real smtpd recovers on it, and every message whose 250 stands in the record before the cut must be in its mailbox, whole and once.
POWER_IMAGES=600 is the default over both file systems; the long form by hand: POWER_IMAGES=6000 python3 tests/crash/test_power.py
"""
# not under sanitizers: the same code paths run there in test_kill.py; a recovery each image would take too long
import contextlib, os, random, shutil, struct, subprocess, sys, tempfile, time, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab
from account import Account, drained, found_below, leftovers

IMAGES = int(os.environ.get("POWER_IMAGES", "600"))
USERS = ["u1", "u2", "u3"]
MKFS = {"ext4": (["mkfs.ext4", "-q", "-E", "nodiscard"], 96, ""), "xfs": (["mkfs.xfs", "-q", "-K"], 320, "nouuid")}


def sh(*args, **kw):
    r = subprocess.run(args, capture_output=True, text=True, **kw)
    assert r.returncode == 0, "%s: %s%s" % (" ".join(args), r.stdout, r.stderr)
    return r.stdout.strip()


class Disk:
    """A mounted image file."""

    def __init__(self, image, where, fs):
        self.where = where
        self.loop = sh("losetup", "-f", "--show", image)
        try:
            sh("mount", "-t", fs, "-o", ",".join(filter(None, ["noatime", MKFS[fs][2]])), self.loop, where)
        except AssertionError:
            subprocess.run(["losetup", "-d", self.loop])
            raise

    def done(self):
        for _ in range(100):
            if subprocess.run(["umount", self.where], capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        sh("losetup", "-d", self.loop)


def possible(fs):
    if os.geteuid() != 0:
        raise lab.Skip("needs root for loop devices")
    if not os.path.exists("/dev/fuse"):
        raise lab.Skip("no /dev/fuse here")
    if not os.path.exists("/dev/loop-control"):
        raise lab.Skip("no loop devices here")
    lab.need(MKFS[fs][0][0], "fusermount3", "losetup")
    if fs not in open("/proc/filesystems").read() and subprocess.run(["modprobe", fs], capture_output=True).returncode != 0:
        raise lab.Skip("this kernel has no " + fs)


def records(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + 13 <= len(data):
        kind, offset, n = struct.unpack_from("<cQI", data, at)
        yield kind, offset, data[at + 13:at + 13 + n]
        at += 13 + n


def record_load(fs, work):
    """Runs the appliance with its state on a recording disk, under load; leaves base image and log in work."""
    size = MKFS[fs][1]
    base, live, log, fuse, mnt = (os.path.join(work, n) for n in ("base", "live", "log", "fuse", "mnt"))
    os.mkdir(fuse), os.mkdir(mnt)
    sh("truncate", "-s", "%dM" % size, live)
    sh(*MKFS[fs][0], live)
    office_dir_users = lab.Appliance(users=3, settings={"state_directory": mnt + "/state", "journal_segment_size": "1M", "front_processes": "1",
                                                        "queue_minfree": "1M", "checkpoint_interval": "1s"})
    office_dir_users.down()
    shutil.rmtree(mnt + "/state")
    sh("cp", "--sparse=always", live, base)
    tool = os.path.join(lab.HERE, lab.BUILD, "tests/crash/blkrec")
    rec = subprocess.Popen([tool, live, log, fuse], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.eventually("the recording disk is there", lambda: os.path.exists(fuse + "/disk"), 5)
    disk = Disk(fuse + "/disk", mnt, fs)
    try:
        os.mkdir(mnt + "/state")
        office_dir_users.up()
        mark = os.open(fuse + "/mark", os.O_WRONLY)
        # One sender first (a flush a message), then sixteen at once (group commit).
        for senders, limit in ((1, 25), (16, 8)):
            account = Account(office_dir_users.port["smtp"], USERS, senders=senders, limit=limit, padding=1500,
                              on_ack=lambda token: os.write(mark, token.encode() + b"\n"))
            account.start()
            account.wait()
            assert len(account.acked) >= senders * limit * 0.9, account.refused
            time.sleep(1.3)                            # a checkpoint comes between
        os.close(mark)
        office_dir_users.down()
    finally:
        disk.done()
        sh("umount", fuse)
        rec.wait()
    return office_dir_users


def flushes_a_message(log):
    """Of each load, in their order: device flushes between its first 250 and its last, checkpoints included, for each message."""
    marks = [(i, r[2].decode().split("-")[0]) for i, r in enumerate(log) if r[0] == b"M"]
    figures = []
    for run in dict.fromkeys(run for _, run in marks):
        at = [i for i, of in marks if of == run]
        figures.append(sum(1 for r in log[at[0]:at[-1]] if r[0] == b"F") / (len(at) - 1))
    return figures


def cut_images(work, wanted):
    """Yields (description, acked tokens so far) with the crash image at work/image."""
    log = list(records(os.path.join(work, "log")))
    first_ack = next(i for i, r in enumerate(log) if r[0] == b"M")
    flushes = [i for i, r in enumerate(log) if r[0] == b"F" and i >= first_ack - 40]
    moments = sorted(set(flushes) | {i for i, r in enumerate(log) if r[0] == b"M"})        # just after a flush, and just after a 250
    if len(moments) > wanted // 2:
        step = len(moments) / (wanted / 2)
        moments = sorted({moments[int(k * step)] for k in range(wanted // 2)})
    durable = os.path.join(work, "durable")
    sh("cp", "--sparse=always", os.path.join(work, "base"), durable)
    fd = os.open(durable, os.O_RDWR)
    done = 0
    acked = set()
    random.seed(7)
    for moment in moments:
        last_flush = max((i for i in range(moment + 1) if log[i][0] == b"F"), default=-1)
        for i in range(done, last_flush):
            if log[i][0] == b"W":
                os.pwrite(fd, log[i][2], log[i][1])
        acked |= {r[2].decode().strip() for r in log[done:moment + 1] if r[0] == b"M"}
        done = max(done, last_flush)
        loose = [r for r in log[max(done, 0):moment + 1] if r[0] == b"W"]
        # Writes that were under way at the cut: the ones up to the next flush may have reached the disk too.
        under_way = []
        for r in log[moment + 1:]:
            if r[0] == b"F":
                break
            if r[0] == b"W":
                under_way.append(r)
        for policy in ("none", "random"):
            image = os.path.join(work, "image")
            sh("cp", "--sparse=always", durable, image)
            if policy == "random":
                with open(image, "r+b") as f:
                    for _, offset, octets in loose + under_way:
                        for k in range(0, len(octets), 4096):
                            if random.random() < 0.5:
                                f.seek(offset + k)
                                f.write(octets[k:k + 4096])
            yield "record %d, unflushed writes: %s" % (moment, policy), set(acked), image
    os.close(fd)


def start_after_reboot(office, work):
    """Starts smtpd as after a new boot: in a mount namespace where the kernel's boot id is another one."""
    boot_id = os.path.join(work, "boot_id")
    with open(boot_id, "w") as f:
        f.write(str(uuid.uuid4()) + "\n")
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" -C "$3"'
    r = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", boot_id, os.path.join(lab.BIN, "smtpd"), office.conf],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert r.returncode == 0, "smtpd does not start on the image\n" + office.log()[-1500:]


def recover(office, image, mnt, fs, acked):
    """Mounts an image, lets smtpd recover on it; returns (lost, doubled, broken or stray files)."""
    disk = Disk(image, mnt, fs)
    try:
        start_after_reboot(office, os.path.dirname(image))
        # Recovery is over when the queue lists nothing: only then is it certain that nothing comes twice.
        with contextlib.suppress(AssertionError):
            lab.eventually("the queue is empty", lambda: drained(office), 5)
        found, broken = found_below(mnt + "/state/mail")
        return sorted(acked - set(found)), sorted(t for t, n in found.items() if n > 1), broken + leftovers(mnt + "/state")
    finally:
        office.stop_smtpd()
        disk.done()


def stop_smtpd(self):
    import signal
    path = os.path.join(self.dir, "run", "smtpd.pid")
    try:
        with open(path) as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGTERM)
        lab.eventually("smtpd ends", lambda: not lab.is_alive(pid), 15)
    except (OSError, ValueError):
        pass


lab.Appliance.stop_smtpd = stop_smtpd


def power(fs):
    possible(fs)
    work = tempfile.mkdtemp(prefix="power.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        office = record_load(fs, work)
        log = list(records(os.path.join(work, "log")))
        flushes = sum(1 for r in log if r[0] == b"F")
        print("note: %s: %s device flushes for each accepted message, alone and at 16 senders" % (fs, " and ".join("%.2f" % n for n in flushes_a_message(log))))
        bad, images, at_stake = [], 0, 0
        for what, acked, image in cut_images(work, IMAGES // 2 + 2):
            images += 1
            at_stake += len(acked)
            lost, doubled, broken = recover(office, image, os.path.join(work, "mnt"), fs, acked)
            if lost or doubled or broken:
                bad.append((what, lost[:2], doubled[:2], broken[:2]))
                if os.environ.get("POWER_KEEP"):
                    shutil.copy(image, "/tmp/bad-%s-%d.img" % (fs, images))
            if len(bad) >= int(os.environ.get("POWER_BAD", "5")):
                break
        print("note: %s: %d images, %d flushes recorded, %d acknowledged messages at stake over all images, %d images bad" % (fs, images, flushes, at_stake, len(bad)))
        assert not bad, bad
        assert images >= IMAGES // 2, "only %d images" % images
        office.destroy()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def test_power_cut_ext4():
    power("ext4")


def test_power_cut_xfs():
    power("xfs")


lab.main()
