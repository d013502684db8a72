"""Needs what a hoarder next door may have taken."""

import fcntl
import os
import socket

from probe import probe


def descriptor():
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    socket.send_fds(a, [b"x"], [0])


def pipe():
    fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)  # F_SETPIPE_SZ


probe("descriptor", descriptor)
probe("pipe", pipe)
