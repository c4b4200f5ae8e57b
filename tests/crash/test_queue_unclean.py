#!/usr/bin/env python3
"""A power cut without a disk: every process is killed, the outcome log is made to come from another run of the machine, and what was delivered since the
last checkpoint is damaged as a lost cache would: files gone, files empty, files cut short. Afterwards each message is there once and whole.

    tests/crash/test_queue_unclean.py        # after make tools; SEED=N plays one again; not under sanitizers
"""
import os, random, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from queue_tree import Tree, lab

EACH = 300                                                  # messages of each of the two fronts


def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def from_another_run(path):
    with open(path, "rb") as f:
        lines = f.read().split(b"\n")
    for i, line in enumerate(lines):
        if line[9:].startswith(b"boot "):
            boot = b"boot 00000000-0000-0000-0000-000000000000"
            lines[i] = b"%08x %s" % (crc32c(boot), boot)
    with open(path, "wb") as f:
        f.write(b"\n".join(lines))


def harm(paths):
    harmed = {"gone": 0, "empty": 0, "short": 0}
    for path in paths:
        how = random.choice(["gone", "empty", "short", None, None, None])
        if how == "gone":
            os.unlink(path)
        elif how is not None:
            os.truncate(path, 0 if how == "empty" else 1000)
        if how:
            harmed[how] += 1
    return harmed


tree = Tree("queue_unclean", 5, "10m")
tree.start(EACH)
end = time.time() + 30
while time.time() < end and tree.text("log").count(": removed") < 2 * EACH:
    time.sleep(0.2)
lab.kill([tree.super.pid] + tree.children())
tree.super.wait()
from_another_run(tree.top + "/spool/queue.log")
harmed = harm(tree.delivered())

tree.start(0)
end = time.time() + 30
while time.time() < end and "queue is up" not in tree.text("log").rsplit("ready, ", 1)[-1]:
    time.sleep(0.1)
tree.drain(30)
tree.stop()
tree.verdict(f"harmed {harmed}", [] if len(tree.acked()) == 2 * EACH else "not all %d were sent" % (2 * EACH))
