"""Stays, in the way named by the argument, past its timeout."""

import os
import signal
import sys
import time

from probe import brief, child, report

HOW = sys.argv[1]
SIGNALS = [n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP, 32, 33)]


def ignore():
    for n in SIGNALS:
        signal.signal(n, signal.SIG_IGN)


if HOW == "sleeps":
    time.sleep(1000)
elif HOW == "spins":
    while True:
        pass
elif HOW == "ignores every signal":
    ignore()
    while True:
        time.sleep(1000)
elif HOW == "blocks every signal":
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    while True:
        time.sleep(1000)
elif HOW == "stops itself and its children":
    # A tree of stopped processes, and at last the program itself.
    for _ in range(10):
        pid = child()
        os.kill(pid, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
elif HOW == "stops everybody":
    child()
    os.kill(-1, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
elif HOW == "is a crowd that spins":
    ignore()
    for _ in range(30):
        if os.fork() == 0:
            os.setsid()
            while True:
                pass
    while True:
        time.sleep(1000)
elif HOW == "adopts its orphans":
    # Children of ended processes come to this one instead of the supervisor.
    import ctypes
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    for _ in range(5):
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                time.sleep(1000)
            os._exit(0)
    time.sleep(1000)
elif HOW == "waits for a stopped vfork":
    # The parent of a vfork cannot be interrupted until its child is gone.
    os.posix_spawn("/bin/sh", ["sh", "-c", "trap '' TERM; kill -STOP $$; sleep 1000"], {})
    time.sleep(1000)
elif HOW == "clogs its own stdin":
    # The supervisor finds no room to write to, and no reader is left waiting.
    fd = os.open("/dev/stdin", os.O_WRONLY)
    while True:
        os.write(fd, b"x" * 65536)
