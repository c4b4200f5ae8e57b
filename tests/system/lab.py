"""tests/system/lab.py - what the tests of running daemons share: throwaway appliances, a sink for outgoing mail, a DNS server, and counting.

A test file defines functions test_*(), some with the decorators below, and ends with lab.main(). Its last line is "N passed, N failed, N skipped".
"""
import asyncio, atexit, contextlib, os, re, shutil, signal, smtplib, socket, ssl, subprocess, sys, tempfile, threading, time, traceback

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("POSTHOUSE_BUILD", "build")
BIN = os.path.join(HERE, BUILD, "bin")
SANITIZED = BUILD == "build-san"
SLOW = 4 if SANITIZED else 1          # how much longer a wait may last


sanitizer_reports = []                # of appliances that are gone; one fails the run


class Skip(Exception):
    """Raised by a test that cannot run here; its text says why."""


def need(*programs):
    for p in programs:
        if shutil.which(p) is None:
            raise Skip("no program " + p)


def eventually(what, check, seconds=10):
    """Calls check() until it is true; its last value is returned. Fails with `what` in the words."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %d s: %s" % (seconds * SLOW, what))
        time.sleep(0.02)


def is_alive(pid):
    """A process that has ended is not alive, also while nobody has collected its status."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def title(pid):
    """What a process calls itself, DAEMON:ROLE for most of ours; "" when it is gone."""
    with contextlib.suppress(OSError), open("/proc/%d/comm" % pid) as f:
        return f.read().strip()
    return ""


def children(pid):
    with contextlib.suppress(OSError), open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]
    return []


