"""tests/system/nets.py - hosts in network namespaces: each has its own addresses, and speaks with the others over real (virtual) cables.

A test file that wants them calls enter() before anything else, which starts it again in private network, mount and /run namespaces; what it makes
there goes away with it. The namespace the file itself runs in is the network between the hosts: one bridge.
"""
import contextlib, ctypes, os, shutil, subprocess, sys

import lab

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(path, *setup):
    """Starts the test file again inside namespaces of its own, after the shell commands of setup. Where that is not to be had, it runs on, and need() skips."""
    if os.environ.get("PH_NETNS"):
        return
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return
    if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True).returncode != 0:
        return
    os.environ["PH_NETNS"] = "1"
    script = " && ".join(["mount -t tmpfs none /run", "ip link set lo up", *setup, 'exec "$@"'])
    os.execvp("unshare", ["unshare", "-n", "-m", "sh", "-c", script, "sh", sys.executable, os.path.abspath(path), *sys.argv[1:]])


def need():
    if not os.environ.get("PH_NETNS"):
        raise lab.Skip("needs root and network namespaces")


def run(*cmd, check=True, **kw):
    r = subprocess.run(cmd, capture_output=True, text=True, **kw)
    if check and r.returncode != 0:
        raise AssertionError("%s: status %d: %s%s" % (" ".join(cmd), r.returncode, r.stdout, r.stderr))
    return r


def bridge(name, ns=None):
    run(*_ip(ns), "link", "add", name, "type", "bridge")
    run(*_ip(ns), "link", "set", name, "up")


def _ip(ns):
    return ["ip"] if ns is None else ["ip", "-n", ns]


class Host:
    """A network namespace. plug() puts a cable into a bridge; with host: sockets that this thread opens are the host's."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")
        # An address of our own needs no search for another one like it, and can be used at once.
        self.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad")

    def ip(self, *args):
        run("ip", "-n", self.name, *args)

    def run(self, *cmd, **kw):
        return run("ip", "netns", "exec", self.name, *cmd, **kw)

    def plug(self, bridge_name, dev="eth0", ns=None):
        """A cable from dev here to the bridge (of namespace ns)."""
        other = "%s-%s" % (self.name[:9], dev)
        run(*_ip(ns), "link", "add", other, "type", "veth", "peer", "name", dev, "netns", self.name)
        run(*_ip(ns), "link", "set", other, "master", bridge_name, "up")
        self.ip("link", "set", dev, "up")

    def move(self, *addresses, dev="eth0", gateway=None):
        """The host has these addresses now ("198.51.100.7/24") and no other ones."""
        self.ip("addr", "flush", "dev", dev, "scope", "global")
        for a in addresses:
            self.ip("addr", "add", a, "dev", dev, *(["nodad"] if ":" in a else []))
        if gateway is not None:
            self.ip("route", "replace", "default", "via", gateway)

    @contextlib.contextmanager
    def here(self):
        """This thread is on the host meanwhile (and threads that it starts stay there)."""
        with open("/proc/thread-self/ns/net") as home, open("/run/netns/" + self.name) as away:
            _setns(away.fileno())
            try:
                yield self
            finally:
                _setns(home.fileno())


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
