"""The lint rules, one function each: a generator of (file, line, text). Called by tests/lint/run from the top of the tree.

A rule that needs a tool which is not installed raises Skip. Names of rules may be given as arguments to run those alone.
"""
import glob
import os
import re
import shutil
import subprocess
import sys


class Skip(Exception):
    pass


def lines_of(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read().split('\n')


def c_files(*tops):
    for top in tops or ('common', 'smtpd', 'pop3d', 'imapd', 'dracd', 'admin', 'tests'):
        for folder, _, names in sorted(os.walk(top)):
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    yield os.path.join(folder, name)


def code_of(path):
    """Lines without comments and the inside of strings, so that words there are no findings. Line numbers stay."""
    text = '\n'.join(lines_of(path))
    blank = lambda m: re.sub(r'[^\n]', ' ', m.group(0)) if m.group(0).startswith('/') else m.group(0)[0] + m.group(0)[0]
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)
    return text.split('\n')


# ARCHITECTURE.md section 1, and the order base < conf, mail, io, map < auth, drac, store < serve.
FLOOR = {'base'}
MIDDLE = {'conf', 'mail', 'io', 'map'}
UPPER = {'auth', 'drac', 'store'}
LAYERS = {'base': FLOOR, **{name: FLOOR | {name} for name in MIDDLE}, **{name: FLOOR | MIDDLE | {name} for name in UPPER},
          'serve': FLOOR | MIDDLE | UPPER | {'serve'}}
COMMON = set(LAYERS)
SMTPD_PARTS = {'reply', 'server', 'queue', 'route', 'deliver', 'client'}
DAEMONS = {'smtpd': SMTPD_PARTS | {'smtpd'}, 'pop3d': {'pop3d'}, 'imapd': {'imapd'}, 'dracd': {'dracd'}}