def send(signo, pids):
    """The signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signo)


def kill(pids):
    """kill -9. A killed process keeps its sockets and locks until the kernel is through with it: returns when all are gone."""
    send(signal.SIGKILL, pids)
    eventually("the killed processes are gone", lambda: not any(map(is_alive, pids)))


def _taken(port):
    for name in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(OSError), open("/proc/net/" + name) as f:
            for line in f.readlines()[1:]:
                if int(line.split()[1].split(":")[1], 16) == port:
                    return True
    return False


# Below the ports that the kernel gives to outgoing connections (32768 and up): such a connection would take a door away between look and bind.
_next_base = [10000 + os.getpid() % 19 * 1100]


def free_base():
    """A base port with nothing on it (the highest offset is 995)."""
    while True:
        base = _next_base[0] = _next_base[0] + 1100 if _next_base[0] < 30500 else 10000
        if not any(_taken(base + off) for off in (24, 25, 110, 143, 465, 587, 901, 993, 995)):
            return base


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Appliance:
    """One throwaway appliance. settings: name -> value; files: name below etc/ -> text."""

    def __init__(self, users=2, domain="office.example", settings=None, files=None, base=None, netns=None):
        self.domain, self.users, self.netns = domain, users, netns
        self.dir = tempfile.mkdtemp(prefix="ph.", dir="/tmp")
        self.base = base or free_base()
        self.settings = dict(settings or {})
        for name, text in (files or {}).items():
            os.makedirs(os.path.join(self.dir, "etc"), exist_ok=True)
            with open(os.path.join(self.dir, "etc", name), "w") as f:
                f.write(text)
        if files:                                    # up writes only into an empty folder or one of its own
            open(os.path.join(self.dir, "etc", "posthouse.conf"), "a").close()
        atexit.register(self.destroy)
        try:
            self.up()
        except AssertionError as e:                  # a question to the DNS goes out from any UDP port, also from one of ours between look and bind
            if base or not re.search("Address already in use|is taken; choose another", str(e)):
                raise
            self.base = free_base()
            self.up()

    def _quickstart(self, *args):
        cmd = ([] if self.netns is None else ["ip", "netns", "exec", self.netns]) + [os.path.join(HERE, "quickstart"), *args]
        return subprocess.run(cmd, capture_output=True, text=True)

    def up(self):
        args = ["up", "--dir", self.dir, "--base", str(self.base), "--users", str(self.users), "--domain", self.domain]
        for name, value in self.settings.items():
            args += ["--set", "%s=%s" % (name, value)]
        r = self._quickstart(*args)
        if r.returncode != 0:
            raise AssertionError("quickstart up: %s%s\n%s" % (r.stdout, r.stderr, self.log()[-2000:]))
        self.port = {}
        with open(os.path.join(self.dir, "ports")) as f:
            for line in f:
                name, number = line.strip().split("=")
                self.port[name] = int(number)

    def down(self):
        r = self._quickstart("down", "--dir", self.dir)
        if r.returncode != 0:
            raise AssertionError("quickstart down: " + r.stderr)

    def destroy(self):
        if self.dir is None:
            return
        if os.path.isdir(os.path.join(self.dir, "run")):
            self._quickstart("down", "--dir", self.dir)
        report = self.sanitizer_reports()
        if report:
            sanitizer_reports.append(report)
            print("FAILED: the daemons of %s left a sanitizer report:\n%s" % (self.domain, report[:6000]))
        if os.environ.get("POSTHOUSE_KEEP"):
            print("note: kept " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        self.dir = None

    def sanitizer_reports(self):
        """From the first one on, with its stack; "" where there is none."""
        found = re.search(r"[^\n]*(?:ERROR: \w+Sanitizer|runtime error:).*", self.log(), re.S)
        return found.group(0) if found else ""

    @property
    def conf(self):
        return os.path.join(self.dir, "etc", "posthouse.conf")

    @property
    def ca(self):
        return os.path.join(self.dir, "etc", "cert.pem")

    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    def log(self):
        text = ""
        for name in ("log", "smtpd.out", "pop3d.out", "imapd.out", "dracd.out"):
            with contextlib.suppress(OSError), open(os.path.join(self.dir, name), errors="replace") as f:
                text += f.read()
        return text

    def supervisor(self, daemon):
        with open(os.path.join(self.dir, "run", daemon + ".pid")) as f:
            return int(f.read())

    def processes(self, daemon):
        """What the supervisor of a daemon forked."""
        return children(self.supervisor(daemon))

    def pids(self, *titles):
        """All processes of this appliance, the supervisors and what they forked; or those with one of these titles."""
        found = []
        queue = [self.supervisor(name[:-4]) for name in os.listdir(os.path.join(self.dir, "run")) if name.endswith(".pid")]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children(pid)
        return [pid for pid in found if not titles or title(pid) in titles]

    def posthouse(self, *args, check=True, **kw):
        r = subprocess.run([os.path.join(BIN, "posthouse"), "-C", self.conf, *args], capture_output=True, text=True, **kw)
        if check and r.returncode != 0:
            raise AssertionError("posthouse %s: status %d: %s%s" % (" ".join(args), r.returncode, r.stdout, r.stderr))
        return r.stdout if check else r

    def mail(self, user, folder=""):
        """The messages (as bytes) in a user's folder on disk."""
        found = []
        for sub in ("new", "cur"):
            d = os.path.join(self.dir, "state", "mail", self.domain, user, folder, sub)
            for name in sorted(os.listdir(d)) if os.path.isdir(d) else []:
                with contextlib.suppress(FileNotFoundError), open(os.path.join(d, name), "rb") as f:
                    found.append(f.read())
        return found

    def wait_mail(self, user, token, seconds=10, folder=""):
        token = token if isinstance(token, bytes) else token.encode()
        return eventually("mail with %r in %s" % (token, user), lambda: [m for m in self.mail(user, folder) if token in m], seconds)

    def smtp(self, door="smtp", source=None, host="127.0.0.1", timeout=20):
        return smtplib.SMTP(host, self.port[door], local_hostname="client.test", timeout=timeout * SLOW, source_address=(source, 0) if source else None)

    def submit(self, token, rcpt, sender="u1", data=None):
        """Submits one message by port 587, STARTTLS and AUTH PLAIN."""
        with self.smtp("submission") as s:
            s.starttls(context=self.tls_any())
            s.login("%s@%s" % (sender, self.domain), "secret")
            s.sendmail("%s@%s" % (sender, self.domain), rcpt,
                       data or "From: %s@%s\r\nTo: x\r\nSubject: %s\r\n\r\n%s\r\n" % (sender, self.domain, token, token))

    def tls_any(self):
        """TLS that takes the certificate whatever name we connected by."""
        c = ssl.create_default_context(cafile=self.ca)
        c.check_hostname = False
        return c

    def raw(self, door, source=None, host="127.0.0.1", timeout=20):
        s = socket.create_connection((host, self.port[door]), timeout * SLOW, (source, 0) if source else None)
        return s


