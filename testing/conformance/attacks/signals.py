"""Sends every signal in every way to process 1, and to everybody."""

import ctypes
import fcntl
import os
import signal
import struct

from probe import call, child, outcome, report


def send(how, *args):
    """Sends each signal and returns what all of them met: OK, or the errors."""
    verdicts = {outcome(how, *args, n) for n in range(1, 65)}
    return ",".join(sorted(verdicts))


def queue(pid, n):
    call("rt_sigqueueinfo", pid, n, ctypes.create_string_buffer(struct.pack("=iii", n, 0, -1), 128))


def by_pidfd(pid, n):
    fd = call("pidfd_open", pid, 0)
    try:
        call("pidfd_send_signal", fd, n, 0, 0)
    finally:
        os.close(fd)


def by_owner(pid, n):
    read, write = os.pipe()
    try:
        fcntl.fcntl(read, fcntl.F_SETOWN, pid)
        fcntl.fcntl(read, 10, n)  # F_SETSIG
        fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
        os.write(write, b"x")
    finally:
        os.close(read)
        os.close(write)


def renice():
    os.setpriority(os.PRIO_PROCESS, 1, 19)


report("kill", send(os.kill, 1))
report("tgkill", send(lambda n: call("tgkill", 1, 1, n)))
report("sigqueue", send(queue, 1))
report("pidfd", send(by_pidfd, 1))
report("owner", send(by_owner, 1))
threads = outcome(lambda: [call("tgkill", 1, int(t), signal.SIGKILL) for t in os.listdir("/proc/1/task")] and None)
report("threads", threads)
report("renice", outcome(renice))

# Everybody else: a child, and whatever is there that is not this program's.
mine = child()
for n in range(1, 65):
    signal.signal(n, signal.SIG_IGN) if n not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33) else None
report("group", send(os.kill, 0) if os.getpgrp() != os.getpid() else "OWN")
report("everybody", outcome(os.kill, -1, signal.SIGKILL))
_, status = os.waitpid(mine, 0)
report("child", signal.Signals(os.WTERMSIG(status)).name)
os._exit(7)