def includes(path):
    for number, line in enumerate(lines_of(path), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m:
            yield number, m.group(1)


def layers():
    """Includes point upward in the list of ARCHITECTURE.md section 1; common/ includes no daemon, a daemon no other daemon."""
    for path in c_files('common'):
        own = path.split('/')[1]
        for number, name in includes(path):
            folder = name.split('/')[0]
            if '/' not in name:
                yield path, number, f'an include carries its folder: "{name}"'
            elif folder not in LAYERS.get(own, COMMON):
                yield path, number, f'common/{own} may not include {folder}/'
    for daemon, parts in DAEMONS.items():
        for path in c_files(daemon):
            for number, name in includes(path):
                if name.split('/')[0] not in COMMON | parts:
                    yield path, number, f'{daemon} may include common/ and itself, not "{name}"'


def own_header_first():
    """x.c includes x.h (or the private header of its folder, which begins with it) before anything else, so that every header stands alone."""
    for path in c_files('common', 'smtpd'):
        header = path[:-2] + '.h'
        if not path.endswith('.c') or not os.path.exists(header):
            continue
        first = next((line for line in lines_of(path) if re.match(r'\s*#\s*include', line)), '')
        name = re.sub(r'^(common|smtpd)/', '', header)
        if f'"{os.path.dirname(name)}/' not in first and f'"{os.path.dirname(header)}/' not in first:
            yield path, 1, f'its own header "{name}" comes first'


BANNED = {
    'strtok': 'slice_next', 'strtok_r': 'slice_next', 'sscanf': 'base/num.h', 'strcpy': 'slices or buf', 'strcat': 'buf', 'sprintf': 'snprintf or buf_addf',
    'vsprintf': 'vsnprintf', 'atoi': 'num_u32', 'atol': 'num_u64', 'atoll': 'num_i64', 'gets': 'line_take', 'system': 'fork and exec with an argument list',
    'popen': 'fork and exec with an argument list', 'strtol': 'num_i64', 'strtoul': 'num_u64', 'strtoull': 'num_u64', 'mktemp': 'mkstemp',
    'tmpnam': 'mkstemp', 'asctime': 'date_put', 'ctime': 'date_put', 'gmtime': 'gmtime_r', 'localtime': 'localtime_r', 'inet_addr': 'net_addr_parse',
    'inet_ntoa': 'net_addr_text', 'gethostbyname': 'libunbound', 'getaddrinfo': 'libunbound', 'alloca': 'an arena', 'rand': 'text_random',
}


def banned_calls():
    """Calls that C code here does not make, and what to use instead."""
    word = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
    for path in c_files('common', 'smtpd', 'pop3d', 'imapd', 'dracd', 'admin'):
        for number, line in enumerate(code_of(path), 1):
            for m in word.finditer(line):
                yield path, number, f'{m.group(1)}() is not used here: {BANNED[m.group(1)]}'


def time_is_a_parameter():
    """Only base/clock.c asks the system for the time."""
    for path in c_files('common', 'smtpd', 'pop3d', 'imapd', 'dracd', 'admin'):
        if path == 'common/base/clock.c':
            continue
        for number, line in enumerate(code_of(path), 1):
            if re.search(r'(?<![\w.>])(time|clock_gettime|gettimeofday)\s*\(', line) and not re.search(r'\(\*time\)', line):
                yield path, number, 'time comes from base/clock.h, as a parameter where it can'


FILE_CALLS = ('open openat openat2 creat rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat remove mkdir mkdirat rmdir mknod mkfifo truncate ftruncate '
              'fsync fdatasync syncfs sync_file_range fallocate mmap munmap pread pwrite readv writev preadv pwritev stat lstat fstat fstatat statfs fstatfs access faccessat '
              'opendir fdopendir readdir getdents64 flock fcntl lockf utimensat futimens fopen sendto bind file_read file_replace file_write_all').split()


def one_door():
    """Mail is touched through the verbs of store/store.h; only the local backend (store/store_local.c, store/local_*.c) opens, renames or flushes files."""
    word = re.compile(r'(?<![\w.>])(' + '|'.join(FILE_CALLS) + r')\s*\(')
    for path in c_files('common/store', 'imapd', 'pop3d', 'smtpd/deliver'):
        if re.match(r'common/store/(store_)?local(_\w+)?\.[ch]$', path):
            continue
        for number, line in enumerate(code_of(path), 1):
            for m in word.finditer(line):
                yield path, number, f'{m.group(1)}() belongs into the local backend: everything durable of a mailbox goes through store/store.h'
        for number, name in includes(path):
            if name == 'store/local.h':
                yield path, number, 'store/local.h is the inside of the local backend'


COMPLEXITY_MAX = 40


def complexity():
    """No function is more complex than 40 by pmccabe."""
    if not shutil.which('pmccabe'):
        raise Skip('no pmccabe')
    files = [path for path in c_files() if path.endswith('.c')]
    out = subprocess.run(['pmccabe', *files], capture_output=True, text=True).stdout
    for line in out.splitlines():
        fields = line.split('\t')
        if len(fields) >= 6 and fields[0].isdigit() and int(fields[0]) > COMPLEXITY_MAX:
            m = re.match(r'(.*)\((\d+)\): (.*)', fields[5])
            yield m.group(1), m.group(2), f'{m.group(3)}() has complexity {fields[0]}, the limit is {COMPLEXITY_MAX}'


README_LINES = 30


def readmes():
    """Each folder with code has a README.md of at most 30 lines; tests/README.md tells of all folders there."""
    folders = {os.path.dirname(path) for path in c_files('common', 'smtpd', 'pop3d', 'imapd', 'dracd', 'admin')} | {'tests'}
    for folder in sorted(folders):
        path = os.path.join(folder, 'README.md')
        if not os.path.exists(path):
            yield path, 1, 'this folder has no README.md'
        elif len(lines_of(path)) - 1 > README_LINES:  # the last line end makes one more
            yield path, README_LINES + 1, f'a README.md has at most {README_LINES} lines'


def conditionals():
    """#if stands only in common/io, base/sys.h and around headers; tests may ask what they were built with."""
    for path in c_files('common', 'smtpd', 'pop3d', 'imapd', 'dracd', 'admin'):
        if path.startswith('common/io/') or path == 'common/base/sys.h':
            continue
        seen = 0
        for number, line in enumerate(code_of(path), 1):
            if not re.match(r'\s*#\s*(if|ifdef|ifndef|elif)\b', line):
                continue
            seen += 1
            if path.endswith('.h') and seen == 1 and re.match(r'#ifndef [A-Z0-9_]+_H$', line.strip()):
                continue
            yield path, number, f"'{line.strip()}' belongs into common/io or base/sys.h"


def headers_are_guarded():
    """A header is guarded by its folder and name."""
    for path in c_files():
        if not path.endswith('.h'):
            continue
        text = '\n'.join(lines_of(path))
        guard = re.search(r'^#ifndef (\w+)\n#define (\w+)$', text, re.M)
        if not guard or guard.group(1) != guard.group(2):
            yield path, 1, 'the header has no guard'


def settings():
    """Every field of struct settings has one row, every row a field, and the shipped file knows no other names."""
    text = '\n'.join(code_of('common/conf/settings.h'))
    body = text[text.index('struct settings {'):]
    fields = set()
    for m in re.finditer(r'(?:const char|bool|uint32_t|uint64_t)\s+([^;]+);', body):
        fields |= {name.strip(' *') for name in m.group(1).split(',')}
    fields -= {'path', 'settings_directory', 'system_hostname'}
    rows = {}
    for path in sorted(glob.glob('common/conf/rows_*.c')):
        for number, line in enumerate(lines_of(path), 1):
            m = re.match(r'\s*CONF_(?:STRING|LIST|BOOL|NUMBER|SECS|SIZE|CHOICE)\((\w+)', line)
            if not m:
                continue
            if m.group(1) in rows:
                yield path, number, f'{m.group(1)} has a row already'
            rows[m.group(1)] = number
            if m.group(1) not in fields:
                yield path, number, f'{m.group(1)} is no field of struct settings'
    for name in sorted(fields - set(rows)):
        yield 'common/conf/settings.h', 1, f'{name} has no row in common/conf/rows_*.c'
    for number, line in enumerate(lines_of('etc/posthouse.conf'), 1):
        m = re.match(r'#?([A-Za-z_][\w-]*) ?=', line)
        if m and m.group(1) not in rows:
            yield 'etc/posthouse.conf', number, f'there is no setting {m.group(1)}'
    used = '\n'.join('\n'.join(code_of(p)) for p in c_files() if not p.startswith(('common/conf/', 'tests/')))
    for name in sorted(rows):
        if os.environ.get('LINT_UNUSED_SETTINGS') and not re.search(r'\b' + name + r'\b', used):
            yield 'common/conf/settings.h', 1, f'{name} is read nowhere'


def manuals():
    """Man pages pass mandoc -Tlint (warnings and worse); those printed from tables are checked where `make man` has built them."""
    if not shutil.which('mandoc'):
        raise Skip('no mandoc')
    pages = sorted(glob.glob('man/*.[1-9]')) + sorted(glob.glob('build/man/*.[1-9]'))
    for page in pages:
        out = subprocess.run(['mandoc', '-Tlint', '-Wwarning', page], capture_output=True, text=True).stdout
        for line in out.splitlines():
            m = re.match(r'mandoc: ([^:]+):(\d+):\d+: (.*)', line)
            if m and 'referenced manual not found' not in line:
                yield m.group(1), m.group(2), m.group(3)


def blanks():
    """No blank at the end of a line, a line end at the end of a file."""
    for path in c_files():
        lines = lines_of(path)
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                yield path, number, 'a blank at the end of the line'
        if lines[-1] != '':
            yield path, len(lines), 'no line end at the end of the file'


CODE_TABLE = 'smtpd/reply/codes.c'


def refusals_have_codes():
    """A status of a refusal stands in smtpd/reply/codes.c alone; each row there is used by a site and has its words."""
    used = set()
    for path in c_files('smtpd'):
        text = '\n'.join(lines_of(path))
        if path.startswith('smtpd/reply/'):
            continue
        used |= set(re.findall(r'\bCODE_[A-Z_0-9]+\b', text))
        text = re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.S)
        for number, line in enumerate(text.split('\n'), 1):
            if path.startswith(('smtpd/server/', 'smtpd/route/')) and re.search(r'"[45]\d\d[ -](\d\.\d|%|[A-Za-z])', line):
                yield path, number, 'the status of a refusal comes from its row in ' + CODE_TABLE
            m = re.search(r'\bsmtp_reply\([^"]*"([^"]*)', line)
            if m and not re.match(r'[23]|%', m.group(1)):
                yield path, number, 'smtp_reply() is for yes; a refusal is smtp_no(), smtp_bad() or smtp_bye() with its code'
    names = re.search(r'enum code \{(.*?)\};', '\n'.join(code_of('smtpd/reply/codes.h')), re.S).group(1)
    table = '\n'.join(lines_of(CODE_TABLE))
    seen = set()
    for name in re.findall(r'\bCODE_[A-Z_0-9]+\b', names):
        if name == 'CODE_NONE':
            continue
        m = re.search(r'\[' + name + r'\] = \{ "([A-Z]\d\d)", "([45])\d\d \2\.\d\.\d+", "[^"]+",\s*"[^"]', table)
        if not m:
            yield CODE_TABLE, 1, f'{name} has no row with its words'
        elif m.group(1) in seen:
            yield CODE_TABLE, 1, f'{m.group(1)} is there twice'
        else:
            seen.add(m.group(1))
        if name not in used:
            yield CODE_TABLE, 1, f'{name} is used by no reply: take the row out, and leave its number free'


RULES = [layers, own_header_first, banned_calls, one_door, time_is_a_parameter, complexity, readmes, conditionals, headers_are_guarded, settings, manuals, refusals_have_codes, blanks]


def main():
    passed = failed = skipped = 0
    for rule in RULES:
        if sys.argv[1:] and rule.__name__ not in sys.argv[1:]:
            continue
        try:
            findings = list(rule())
        except Skip as why:
            print(f'lint {rule.__name__}: skipped, {why}')
            skipped += 1
            continue
        for path, line, text in findings:
            print(f'{path}:{line}: {text}')
        failed += bool(findings)
        passed += not findings
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return failed > 0


sys.exit(main())
