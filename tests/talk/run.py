#!/usr/bin/env python3
"""tests/talk/run.py --dir D [--talk PROGRAM] FILE-OR-FOLDER... - runs dialogues against the live appliance that `quickstart up --dir D` started.

The language is that of README.md; the client's lines of a block go out in one piece. What a live run can't bring about skips the file, with the reason:
peers, clocks, settings that differ from the appliance's, and directives that the adapter's `live` does not name or that are not known here.
The mailboxes of u1 u2 u3 are emptied and DRAC grants forgotten before each file. Prints failures; the last line is "N passed, N failed, N skipped".
"""
import argparse
import fnmatch
import imaplib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time

DOMAIN, PASSWORD, USERS = 'office.test', 'secret', ('u1', 'u2', 'u3')
OWN = {'tls', 'login', 'port', 'mail', 'folder', 'deliver', 'expunge', 'flag'}
DEFAULT_PORT = {'smtp': 'smtp', 'pop3': 'pop3', 'imap': 'imap'}
IMPLICIT_TLS = {'submissions', 'pop3s', 'imaps'}
QUIET_S = 0.2


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def unescape(text):
    def one(m):
        word = m.group(1)
        return chr(int(word[1:], 16)) if word[0] == 'x' else {'r': '\r', 'n': '\n', 't': '\t', '0': '\0', '\\': '\\'}[word]
    return re.sub(r'\\(x[0-9a-fA-F]{2}|[rnt0\\])', one, text.decode('latin-1')).encode('latin-1')


def parse(path):
    """[(line number, word, text)], as octets where they go over the wire."""
    steps = []
    with open(path, 'rb') as f:
        for number, line in enumerate(f.read().split(b'\n'), 1):
            if not line or line.startswith(b'#'):
                continue
            word, _, text = line.partition(b':')
            steps.append((number, word.decode(), text[1:] if text.startswith(b' ') else text))
    return steps


class Line:
    """One connection, line by line."""

    def __init__(self, host, port, patience):
        self.sock = socket.create_connection((host, port), timeout=patience)
        self.patience, self.got, self.closed = patience, b'', False

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)

    def read(self, patience):
        """False when nothing came in time."""
        if self.closed:
            return False
        self.sock.settimeout(patience)
        try:
            piece = self.sock.recv(65536)
        except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
            return False
        except (ConnectionError, ssl.SSLError):
            piece = b''
        self.got += piece
        self.closed = piece == b''
        return True

    def line(self):
        end = time.monotonic() + self.patience
        while b'\n' not in self.got:
            if self.closed or not self.read(max(0.01, end - time.monotonic())) and time.monotonic() > end:
                return None
        line, _, self.got = self.got.partition(b'\n')
        return line.rstrip(b'\r')

    def quiet(self):
        """What came although nothing should have; None: nothing."""
        if not self.got:
            self.read(QUIET_S)
        return self.got or None

    def send(self, octets):
        try:
            self.sock.settimeout(self.patience)
            self.sock.sendall(octets)
        except OSError:
            pass                                     # the S lines tell what it said before it hung up

    def close(self):
        self.sock.close()


def matches(pattern, line):
    pattern = re.escape(pattern.decode('latin-1')).replace(r'\*', '.*')
    return re.fullmatch(pattern, line.decode('latin-1'), re.S) is not None


