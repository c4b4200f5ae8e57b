"""tests/system/anchors.py - programs of sendmail and Postfix as Debian ships them, unpacked beside the system and never installed: what they
say is what ours must say. They conflict with each other as packages; unpacked they need neither root nor an overlay.
"""
import glob, os, shutil, subprocess

import lab

CACHE = os.environ.get("POSTHOUSE_ANCHORS", "/var/tmp/posthouse-anchors-%d" % os.getuid())
PACKAGES = ("sendmail-bin", "sendmail-base", "sendmail-cf", "liblockfile1", "m4", "postfix")


def _fetch():
    new = CACHE + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    for package in PACKAGES:
        r = subprocess.run(["apt-get", "-qq", "download", package], cwd=new, capture_output=True, text=True, timeout=120)
        debs = glob.glob(new + "/" + package + "_*.deb")
        if r.returncode != 0 or not debs:
            shutil.rmtree(new, ignore_errors=True)
            raise lab.Skip("apt-get can't download %s, which is what ours is compared with" % package)
        subprocess.run(["dpkg-deb", "-x", debs[0], new], check=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    os.rename(new, CACHE)


def root():
    """The directory they lie in; downloaded once. Skips where there is no apt-get, no network, or another processor."""
    lab.need("apt-get", "dpkg-deb")
    if not os.path.exists(CACHE + "/usr/libexec/sendmail/makemap"):
        _fetch()
    return CACHE


def run(program, *args, stdin="", check=True, cwd=None):
    """program: a path below root()."""
    where = root()
    libs = ":".join(glob.glob(where + "/usr/lib/*-linux-gnu*") + [where + "/usr/lib/postfix"])
    r = subprocess.run([os.path.join(where, program), *args], input=stdin, capture_output=True, text=True, cwd=cwd, env=dict(os.environ, LD_LIBRARY_PATH=libs), timeout=60)
    if check and r.returncode != 0:
        raise AssertionError("%s %s: status %d: %s%s" % (program, " ".join(args), r.returncode, r.stdout, r.stderr))
    return r
