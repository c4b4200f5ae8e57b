"""tests/system/test_drac_readers.py - dracd.db under the programs that read it: Berkeley DB's own tools, a reader that opens, gets and closes, and
Postfix, sendmail and Exim of Debian with the recipes that their admins use, all while dracd takes thousands of grants and is killed with -9.

The three mail servers conflict with each other: each is unpacked (not installed) into an overlay of the root file system that ends with the test. That
needs root, overlay mounts and Debian's mirror (6 MB, kept in /var/tmp/posthouse-readers); where one is missing those tests are skipped.
DRAC_GRANTS=20000 makes it longer; the sample has 800.
"""
# not under sanitizers: what is proved here is the file
import contextlib, glob, os, random, re, smtplib, socket, stat, subprocess, threading, time

import drac_lab, lab, nets

ROOT = os.environ.get("READERS_ROOT", "/var/tmp/posthouse-readers")
GRANTS = int(os.environ.get("DRAC_GRANTS", "800"))
PACKAGES = {"postfix": ["postfix"], "sendmail": ["sendmail-bin", "sendmail-cf"], "exim": ["exim4-daemon-light"]}
HERE6 = "2001:db8:1::"
office = None


def address(i):
    """The i-th roamer: every eighth has IPv6."""
    return "%s%x:%x" % (HERE6, 1 + i // 5000, 1 + i % 5000) if i % 8 == 7 else "198.18.%d.%d" % (i // 250, i % 250 + 1)


def world():
    global office
    nets.need()
    lab.need("db5.3_dump")
    if office is None:
        office = lab.Appliance(settings={"drac_lifetime": "30m", "drac_ipv6_keys": "plain sendmail exim exim-net"})
        os.chmod(office.dir, 0o755)                   # the readers run as other users
        for d in ("state", "state/drac"):
            os.chmod(os.path.join(office.dir, d), 0o755)
    return office


# ---- mail servers of Debian ----

def run(*args, timeout=60, **kw):
    return subprocess.run(args, capture_output=True, text=True, timeout=timeout, **kw)


def fetch(name):
    """Debian's packages of it in ROOT/name, with what they depend on and this machine lacks."""
    debs = os.path.join(ROOT, name)
    if os.path.exists(debs + "/complete"):
        return glob.glob(debs + "/*.deb")
    os.makedirs(debs + "/partial", exist_ok=True)
    get = ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "-o", "Dir::Cache::archives=" + debs, "install", *PACKAGES[name]]
    try:
        r = run(*get, stdin=subprocess.DEVNULL)
        if r.returncode != 0:
            run("apt-get", "-qq", "update")
            r = run(*get, stdin=subprocess.DEVNULL)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        raise lab.Skip("%s could not be fetched within a minute" % name)
    if r.returncode != 0:
        raise lab.Skip("%s could not be fetched: %s" % (name, r.stderr.strip().split("\n")[-1]))
    open(debs + "/complete", "w").close()
    return glob.glob(debs + "/*.deb")