class Appliance:
    def __init__(self, folder, posthouse):
        self.folder, self.posthouse = folder, posthouse
        with open(os.path.join(folder, 'ports')) as f:
            self.port = {name: int(port) for name, port in (line.strip().split('=') for line in f)}

    def setting(self, name):
        conf = os.path.join(self.folder, 'etc', 'posthouse.conf')
        out = subprocess.run([self.posthouse, '-C', conf, 'conf', name], capture_output=True, text=True).stdout
        return out.partition('=')[2].strip()

    def mail_folder(self, user):
        return os.path.join(self.folder, 'state', 'mail', DOMAIN, user)

    def holds_open(self, folder):
        """Whether some process still has a file of that folder open."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                for fd in os.listdir(f'/proc/{pid}/fd'):
                    if os.readlink(f'/proc/{pid}/fd/{fd}').startswith(folder):
                        return True
            except OSError:
                continue
        return False

    def empty(self):
        for user in USERS:
            folder = self.mail_folder(user)
            end = time.monotonic() + 5
            while os.path.isdir(folder) and self.holds_open(folder) and time.monotonic() < end:
                time.sleep(0.02)
            shutil.rmtree(folder, ignore_errors=True)

    def forget_grants(self):
        """A login of an earlier file vouches for our address; in memory each file begins without."""
        conf = os.path.join(self.folder, 'etc', 'posthouse.conf')
        subprocess.run([self.posthouse, '-C', conf, 'drac', 'flush'], check=True, stdout=subprocess.DEVNULL)

    def append(self, folder, octets):
        with imaplib.IMAP4('127.0.0.1', self.port['imap']) as imap:
            imap.login('u1', PASSWORD)
            if folder != 'INBOX':
                imap.create(folder)
            status, text = imap.append(folder, None, None, octets)
            if status != 'OK':
                raise Failed(f'APPEND: {text}')


    def change(self, folder, uid, flag):
        """Somebody else sets a flag on a message of u1, or removes it."""
        with imaplib.IMAP4('127.0.0.1', self.port['imap']) as imap:
            imap.login('u1', PASSWORD)
            imap.select(folder)
            if flag is None:
                imap.uid('MOVE', uid, 'Trash')       # in one step, as POP3 removes
            else:
                imap.uid('STORE', uid, '+FLAGS.SILENT', flag)
            imap.unselect()


class Run:
    def __init__(self, path, protocol, appliance, patience):
        self.path, self.protocol, self.appliance, self.patience = path, protocol, appliance, patience
        self.line, self.out, self.heard, self.ended = None, b'', False, False
        self.port, self.folder, self.number = DEFAULT_PORT.get(protocol, protocol), 'INBOX', 0

    def fail(self, text, said=None):
        more = '' if said is None else " '" + said.decode('utf-8', 'backslashreplace').replace('\r', '\\r').replace('\n', '\\n')[:200] + "'"
        raise Failed(f'{self.path}:{self.number}: {text}{more}')

    def connect(self):
        if self.line is None:
            self.line = Line('127.0.0.1', self.appliance.port[self.port], self.patience)
            if self.port in IMPLICIT_TLS:
                self.line.start_tls()

    def expect(self, pattern):
        line = self.line.line()
        if line is None or not matches(pattern, line):
            self.fail('login: the server said', line or b'')

    def talk(self, octets, pattern, until=False):
        self.line.send(octets)
        line = self.line.line()
        while until and line is not None and not matches(pattern, line):
            line = self.line.line()
        if line is None or not matches(pattern, line):
            self.fail('login: the server said', line or b'')

    def login(self, user):
        self.connect()
        self.expect(b'*')
        if self.protocol == 'pop3':
            self.talk(b'USER ' + user + b'\r\n', b'+OK*')
            self.talk(b'PASS ' + PASSWORD.encode() + b'\r\n', b'+OK*')
        elif self.protocol == 'imap':
            self.talk(b'login LOGIN ' + user + b' ' + PASSWORD.encode() + b'\r\n', b'login OK*', until=True)
        else:
            raise Skipped(f'no login: for {self.protocol}')

    def own(self, word, text):
        if word == 'port':
            self.port = text.decode()
        elif word == 'folder':
            self.folder = text.decode()
        elif word == 'mail':
            self.appliance.append(self.folder, unescape(text))
        elif word == 'deliver':
            folder, _, subject = text.partition(b' ')
            self.appliance.append(folder.decode(), b'From: X <x@elsewhere.test>\r\nSubject: %s\r\n\r\nHello\r\n' % subject)
        elif word in ('expunge', 'flag'):
            folder, _, uid = text.decode().partition(' ')
            self.appliance.change(folder, uid, None if word == 'expunge' else r'(\Flagged)')
        elif word == 'login':
            self.login(text)
        elif word == 'tls':
            if self.line is None and self.protocol in ('pop3', 'imap'):
                self.port = self.protocol + 's'      # first of all: the port that begins with TLS
                self.connect()
            elif self.line is None:
                self.port = 'submissions'
                self.connect()
            else:
                self.line.start_tls()

    def hear(self, word, text):
        while True:
            line = self.line.line()
            if line is None and word == 'S-until':
                self.fail('the server never said', text)
            if line is None:
                self.fail('the server said nothing, expected', text)
            if matches(text, line):
                return
            if word != 'S-until':
                self.fail('the server said', line)

    def flush(self):
        if self.out:
            self.connect()
            self.line.send(self.out)
            self.out = b''

    def step(self, word, text):
        if word in ('C', 'C-raw', 'C-fill'):
            self.connect()
            if word == 'C-fill':
                count, _, unit = text.partition(b' ')
                text = unit * int(count)
            self.out += text + b'\r\n' if word == 'C' else unescape(text) if word == 'C-raw' else text
            return
        self.flush()
        if word in ('S', 'S-until'):
            self.connect()
            self.hear(word, text)
        elif word == 'S-none':
            if self.line.quiet():
                self.fail('the server said', self.line.got)
        elif word == 'S-close':
            while not self.line.closed and self.line.read(self.patience):
                pass
            if self.line.got:
                self.fail('before it hung up the server said', self.line.got)
            if not self.line.closed:
                self.fail('the server has not hung up')
            self.ended = True
        elif word in OWN:
            self.own(word, text)

    def all(self, steps):
        try:
            for self.number, word, text in steps:
                self.step(word, text)
            self.flush()
            if self.line is not None and not self.ended:
                if self.line.quiet():
                    self.fail('after this the server also said', self.line.got)
                if self.line.closed:
                    self.fail('after this the server hung up')
        finally:
            if self.line is not None:
                self.line.close()


def check_can_run(steps, live, appliance):
    known = {'C', 'C-raw', 'C-fill', 'S', 'S-until', 'S-none', 'S-close'}
    for _, word, text in steps:
        value = text.decode('utf-8', 'replace')
        if word == 'setting':
            name, _, want = value.partition('=')
            if appliance.setting(name.strip()) != want.strip():
                raise Skipped(f'the appliance has another {name.strip()}')
        elif word == 'peer' and value != '127.0.0.1':
            raise Skipped(f'no connection from {value}')
        elif word == 'clock':
            raise Skipped('the clock of a daemon is the real one')
        elif word not in known | {'peer'} and word not in OWN & live:
            raise Skipped(f"no '{word}:' against a daemon")


def files(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in sorted(os.walk(path)):
            for name in sorted(fnmatch.filter(names, '*.talk')):
                yield os.path.join(folder, name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--dir', required=True)
    parser.add_argument('--talk', default='build/tests/talk/talk')
    parser.add_argument('--posthouse', default='build/bin/posthouse')
    parser.add_argument('--patience', type=float, default=10)
    parser.add_argument('paths', nargs='+')
    args = parser.parse_args()
    appliance = Appliance(args.dir, args.posthouse)
    live, passed, failed, skipped = {}, 0, 0, 0
    for path in files(args.paths):
        protocol = os.path.basename(os.path.dirname(path))
        if protocol not in live:
            found = subprocess.run([args.talk, '-l', protocol], capture_output=True, text=True)
            live[protocol] = set(found.stdout.split()) if found.returncode == 0 else None
        try:
            steps = parse(path)
            if live[protocol] is None or protocol not in DEFAULT_PORT:
                raise Skipped(f'no daemon speaks {protocol}')
            check_can_run(steps, live[protocol], appliance)
            appliance.empty()
            appliance.forget_grants()
            Run(path, protocol, appliance, args.patience).all(steps)
            passed += 1
        except Skipped as why:
            print(f'skip {path}: {why}')
            skipped += 1
        except (Failed, OSError, imaplib.IMAP4.error) as why:
            print(f'FAILED {why if isinstance(why, Failed) else f"{path}: {why}"}')
            failed += 1
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
