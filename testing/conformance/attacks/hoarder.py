"""Holds what the kernel counts by user, until it is killed: inotify instances and
the memory of pipes."""

import ctypes
import fcntl
import os
import signal

from probe import brief, libc

kept = []
while len(kept) < 500 and libc.inotify_init() != -1:
    kept.append(None)
for _ in range(100):
    try:
        pair = os.pipe()
        fcntl.fcntl(pair[1], 1031, 1 << 20)  # F_SETPIPE_SZ
    except OSError:
        break
brief(60)
print("ready", flush=True)
while True:
    signal.pause()
