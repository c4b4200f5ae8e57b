"""tests/crash/recdisk.py - power cuts: a recording disk under a real file system, and the images that a cut could have left of it."""
import contextlib, os, random, struct, subprocess, time

import lab

# command, megabytes, mount options
MKFS = {
    "ext4": (["mkfs.ext4", "-q", "-E", "nodiscard"], 96, ""),
    "xfs": (["mkfs.xfs", "-q", "-K"], 320, "nouuid"),
    "btrfs": (["mkfs.btrfs", "-q", "-K"], 160, ""),
}
POLICIES = ("none", "random", "all")                     # of the writes that no flush had confirmed


def sh(*args, **kw):
    r = subprocess.run(args, capture_output=True, text=True, **kw)
    assert r.returncode == 0, "%s: %s%s" % (" ".join(args), r.stdout, r.stderr)
    return r.stdout.strip()


def possible(fs):
    if os.geteuid() != 0:
        raise lab.Skip("needs root for loop devices")
    if not os.path.exists("/dev/fuse"):
        raise lab.Skip("no /dev/fuse here")
    if not os.path.exists("/dev/loop-control"):
        raise lab.Skip("no loop devices here")
    lab.need(MKFS[fs][0][0], "fusermount3", "losetup", "unshare")
    if fs not in open("/proc/filesystems").read() and subprocess.run(["modprobe", fs], capture_output=True).returncode != 0:
        raise lab.Skip("this kernel has no " + fs)


def umount(where):
    """A process that ends, or a loop device, lets go a moment later."""
    for _ in range(200):
        r = subprocess.run(["umount", where], capture_output=True, text=True)
        if r.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError("umount %s: %s" % (where, r.stderr))


class Disk:
    """A mounted image file."""

    def __init__(self, image, where, fs):
        self.where, self.fs = where, fs
        self.loop = sh("losetup", "-f", "--show", image)
        try:
            sh("mount", "-t", fs, "-o", ",".join(filter(None, ["noatime", MKFS[fs][2]])), self.loop, where)
        except AssertionError:
            self._detach()
            raise

    def _detach(self):
        if self.fs == "btrfs":                           # the kernel remembers a file system's newest device and refuses an older image of it
            subprocess.run(["btrfs", "device", "scan", "--forget", self.loop], capture_output=True)
        subprocess.run(["losetup", "-d", self.loop], capture_output=True)

    def done(self):
        try:
            umount(self.where)
        finally:
            self._detach()


def records(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + 13 <= len(data):
        kind, offset, n = struct.unpack_from("<cQI", data, at)
        yield kind, offset, data[at + 13:at + 13 + n]
        at += 13 + n


class Recorder:
    """work/base is the image before, work/log what happened to it; the file system is mounted at work/mnt while recording."""

    def __init__(self, fs, work):
        self.fs, self.work = fs, work
        self.base, self.live, self.log_path, self.fuse, self.mnt = (os.path.join(work, n) for n in ("base", "live", "log", "fuse", "mnt"))
        os.mkdir(self.fuse), os.mkdir(self.mnt)
        sh("truncate", "-s", "%dM" % MKFS[fs][1], self.live)
        sh(*MKFS[fs][0], self.live)
        sh("cp", "--sparse=always", self.live, self.base)

    @contextlib.contextmanager
    def recording(self):
        """Yields mark(text), whose text lands in the log in the order of the disk's writes."""
        tool = os.path.join(lab.HERE, lab.BUILD, "tests/crash/blkrec")
        rec = subprocess.Popen([tool, self.live, self.log_path, self.fuse], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lab.eventually("the recording disk is there", lambda: os.path.exists(self.fuse + "/disk"), 5)
        disk = Disk(self.fuse + "/disk", self.mnt, self.fs)
        mark = os.open(self.fuse + "/mark", os.O_WRONLY)
        try:
            yield lambda text: os.write(mark, text.encode() + b"\n")
        finally:
            os.close(mark)
            disk.done()
            umount(self.fuse)
            rec.wait()

    def records(self):
        return list(records(self.log_path))


def _moments(log, wanted, policies):
    """Just after a flush and just after an acknowledgement, evenly thinned out."""
    first = next(i for i, r in enumerate(log) if r[0] == b"M")
    flushes = [i for i, r in enumerate(log) if r[0] == b"F" and i >= first - 40]
    moments = sorted(set(flushes) | {i for i, r in enumerate(log) if r[0] == b"M"})
    most = max(1, wanted // policies)
    if len(moments) > most:
        step = len(moments) / most
        moments = sorted({moments[int(k * step)] for k in range(most)})
    return moments


def _scatter(image, writes, policy):
    with open(image, "r+b") as f:
        for _, offset, octets in writes:
            for k in range(0, len(octets), 4096):
                if policy == "all" or random.random() < 0.5:
                    f.seek(offset + k)
                    f.write(octets[k:k + 4096])


def cut_images(recorder, wanted, policies=POLICIES, seed=7):
    """Yields (description, marks so far, path of the crash image), about `wanted` times."""
    log = recorder.records()
    durable, image = os.path.join(recorder.work, "durable"), os.path.join(recorder.work, "image")
    sh("cp", "--sparse=always", recorder.base, durable)
    fd = os.open(durable, os.O_RDWR)
    done, marks = 0, []
    seen = 0
    random.seed(seed)
    for moment in _moments(log, wanted, len(policies)):
        last_flush = max((i for i in range(done, moment + 1) if log[i][0] == b"F"), default=done - 1)
        for i in range(done, last_flush):
            if log[i][0] == b"W":
                os.pwrite(fd, log[i][2], log[i][1])
        marks += [r[2].decode().strip() for r in log[seen:moment + 1] if r[0] == b"M"]
        seen = moment + 1
        done = max(done, last_flush)
        loose = [r for r in log[done:moment + 1] if r[0] == b"W"]
        under_way = []                                   # writes that were under way at the cut may have reached the disk too
        for r in log[moment + 1:]:
            if r[0] == b"F":
                break
            if r[0] == b"W":
                under_way.append(r)
        for policy in policies:
            sh("cp", "--sparse=always", durable, image)
            if policy != "none":
                _scatter(image, loose + (under_way if policy == "random" else []), policy)
            yield "record %d, unflushed writes: %s" % (moment, policy), list(marks), image
    os.close(fd)