class Reader:
    """One mail server in an overlay; its mounts end with the mount namespace."""

    def __init__(self, name, users):
        world()
        debs = fetch(name)
        self.root = os.path.join("/run/readers", name)
        for d in ("root", "upper", "work"):
            os.makedirs(os.path.join(self.root, d))
        upper, self.top = self.root + "/upper", self.root + "/root"
        r = run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=%s,workdir=%s/work" % (upper, self.root), self.top)
        if r.returncode != 0:
            raise lab.Skip("no overlay mounts here: " + r.stderr.strip())
        for deb in debs:                              # unpacked, not installed: nothing of it starts, nothing conflicts
            r = run("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -xp --keep-directory-symlink -C "$2"', "sh", deb, self.top)
            assert r.returncode == 0, r.stderr
        for d in ("proc", "run", "tmp"):
            subprocess.run(["mount", "--rbind", "/" + d, self.top + "/" + d], check=True)
        self.devices()
        self.users = dict(users)
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nmail:x:8:8::/:/bin/false\n"
                   + "".join("%s:x:%d:%d::/:/bin/false\n" % (u, n, n) for u, n in users.items()))
        self.write("etc/group", "root:x:0:\nnogroup:x:65534:\nmail:x:8:\n" + "".join("%s:x:%d:\n" % (u, n) for u, n in users.items()))
        self.write("etc/hosts", "127.0.0.1 localhost reader.test\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.daemon = None

    def devices(self):
        """/dev of its own, where log is ours: some servers tell their troubles to syslog alone."""
        dev = self.top + "/dev"
        subprocess.run(["mount", "-t", "tmpfs", "none", dev], check=True)
        for name in ("null", "zero", "random", "urandom"):
            os.mknod(dev + "/" + name, 0o666 | stat.S_IFCHR, os.stat("/dev/" + name).st_rdev)
            os.chmod(dev + "/" + name, 0o666)
        self.syslog = []
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind(dev + "/log")
        os.chmod(dev + "/log", 0o666)
        threading.Thread(target=lambda: [self.syslog.append(log.recv(8192).decode("utf-8", "replace")) for _ in iter(int, 1)], daemon=True).start()

    def write(self, name, text):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "w") as f:
            f.write(text)

    def run(self, *args, **kw):
        return run("chroot", self.top, *args, **kw)

    races = 0

    def raced(self):
        """Was the last refusal a race of the reader's own, which no writer can prevent?"""
        return False

    def start(self, *args):
        self.log = open(self.root + "/log", "w+")
        self.daemon = subprocess.Popen(["chroot", self.top, *args], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def said(self):
        self.log.flush()
        with open(self.root + "/log", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.daemon is None:
            return
        self.daemon.terminate()
        try:
            self.daemon.wait(5)
        except subprocess.TimeoutExpired:
            self.daemon.kill()


class Postfix(Reader):
    """check_client_access btree:, the recipe of every Postfix that ever used DRAC; master in the foreground, nothing chrooted."""
    port = port6 = 2501

    def __init__(self):
        super().__init__("postfix", {"postfix": 901, "postdrop": 902})
        table = drac_lab.table_path(office)[:-3]
        self.write("etc/postfix/main.cf", "\n".join([
            "compatibility_level = 3.6", "myhostname = reader.test", "mydestination =", "mynetworks =", "inet_interfaces = all", "inet_protocols = all",
            "maillog_file = /dev/stdout", "alias_maps =", "alias_database =", "smtpd_peername_lookup = no", "smtpd_client_connection_count_limit = 0",
            "smtpd_relay_restrictions = check_client_access btree:%s, reject_unauth_destination" % table, "smtpd_recipient_restrictions =",
            "default_transport = discard", "queue_directory = /var/spool/postfix", "data_directory = /var/lib/postfix", "command_directory = /usr/sbin",
            "daemon_directory = /usr/lib/postfix/sbin", "shlib_directory = /usr/lib/postfix", "setgid_group = postdrop", "mail_owner = postfix", ""]))
        services = ["%d inet n - n - - smtpd" % self.port, "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                    "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                    "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap", "discard unix - - n - - discard",
                    "error unix - - n - - error", "retry unix - - n - - error", "anvil unix - - n - 1 anvil", "postlog unix-dgram n - n - 1 postlogd"]
        self.write("etc/postfix/master.cf", "\n".join(services) + "\n")
        os.makedirs(self.top + "/var/lib/postfix", exist_ok=True)
        os.makedirs(self.top + "/var/spool/postfix", exist_ok=True)
        os.chown(self.top + "/var/lib/postfix", 901, 901)
        self.start("postfix", "start-fg")

    def lookup(self, keys):
        """postmap -q: the keys that it finds, each with digits only."""
        r = self.run("postmap", "-q", "-", "btree:" + drac_lab.table_path(office)[:-3], input="".join(k + "\n" for k in keys))
        assert not r.stderr, r.stderr
        found = dict(line.split("\t") for line in r.stdout.splitlines())
        assert all(v.isdigit() for v in found.values()), found
        return set(found)

    def trouble(self):
        return [line for line in self.said().split("\n") if re.search(r"\b(fatal|panic|error):", line)]


class Sendmail(Reader):
    """Kdrac btree and Local_check_rcpt, as drac's INSTALL told. The map folds what it looks up to small letters: ipv6:..., where -f is not given."""
    port, port6 = 2502, 2512
    binary = "/usr/libexec/sendmail/sendmail"
    key6 = staticmethod(lambda a: "IPv6:" + ":".join("%x" % int(g, 16) for g in exploded(a)))

    def __init__(self):
        super().__init__("sendmail", {"smmta": 903, "smmsp": 904})
        table = drac_lab.table_path(office)[:-3]
        self.write("etc/mail/drac.mc", "\n".join([
            "include(`/usr/share/sendmail/cf/m4/cf.m4')dnl", "VERSIONID(`readers')dnl", "OSTYPE(`debian')dnl", "define(`confDONT_PROBE_INTERFACES', `True')dnl",
            "FEATURE(`no_default_msa')dnl", "DAEMON_OPTIONS(`Family=inet, Name=A, Port=%d')dnl" % self.port, "DAEMON_OPTIONS(`Family=inet6, Name=B, Port=%d')dnl" % self.port6,
            "define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,MapInUnsafeDirPath')dnl", "define(`confPRIVACY_FLAGS', `goaway')dnl",
            "define(`confCONNECTION_RATE_THROTTLE', `0')dnl", "define(`confMAX_DAEMON_CHILDREN', `0')dnl", "define(`confTO_IDENT', `0')dnl", "FEATURE(`accept_unresolvable_domains')dnl",
            "FEATURE(`nocanonify')dnl", "define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl", "define(`confDOMAIN_NAME', `reader.test')dnl",
            "undefine(`confHOST_STATUS_DIRECTORY')dnl", "define(`ALIAS_FILE', `')dnl", "LOCAL_CONFIG", "Kdrac btree %s" % table, "LOCAL_RULESETS", "SLocal_check_rcpt",
            "R$*\t$: $&{client_addr}", "R$+\t$: $(drac $1 $: ? $)", "R?\t$@ ?", "R$+\t$@ $#OK", "MAILER(`smtp')dnl", ""]))
        r = self.run("sh", "-c", "cd /usr/share/sendmail/cf/cf && m4 /etc/mail/drac.mc >/etc/mail/sendmail.cf")
        assert r.returncode == 0, r.stderr
        for d in ("var/spool/mqueue", "var/run/sendmail/mta", "etc/mail"):
            os.makedirs(os.path.join(self.top, d), exist_ok=True)
        self.write("etc/mail/local-host-names", "reader.test\n")
        self.write("etc/mail/service.switch", "hosts files\naliases files\npasswd files\n")
        self.start(self.binary, "-bD", "-C/etc/mail/sendmail.cf", "-O", "DeliveryMode=q")

    def lookup(self, keys):
        """sendmail -bt, "/map drac KEY"."""
        wanted = {self.key6(k) if ":" in k else k: k for k in keys}
        r = self.run(self.binary, "-bt", "-C/etc/mail/sendmail.cf", input="".join("/map drac %s\n" % k for k in wanted))
        assert "error" not in r.stderr.lower() and "cannot open" not in r.stdout, r.stdout + r.stderr
        found = re.findall(r"map_lookup: drac \((\S+)\) returns (\d+) \(0\)", r.stdout)
        return {wanted[k] for k, _ in found}

    def raced(self):
        """sendmail compares what stat(2) and open(2) of the name find, some microseconds apart, and refuses where the file changed between the two."""
        lines = [line for line in self.syslog if "file changed after pre-open" in line]
        for line in lines:
            self.syslog.remove(line)
        self.races += len(lines)
        return bool(lines)

    def trouble(self):
        return [line for line in self.said().split("\n") + self.syslog if re.search(r"SYSERR|panic|[Cc]annot open|file changed", line)]


class Exim(Reader):
    """dbmnz lookups: hosts = net-dbmnz; decides, and the same by ${lookup} on the address's text."""
    port = port6 = 2503

    def __init__(self):
        super().__init__("exim", {"Debian-exim": 905})
        table = drac_lab.table_path(office)
        self.write("etc/exim4/exim4.conf", "\n".join([
            "primary_hostname = reader.test", "domainlist local_domains = reader.test", "acl_smtp_rcpt = acl_rcpt", "host_lookup =", "rfc1413_query_timeout = 0s",
            "smtp_accept_max = 0", "queue_only = true", "local_interfaces = <; 0.0.0.0.%d ; ::0.%d" % (self.port, self.port), "log_file_path = /var/log/exim/%slog",
            "disable_ipv6 = false", "spool_directory = /var/spool/exim4", "keep_environment =", "begin acl", "acl_rcpt:",
            "  deny  hosts = net-dbmnz;%s" % table, "        !condition = ${lookup{$sender_host_address}dbmnz{%s}{yes}{${lookup{${sg{${mask:$sender_host_address/128}}{/128}{}}}dbmnz{%s}{yes}{no}}}}" % (table, table),
            "        message = the two spellings disagree", "  accept hosts = net-dbmnz;%s" % table, "  deny message = relay not permitted", ""]))
        for d in ("var/spool/exim4", "var/log/exim"):
            os.makedirs(os.path.join(self.top, d), exist_ok=True)
            os.chown(os.path.join(self.top, d), 905, 905)
        self.start("/usr/sbin/exim4", "-bdf", "-C", "/etc/exim4/exim4.conf")

    def lookup(self, keys):
        """exim -be, both spellings."""
        wanted = {":".join(exploded(k)) if ":" in k else k: k for k in keys}
        table = drac_lab.table_path(office)
        r = self.run("/usr/sbin/exim4", "-C", "/etc/exim4/exim4.conf", "-be", input="".join("%s=${lookup{%s}dbmnz{%s}}\n" % (k, k, table) for k in wanted))
        assert not r.stderr and "Failed" not in r.stdout, r.stderr + r.stdout[-500:]
        found = re.findall(r"(\S+)=(\d+)", r.stdout.replace("> ", ""))
        return {wanted[k] for k, _ in found}

    def trouble(self):
        lines = []
        for path in glob.glob(self.top + "/var/log/exim/*"):
            with open(path) as f:
                lines += f.read().split("\n")
        return [line for line in lines if re.search(r"panic|failed|defer|disagree", line)] + ["no log"] * (len(lines) == 0)


def exploded(a):
    """The eight groups of an IPv6 address, four digits each."""
    packed = socket.inet_pton(socket.AF_INET6, a)
    return ["%02x%02x" % (packed[i], packed[i + 1]) for i in range(0, 16, 2)]


# ---- dracd under load ----

class Load(threading.Thread):
    """Grants one new address after the other, each answered, while dracd is killed with -9 every second or so. published: what db5.3_dump has seen."""

    def __init__(self, first):
        super().__init__(daemon=True)
        self.next, self.end = first, first + GRANTS
        self.answered, self.published, self.error = [], [], None
        self.killer = drac_lab.Killer(office)
        self.keys = os.path.join(office.dir, "keys.%d" % first)
        open(self.keys, "w").close()
        self.start()

    def run(self):
        try:
            caller = drac_lab.Caller(office.port["drac-udp"])
            again = time.monotonic() + 0.5
            while self.next < self.end:
                a = address(self.next)
                assert caller.add(a) == 0, a
                self.answered.append(a)
                self.next += 1
                time.sleep(0.0005)
                if time.monotonic() > again:
                    again = time.monotonic() + random.uniform(0.3, 1.2)
                    self.look()
                    self.killer.kill()
            lab.eventually("all grants are in dracd.db", self.look, 10)
        except BaseException as e:
            self.error = e

    def look(self):
        """What was answered and has been seen in the file must be found by every reader from now on."""
        seen = drac_lab.dump(office)
        new = [a for a in self.answered[len(self.published):]]
        while new and new[-1] not in seen:
            new.pop()
        with open(self.keys, "a") as f:
            f.writelines(a + "\n" for a in new)
        self.published += new
        missing = [a for a in self.published if a not in seen]
        assert not missing, "granted, published, and gone: %s" % missing[:5]
        return len(self.published) == len(self.answered)

    def finish(self):
        self.join(300)
        assert not self.is_alive() and self.error is None, self.error
        assert len(self.published) == GRANTS and self.killer.kills >= 1, (len(self.published), self.killer.kills)


_first = [0]


def load():
    world()
    _first[0] += GRANTS
    return Load(_first[0] - GRANTS)


def relays(reader, source):
    """May this address send to somebody elsewhere?"""
    where = ("::1", reader.port6) if ":" in source else ("127.0.0.1", reader.port)
    with smtplib.SMTP(*where, "laptop.test", 30, (source, 0)) as s:
        s.ehlo()
        code, text = s.mail("roamer@reader.test")
        assert code == 250, (code, text)
        code, text = s.rcpt("x@elsewhere.example")
        assert code in (250, 550, 554), (code, text)
        return code == 250


def while_dracd_writes(make):
    """A mail server's tool is asked for all that is published, and its daemon from published and from strange addresses, as long as grants come."""
    reader = make()
    lookups = sessions = 0
    try:
        lab.eventually("the reader's daemon listens", lambda: lab._taken(reader.port), 20)
        grants = load()
        while grants.is_alive() or sessions < 10:
            known = list(grants.published)
            if not known:
                time.sleep(0.05)
                continue
            found = reader.lookup(known + ["203.0.113.9"])
            assert found == set(known), "lost: %s" % list(set(known) - found)[:5]
            lookups += len(known)
            for a in random.sample(known, min(8, len(known))):
                assert relays(reader, a) or reader.raced() and relays(reader, a), (a, reader.trouble()[-3:])
                sessions += 1
            assert not relays(reader, "198.18.255.7") and not relays(reader, HERE6 + "7")
        grants.finish()
        found = reader.lookup(grants.answered)
        assert found == set(grants.answered), "lost: %s" % list(set(grants.answered) - found)[:5]
        assert not reader.trouble() and reader.races <= 1 + sessions // 100, (reader.races, reader.trouble()[:5])
        print("note: %s: %d lookups and %d sessions without an error, %d grants, dracd killed %d times%s" % (
            reader.root.split("/")[-1], lookups, sessions, GRANTS, grants.killer.kills, ", %d races of its own" % reader.races if reader.races else ""))
    finally:
        reader.stop()


# ---- tests ----

def test_tools_and_open_get_close_meet_no_error():
    world()
    grants = load()
    tool = os.path.join(lab.HERE, lab.BUILD, "tests/system/drac_reader")
    readers = [subprocess.Popen([tool, drac_lab.table_path(office), grants.keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(2)]
    verified = 0
    while grants.is_alive():
        r = run("db5.3_verify", drac_lab.table_path(office))
        assert r.returncode == 0, r.stderr
        verified += 1
    out = [r.communicate() for r in readers]
    grants.finish()
    counts = [list(map(int, o.split())) for o, _ in out]
    assert all(n > 100 and errors == 0 and missing == 0 for n, errors, missing in counts), (counts, [e for _, e in out])
    print("note: open, get, close: %d lookups without an error, db5.3_verify %d times, dracd killed %d times" % (sum(c[0] for c in counts), verified, grants.killer.kills))


def test_postfix_reads_while_dracd_writes():
    while_dracd_writes(Postfix)


def test_sendmail_reads_while_dracd_writes():
    while_dracd_writes(Sendmail)


def test_exim_reads_while_dracd_writes():
    while_dracd_writes(Exim)


if not os.environ.get("PH_NETNS") and os.geteuid() == 0:     # before the network is gone
    for name in PACKAGES:
        try:
            fetch(name)
        except lab.Skip as e:
            print("note:", e)
nets.enter(__file__, "ip addr add 198.18.0.1/16 dev lo && ip -6 route add local %s/64 dev lo && sysctl -qw net.ipv6.ip_nonlocal_bind=1 && mkdir -p /run/readers" % HERE6)
lab.main()
