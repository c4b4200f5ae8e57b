"""tests/crash/test_kill.py - kill -9 under load: every message that got its 250 is in its mailbox exactly once, nothing is left over in the spool.

CRASH_SECONDS=60 is the default; the long form by hand: CRASH_SECONDS=600 python3 tests/crash/test_kill.py
"""
import os, random, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab
from account import Account, drained, leftovers, verdict

SECONDS = int(os.environ.get("CRASH_SECONDS", "20" if lab.SANITIZED else "60"))
USERS = ["u%d" % i for i in range(1, 9)]


def run(kills):
    office = lab.Appliance(users=8, settings={"smtpd_client_connection_limit": "0"})
    account = Account(office.port["smtp"], USERS, pause=0.005)         # some 20,000 messages: more takes minutes to count
    account.start()
    end = time.monotonic() + SECONDS / 2 * 0.8                       # the rest is for draining and counting
    cycles = 0
    random.seed(20261122)
    while time.monotonic() < end:
        time.sleep(random.uniform(0.2, 1.0))
        before = len(account.acked)
        kills(office)
        cycles += 1
        lab.eventually("mail is accepted again after kill %d" % cycles, lambda: len(account.acked) > before, 15)
    loaded = time.monotonic()
    account.stop()
    lab.eventually("the queue is empty", lambda: drained(office), 30)
    mail = os.path.join(office.dir, "state", "mail")
    drained_in = time.monotonic() - loaded
    lost, doubled, broken, foreign = verdict(account, mail)
    print("note: %d kills, %d attempted, %d acknowledged, lost %d, doubled %d, broken %d; longest wait for a reply %.1f s, drained in %.1f s; refused %s" % (
        cycles, len(account.attempted), len(account.acked), len(lost), len(doubled), len(broken), account.longest, drained_in, account.refused))
    assert len(account.acked) > 200, "too little load: %d" % len(account.acked)
    assert not (lost or doubled or broken or foreign), (lost[:3], doubled[:3], broken[:3], foreign[:3])
    lab.eventually("no stray file in the spool", lambda: not leftovers(os.path.join(office.dir, "state")), 20)
    office.destroy()


def test_one_process_at_a_time():
    def one(office):
        lab.kill([random.choice(office.processes("smtpd"))])
    run(one)


def test_all_at_once():
    def everything(office):
        lab.kill([office.supervisor("smtpd")] + office.processes("smtpd"))
        r = os.spawnv(os.P_WAIT, os.path.join(lab.BIN, "smtpd"), ["smtpd", "-C", office.conf])
        assert r == 0, "smtpd does not start after kill -9: status %d" % r
    run(everything)


lab.main()
