# not under sanitizers: it waits more than it works
"""tests/system/test_drac_hung.py - a child of dracd that stands still while it writes dracd.db: given up after its minute, and another one writes."""
import os, signal, threading, time

import drac_lab, lab


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def stop_a_child(parent, until):
    """Catches the next child of dracd and stops it."""
    while time.monotonic() < until:
        for pid in children(parent):
            try:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.2)
                with open("/proc/%d/stat" % pid) as f:
                    if f.read().rsplit(")", 1)[1].split()[0] == "T":
                        return pid
            except OSError:
                pass                                            # it was done already
    raise AssertionError("no child of dracd was caught")


def test_a_child_that_hangs_costs_a_minute_and_no_grant():
    office = lab.Appliance()
    try:
        caller = drac_lab.Caller(office.port["drac-udp"])
        grants = ["198.18.%d.%d" % (i // 250, i % 250 + 1) for i in range(3000)]
        done = threading.Event()

        def give():
            for a in grants:
                assert caller.add(a) == 0
            done.set()

        giver = threading.Thread(target=give)
        giver.start()
        hung = stop_a_child(office.processes("dracd")[0], time.monotonic() + 20 * lab.SLOW)
        giver.join()
        assert done.is_set()
        began = time.monotonic()
        assert set(grants) <= set(office.posthouse("drac", "list").split())   # grants go on meanwhile
        if set(grants) <= set(drac_lab.dump(office)):
            raise AssertionError("the child was stopped, who wrote the table?")
        lab.eventually("dracd.db holds them all", lambda: set(grants) <= set(drac_lab.dump(office)), 80)
        print("note: written after %.0f s" % (time.monotonic() - began))
        lab.eventually("the child is gone", lambda: not lab.is_alive(hung), 5)
        log = office.log()
        assert log.count("was not written within 60 s: given up, tried again") == 1 and log.count("is written again, 1 attempts had failed") == 1, log[-2000:]
    finally:
        office.destroy()


lab.main()
