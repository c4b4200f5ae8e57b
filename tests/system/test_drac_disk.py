# not under sanitizers: a child forked beside a thread can hang in ASan's own locks; test_drac_fuzz.py is the one for it
"""tests/system/test_drac_disk.py - dracd's files: kill -9 under load, a full disk, a directory that may not be written, and the log of it all.

drac_table lies on a tmpfs of 3 MB in a mount namespace of its own.
"""
import glob, os, random, re, threading, time

import drac_lab, lab, nets

DISK = "/run/dracdisk"


office = None


def world(small=True):
    """A new appliance; the one before it ends. small: its table on the small disk."""
    global office
    nets.need()
    lab.need("db5.3_dump")
    if office is not None:
        office.destroy()
    for name in glob.glob(DISK + "/*"):
        os.unlink(name)
    office = lab.Appliance(settings={"drac_table": DISK + "/dracd.db"} if small else {})
    if small:
        os.makedirs(os.path.join(office.dir, "state", "drac"), exist_ok=True)
        os.symlink(DISK + "/dracd.db", drac_lab.table_path(office))
    return office


def listed(office):
    return set(re.findall(r"198\.18\.\d+\.\d+", office.posthouse("drac", "list")))


def addresses(first, n):
    return ["198.18.%d.%d" % (i // 250, i % 250 + 1) for i in range(first, first + n)]


def fill():
    fd = os.open(DISK + "/fill", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, bytes(4096)):
            pass
    except OSError:
        os.close(fd)


def lines(office, words):
    return [line for line in office.log().split("\n") if words in line]


def test_kill_9_under_load_loses_nothing_that_was_granted():
    world(small=False)
    killer = drac_lab.Killer(office)
    answered, errors = [], []

    def give(which):
        try:
            caller = drac_lab.Caller(office.port["drac-udp"])
            for a in addresses(which * 15000, 15000):
                if time.monotonic() > end:
                    break
                assert caller.add(a) == 0
                answered.append(a)
        except BaseException as e:
            errors.append(e)

    end = time.monotonic() + 5 * lab.SLOW
    threads = [threading.Thread(target=give, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(random.uniform(0.1, 0.5))
        killer.kill()
        known = list(answered)
        lab.eventually("dracd is back", lambda: os.path.exists(os.path.join(office.dir, "run", "dracd.sock")) and office.processes("dracd"), 10)
        have = lab.eventually("dracd answers", lambda: office.posthouse("drac", "stats", check=False).returncode == 0 and listed(office), 10)
        assert set(known) <= have, "granted and lost: %s" % list(set(known) - have)[:5]
    for t in threads:
        t.join()
    assert not errors, errors
    assert set(answered) <= listed(office), "granted and lost: %s" % sorted(set(answered) - listed(office))[:5]
    began = time.monotonic()
    lab.eventually("dracd.db holds them all", lambda: set(answered) <= set(drac_lab.dump(office)), 25)
    if time.monotonic() - began > 5:                             # it takes a second: then a child hung, or the disk did
        print("note: dracd.db was %.0f s late: %s" % (time.monotonic() - began, lines(office, "was not written within") or "no child was given up"))
    assert len(answered) > 100
    print("note: %d grants, dracd killed %d times" % (len(answered), killer.kills))


def test_a_full_disk_is_told_once_and_healed_from():
    world()
    caller = drac_lab.Caller(office.port["drac-udp"])
    good = addresses(0, 50)
    assert [caller.add(a) for a in good] == [0] * 50
    lab.eventually("dracd.db has them", lambda: set(good) <= set(drac_lab.dump(office)), 5)
    fill()
    said = {caller.add(a) for a in addresses(1000, 400)}
    assert 2 in said and said <= {0, 2}, said                   # a system error, for what could not be made durable
    time.sleep(2.5)
    assert {caller.add(a) for a in addresses(2000, 20)} == {2}
    log = office.log()
    assert log.count("grants are answered with a system error") == 1 and log.count("its readers see old grants") == 1, log[-2000:]
    assert set(good) <= set(drac_lab.dump(office))               # the last good table is still there
    drac_lab.Killer(office).kill()                               # started again on the full disk: what was granted is known
    lab.eventually("dracd is back", lambda: office.posthouse("drac", "stats", check=False).returncode == 0, 10)
    assert set(good) <= listed(office)
    os.unlink(DISK + "/fill")
    last = lab.eventually("grants work again", lambda: caller.add("198.18.200.1") == 0 and "198.18.200.1", 70)
    lab.eventually("dracd.db is written again", lambda: {last, *good} <= set(drac_lab.dump(office)), 70)
    drac_lab.Killer(office).kill()
    lab.eventually("dracd is back", lambda: office.posthouse("drac", "stats", check=False).returncode == 0, 10)
    assert {last, *good} <= listed(office)


def test_a_table_that_can_not_be_written_makes_two_lines():
    world()
    caller = drac_lab.Caller(office.port["drac-udp"])
    assert caller.add("198.18.0.1") == 0
    lab.eventually("dracd.db has it", lambda: "198.18.0.1" in drac_lab.dump(office), 5)
    os.rename(DISK + "/dracd.db", DISK + "/moved")
    os.makedirs(DISK + "/dracd.db/in-the-way")                   # a rename onto it fails, the journal does not
    for i in range(30):
        assert caller.add("198.18.1.%d" % (i + 1)) == 0
        time.sleep(0.1)
    assert len(lines(office, "its readers see old grants")) == 1
    os.rmdir(DISK + "/dracd.db/in-the-way")
    os.rmdir(DISK + "/dracd.db")
    lab.eventually("dracd.db is written again", lambda: os.path.isfile(DISK + "/dracd.db") and "198.18.1.30" in drac_lab.dump(office), 15)
    lab.eventually("the log says so", lambda: len(lines(office, "is written again")) == 1, 5)


def test_a_damaged_journal_costs_what_was_damaged():
    world()
    caller = drac_lab.Caller(office.port["drac-udp"])
    all_of_them = addresses(0, 100)
    for a in all_of_them:
        assert caller.add(a) == 0
    lab.kill([office.supervisor("dracd")] + office.processes("dracd"))
    with open(DISK + "/dracd.db.journal", "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(size // 2)
        f.write(b"\xff" * 8)
        f.seek(0, 2)
        f.write(b"a tail of garbage")
    drac_lab.start(office)
    lab.eventually("dracd is back", lambda: office.posthouse("drac", "stats", check=False).returncode == 0, 10)
    assert len(set(all_of_them) - listed(office)) in (1, 2)
    assert lines(office, "of the journal were not understood")


nets.enter(__file__, "mkdir -p %s && mount -t tmpfs -o size=3m none %s" % (DISK, DISK))
lab.main()