class Sink:
    """An SMTP server for outgoing mail: keeps what it is given. reply: called with each command line, may return a reply instead of ours."""

    def __init__(self, host="127.0.0.1", port=None, reply=None):
        self.host, self.port, self.reply = host, port or free_port(), reply
        self.messages = []                           # (sender, [rcpt], data)
        self.commands = []
        self._ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait(5)

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        server = await asyncio.start_server(self._client, self.host, self.port, limit=1 << 24)
        self._ready.set()
        await server.serve_forever()

    async def _client(self, reader, writer):
        def say(line):
            writer.write(line.encode() + b"\r\n")
        sender, rcpts = None, []
        say("220 sink ESMTP")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                line = (await reader.readline()).decode("utf-8", "replace")
                if not line:
                    break
                line = line.rstrip("\r\n")
                self.commands.append(line)
                own = self.reply(line) if self.reply else None
                verb = line.upper()
                if own is not None:
                    say(own)
                elif verb.startswith("EHLO"):
                    say("250-sink"), say("250-PIPELINING"), say("250-8BITMIME"), say("250-SMTPUTF8"), say("250 SIZE 100000000")
                elif verb.startswith("MAIL"):
                    sender, rcpts = re.search("<(.*?)>", line).group(1), []
                    say("250 2.1.0 ok")
                elif verb.startswith("RCPT"):
                    rcpts.append(re.search("<(.*?)>", line).group(1))
                    say("250 2.1.5 ok")
                elif verb == "DATA":
                    say("354 go")
                    await writer.drain()
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self.messages.append((sender, rcpts, data[:-3].replace(b"\r\n..", b"\r\n.")))
                    say("250 2.0.0 kept")
                elif verb == "QUIT":
                    say("221 bye")
                    await writer.drain()
                    break
                else:
                    say("250 ok")
                await writer.drain()
        writer.close()

    def wait(self, token, seconds=10):
        token = token.encode()
        return eventually("message with %r at the sink" % token, lambda: [m for m in self.messages if token in m[2]], seconds)


class Dns:
    """A real DNS server (dnsmasq) on loopback. records: its own options without --, e.g. "mx-host=elsewhere.test,mx.elsewhere.test,10"."""

    def __init__(self, records, netns=None):
        need("dnsmasq")
        self.port = free_port()
        pre = [] if netns is None else ["ip", "netns", "exec", netns]
        self.proc = subprocess.Popen(pre + ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--port=%d" % self.port,
                                      "--listen-address=127.0.0.1", "--bind-interfaces", "--log-facility=/dev/null", "--pid-file=", "--user=root"]
                                     + ["--local=/test/", "--local=/example/"] + ["--" + r for r in records],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        if netns is None:
            eventually("dnsmasq answers", lambda: _taken(self.port), 5)
        else:
            time.sleep(0.3)

    @property
    def setting(self):
        return "127.0.0.1@%d" % self.port

    def stop(self):
        self.proc.terminate()
        self.proc.wait()


def main():
    """Runs every test_* function of the calling module, in order; names on the command line choose."""
    module = sys.modules["__main__"]
    wanted = sys.argv[1:]
    passed = failed = skipped = 0
    for name, fn in list(vars(module).items()):
        if not name.startswith("test_") or not callable(fn) or (wanted and name not in wanted):
            continue
        began = time.monotonic()
        try:
            fn()
            passed += 1
            print("ok %s (%.1f s)" % (name, time.monotonic() - began))
        except Skip as e:
            skipped += 1
            print("skip %s: %s" % (name, e))
        except BaseException:
            failed += 1
            print("FAILED %s (%.1f s)" % (name, time.monotonic() - began))
            traceback.print_exc(file=sys.stdout)
            if sys.exc_info()[0] is KeyboardInterrupt:
                break
        sys.stdout.flush()
    atexit._run_exitfuncs()
    failed += len(sanitizer_reports)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    sys.stdout.flush()
    os._exit(1 if failed else 0)
