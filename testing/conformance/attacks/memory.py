"""Takes twice the memory that the argument MIB allows, in the way named by the
argument, and reports if it got it."""

import ctypes
import errno
import mmap
import os
import signal
import sys

from probe import brief, call, report

HOW, MIB = sys.argv[1], int(sys.argv[2])
BLOCK = 1 << 20


def eat(mib):
    """Touches every page of so many MiB."""
    eaten = []
    for _ in range(mib):
        block = mmap.mmap(-1, BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for i in range(0, BLOCK, 4096):
            block[i] = 1
        eaten.append(block)
    return eaten


def parent():
    eat(2 * MIB)


def child():
    if os.fork() == 0:
        eat(2 * MIB)
        os._exit(0)
    _, status = os.wait()
    report("child", signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "OK")
    os._exit(0)


def many():
    """No single process takes more than a quarter of the limit."""
    for _ in range(8):
        if os.fork() == 0:
            brief(5)
            kept = eat(MIB // 4)
            while kept:
                signal.pause()
    _, status = os.wait()
    report("many", signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "OK")
    os._exit(1)


def shared():
    block = mmap.mmap(-1, 2 * MIB * BLOCK)
    for i in range(0, len(block), 4096):
        block[i] = 1


def memfd():
    fd = os.memfd_create("hoard")
    for _ in range(2 * MIB):
        os.write(fd, b"x" * BLOCK)


def sysv():
    size = 2 * MIB * BLOCK
    segment = call("shmget", 0, size, 0o1600)
    address = call("shmat", segment, 0, 0)
    for i in range(0, size, 4096):
        ctypes.memset(address + i, 1, 1)


def files():
    """Files alone fill the memory; then nobody is big, and somebody must go."""
    with open("hoard", "wb", buffering=0) as f:
        for _ in range(2 * MIB):
            f.write(b"x" * BLOCK)


def small():
    """Many small processes, so that the supervisor may be the largest one."""
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("0")
    except OSError:
        pass
    with open("hoard", "wb", buffering=0) as f:
        for _ in range(MIB - 16):
            f.write(b"x" * BLOCK)
    if os.fork() == 0:
        brief()
        os.execv("/bin/sh", ["sh", "-c", "while :; do x=$x$x$x; [ ${#x} -gt 100000 ] || x=xxxxxxxx$x; done"])
    eat(MIB)


try:
    globals()[HOW]()
    report(HOW, "OK")
except OSError as e:
    report(HOW, errno.errorcode[e.errno])
