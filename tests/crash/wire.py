"""tests/crash/wire.py - a plain IMAP and POP3 client for the checkers: nothing is hidden, every untagged line is kept."""
import collections, re, socket

import lab


class Refused(Exception):
    """A command got NO, BAD or -ERR."""


class Imap:
    def __init__(self, port, user="u1", password="secret", timeout=30):
        self.s = socket.create_connection(("127.0.0.1", port), timeout * lab.SLOW)
        self.f = self.s.makefile("rb")
        self.n, self.story = 0, collections.deque(maxlen=60)
        assert self.line().startswith(b"* OK")
        self.ask("LOGIN %s %s" % (user, password))

    def line(self):
        """One line of the server; literals in it are read and put in their places, without their {n}."""
        whole = b""
        while True:
            line = self.f.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the server closed the connection")
            m = re.search(rb"\{(\d+)\}\r\n$", line)
            if m is None:
                whole += line.rstrip(b"\r\n")
                self.story.append(whole[:200])
                return whole
            whole += line[:m.start()] + self.f.read(int(m.group(1)))

    def send(self, command):
        self.n += 1
        self.tag = b"a%d" % self.n
        self.story.append(b"C: " + (command if isinstance(command, bytes) else command.encode())[:200])
        self.s.sendall(self.tag + b" " + (command if isinstance(command, bytes) else command.encode()) + b"\r\n")

    def finish(self):
        """Untagged lines up to the tagged OK, which is last. Refused: it was another one; its args are (reply, untagged lines)."""
        got = []
        while True:
            line = self.line()
            if line.startswith(self.tag + b" "):
                line = line[len(self.tag) + 1:]
                if not line.startswith(b"OK"):
                    raise Refused(line.decode(errors="replace"), got)
                return got + [line]
            if line.startswith(b"* BYE"):
                raise EOFError(line.decode(errors="replace"))
            got.append(line)

    def ask(self, command):
        self.send(command)
        return self.finish()

    def append(self, folder, octets, flags=""):
        """The new UID, and the untagged lines."""
        self.send("APPEND %s (%s) {%d+}\r\n" % (folder, flags, len(octets)) + octets.decode())
        got = self.finish()
        return int(re.search(rb"\[APPENDUID \d+ (\d+)\]", got[-1]).group(1)), got

    def close(self):
        self.f.close(), self.s.close()


class Pop3:
    def __init__(self, port, user="u1", password="secret", timeout=30):
        self.s = socket.create_connection(("127.0.0.1", port), timeout * lab.SLOW)
        self.f = self.s.makefile("rb")
        self._reply()
        self.ask("USER " + user)
        self.ask("PASS " + password)

    def _reply(self):
        line = self.f.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the server closed the connection")
        if not line.startswith(b"+OK"):
            raise Refused(line.decode(errors="replace"), [])
        return line

    def ask(self, command):
        self.s.sendall(command.encode() + b"\r\n")
        return self._reply()

    def lines(self, command):
        self.ask(command)
        got = []
        while True:
            line = self.f.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the server closed the connection")
            if line == b".\r\n":
                return got
            got.append(line[1:] if line.startswith(b"..") else line)

    def close(self):
        self.f.close(), self.s.close()


def numbers(text):
    """3:5,9 -> [3, 4, 5, 9]"""
    out = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        out += range(int(first), int(last or first) + 1)
    return out


def message(token, padding=200):
    return ("Subject: %s\r\nX-Token: <%s>\r\n\r\n%s\r\n[end %s]\r\n" % (token, token, "padding " * (padding // 8), token)).encode()
