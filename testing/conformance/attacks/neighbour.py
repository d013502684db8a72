"""Needs what a hoarder next door may have taken."""

import ctypes
import fcntl
import os

from probe import libc, probe


def watch():
    if libc.inotify_init() == -1:
        e = ctypes.get_errno()
        raise OSError(e, "")


def pipe():
    fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)  # F_SETPIPE_SZ


probe("watch", watch)
probe("pipe", pipe)
