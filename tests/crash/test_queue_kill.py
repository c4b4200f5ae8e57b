#!/usr/bin/env python3
"""Kills queue, deliver and front processes with SIGKILL while messages pour in, and accounts for every one: acknowledged is a subset of found, each
found once, nothing left in the spool.

    tests/crash/test_queue_kill.py [seconds]        # after make tools; SEED=N plays one again; not under sanitizers
"""
import os, random, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from queue_tree import Tree, lab

FOREVER = 10 ** 9


def kill_all(tree):
    pids = [tree.super.pid] + tree.children()
    lab.kill(pids)
    tree.super.wait()
    return len(pids)


tree = Tree("queue_kill", 10, "1s")
kills, cycles, ended = 0, 0, time.time() + (float(sys.argv[1]) if len(sys.argv) > 1 else 20)
tree.start(FOREVER, LAB_OPEN="10")
while time.time() < ended:
    time.sleep(random.uniform(0.05, 0.8))
    kids = tree.children()
    if random.random() < 0.25 or not kids:
        kills += kill_all(tree)
        tree.start(FOREVER, LAB_OPEN="10")
    else:
        lab.kill([random.choice(kids)])
        kills += 1
    cycles += 1
kill_all(tree)

tree.start(0)
tree.drain(60)
time.sleep(2.5)                                             # a checkpoint more, which takes away what is done
tree.stop()
left = tree.files("spool/deferred") + tree.files("spool/large") + [p for p in tree.files("mail") if "/tmp/" in p[len(tree.top):]]
errors = [line for line in tree.text("log").split("\n") if " error: " in line]
for line in errors:
    if "was killed by signal" not in line:
        print("  " + line)
tree.verdict(f"{cycles} cycles, {kills} processes killed, left over {len(left)}, error lines {len(errors)}", left)
