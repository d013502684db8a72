"""Looks for the secrets of a victim next door."""

import os
import signal
import socket
import sys

from probe import call, outcome, probe, report

SECRET = sys.argv[1]

def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid() or int(pid) == os.getppid():
            continue
        for name in "cmdline", "environ":
            try:
                with open("/proc/%s/%s" % (pid, name), "rb") as f:
                    if SECRET.encode() in f.read():
                        return "FOUND"
            except OSError:
                pass
    return "NOTHING"

def walk():
    for folder, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr")]
        if SECRET in names:
            return "FOUND"
    return "NOTHING"

def sockets():
    for name in "unix", "tcp":
        with open("/proc/self/net/" + name) as f:
            if SECRET in f.read():
                return "FOUND"
    return "NOTHING"

def connect():
    socket.socket(socket.AF_UNIX).connect("\0" + SECRET)

report("processes", processes())
probe("walk", walk)
probe("sockets", sockets)
probe("connect", connect)
probe("shared-memory", lambda: call("shmget", 0x7A5C, 0, 0) and None)

report("everybody", outcome(os.kill, -1, signal.SIGKILL))
