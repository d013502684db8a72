"""Opens files until none can be opened, and things that cost more than a file."""

import ctypes
import errno
import os
import resource
import socket
import sys

from probe import libc, probe, report

MOST = 20000


def until_refused(make):
    kept = []
    try:
        while len(kept) < MOST:
            made = make()
            if made == -1:
                raise OSError(ctypes.get_errno(), "")
            kept.append(made)
    except OSError as e:
        return errno.errorcode[e.errno], len(kept), kept
    return "OK", MOST, kept


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
for name, make in {
    "files": lambda: os.open("/dev/null", os.O_RDONLY),
    "sockets": lambda: socket.socket(socket.AF_UNIX),
    "polls": lambda: libc.epoll_create1(0),
    "events": lambda: libc.eventfd(0, 0),
    "timers": lambda: libc.timerfd_create(1, 0),
    "memories": lambda: os.memfd_create("x"),
}.items():
    verdict, n, kept = until_refused(make)
    report(name, verdict, n)
    for one in kept:
        one.close() if hasattr(one, "close") else os.close(one)
probe("high", os.dup2, 1, 1 << 20)
