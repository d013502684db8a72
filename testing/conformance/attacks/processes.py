"""Multiplies, in the way named by the argument. Never by more than MOST, and never
for longer than some seconds."""

import errno
import os
import signal
import sys
import threading
import time

from probe import brief, report

MOST = 400


def linger():
    """Waits to be killed, but not for ever."""
    brief()
    while True:
        signal.pause()


def fork_until_refused(then):
    """Forks children that do something, and returns why there are no more, and how
    many processes there are, this one included."""
    for n in range(1, MOST):
        try:
            pid = os.fork()
        except OSError as e:
            return errno.errorcode[e.errno], n
        if pid == 0:
            then()
            os._exit(0)
    return "OK", MOST


def fork():
    report("fork", *fork_until_refused(linger))


def threads():
    stop = threading.Event()
    for n in range(1, MOST):
        try:
            threading.Thread(target=stop.wait, args=(20,), daemon=True).start()
        except RuntimeError:
            report("threads", "EAGAIN", n)
            os._exit(0)
    report("threads", "OK", MOST)
    os._exit(0)


def zombies():
    """Children that end and are never waited for."""
    report("zombies", *fork_until_refused(lambda: os._exit(0)))


def orphans():
    """Grandchildren that end when their parents are gone: process 1 has to wait for them."""
    for n in range(MOST):
        for attempt in range(200):
            try:
                pid = os.fork()
                break
            except OSError:
                time.sleep(0.01)
        else:
            report("orphans", "EAGAIN", n)
            return
        if pid == 0:
            try:
                os.fork()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    report("orphans", "OK", n)


def deaf():
    """Leaves processes of all sorts that ignore what can be ignored."""
    signals = [n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP, 32, 33)]

    def ignore():
        for n in signals:
            signal.signal(n, signal.SIG_IGN)
        os.setsid()
        time.sleep(1000)

    for _ in range(20):
        if os.fork() == 0:
            ignore()
    report("deaf", "OK")


def runaway():
    """One process at a time, which forks the next one and ends: a moving target."""
    report("runaway", "OK")
    deadline = time.monotonic() + 10
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < deadline:
            try:
                if os.fork() > 0:
                    os._exit(0)
            except OSError:
                pass


def vforks():
    """Starts programs as fast as it can."""
    failed = 0
    for _ in range(MOST // 2):
        try:
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        except OSError:
            failed += 1
    report("vforks", "OK" if failed == 0 else "FAILED", failed)


globals()[sys.argv[1]]()
