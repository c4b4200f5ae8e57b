"""tests/crash/test_power.py - power cuts: a recording disk under the accept path, cut at every flush, on ext4, XFS and btrfs.

Each image is mounted, a real smtpd recovers on it, and every message whose 250 stands in the record before the cut must be in its mailbox, whole and once.
POWER_IMAGES=240 is the default over the three file systems; the long form by hand: POWER_IMAGES=6000 python3 tests/crash/test_power.py
"""
# not under sanitizers: the same code paths run there in test_kill.py; a recovery each image would take too long
import contextlib, os, shutil, signal, subprocess, sys, tempfile, time, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab, recdisk
from account import Account, drained, found_below, leftovers

IMAGES = int(os.environ.get("POWER_IMAGES", "240"))
USERS = ["u1", "u2", "u3"]


def record_load(recorder):
    """Runs the appliance with its state on a recording disk, under load."""
    mnt = recorder.mnt
    office = lab.Appliance(users=3, settings={"state_directory": mnt + "/state", "journal_segment_size": "1M", "front_processes": "1",
                                              "queue_minfree": "1M", "checkpoint_interval": "1s"})
    office.down()
    shutil.rmtree(mnt + "/state")
    with recorder.recording() as mark:
        os.mkdir(mnt + "/state")
        office.up()
        # One sender first (a flush a message), then sixteen at once (group commit).
        for senders, limit in ((1, 25), (16, 8)):
            account = Account(office.port["smtp"], USERS, senders=senders, limit=limit, padding=1500, on_ack=mark)
            account.start()
            account.wait()
            assert len(account.acked) >= senders * limit * 0.9, account.refused
            time.sleep(1.3)                            # a checkpoint comes between
        office.down()
    return office


def flushes_a_message(log):
    """Of each load, in their order: device flushes between its first 250 and its last, checkpoints included, for each message."""
    marks = [(i, r[2].decode().split("-")[0]) for i, r in enumerate(log) if r[0] == b"M"]
    figures = []
    for run in dict.fromkeys(run for _, run in marks):
        at = [i for i, of in marks if of == run]
        figures.append(sum(1 for r in log[at[0]:at[-1]] if r[0] == b"F") / (len(at) - 1))
    return figures


def start_after_reboot(office, work):
    """Starts smtpd as after a new boot: in namespaces where the kernel's boot id is another one and it began at another time."""
    boot_id = os.path.join(work, "boot_id")
    with open(boot_id, "w") as f:
        f.write(str(uuid.uuid4()) + "\n")
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" -C "$3"'
    r = subprocess.run(["unshare", "-m", "-T", "--boottime", "100000", "sh", "-c", script, "sh", boot_id, os.path.join(lab.BIN, "smtpd"), office.conf],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert r.returncode == 0, "smtpd does not start on the image\n" + office.log()[-1500:]


def recover(office, image, mnt, fs, acked):
    """Mounts an image, lets smtpd recover on it; returns (lost, doubled, broken or stray files)."""
    disk = recdisk.Disk(image, mnt, fs)
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
    with contextlib.suppress(OSError, ValueError):
        pid = self.supervisor("smtpd")
        os.kill(pid, signal.SIGTERM)
        lab.eventually("smtpd ends", lambda: not lab.is_alive(pid), 15)


lab.Appliance.stop_smtpd = stop_smtpd


def power(fs):
    recdisk.possible(fs)
    work = tempfile.mkdtemp(prefix="power.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        recorder = recdisk.Recorder(fs, work)
        office = record_load(recorder)
        log = recorder.records()
        flushes = sum(1 for r in log if r[0] == b"F")
        print("note: %s: %s device flushes for each accepted message, alone and at 16 senders" % (fs, " and ".join("%.2f" % n for n in flushes_a_message(log))))
        bad, images, at_stake = [], 0, 0
        for what, marks, image in recdisk.cut_images(recorder, IMAGES // 3 + 2, policies=("none", "random")):
            acked = set(marks)
            images += 1
            at_stake += len(acked)
            lost, doubled, broken = recover(office, image, recorder.mnt, fs, acked)
            if lost or doubled or broken:
                bad.append((what, lost[:2], doubled[:2], broken[:2]))
                if os.environ.get("POWER_KEEP"):
                    shutil.copy(image, "/tmp/bad-%s-%d.img" % (fs, images))
            if len(bad) >= int(os.environ.get("POWER_BAD", "5")):
                break
        print("note: %s: %d images, %d flushes recorded, %d acknowledged messages at stake over all images, %d images bad" % (fs, images, flushes, at_stake, len(bad)))
        assert not bad, bad
        assert images >= IMAGES // 3, "only %d images" % images
        office.destroy()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def test_power_cut_ext4():
    power("ext4")


def test_power_cut_xfs():
    power("xfs")


def test_power_cut_btrfs():
    power("btrfs")


lab.main()
