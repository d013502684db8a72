"""Hides memory in the kernel's buffers: up to twice the MIB of the argument in
pipes, sockets, connections or messages."""

import errno
import fcntl
import os
import resource
import socket
import struct
import sys

from probe import call, report

HOW, GOAL = sys.argv[1], 2 * int(sys.argv[2]) << 20
F_SETPIPE_SZ = 1031

kept, hidden = [], 0


def fill(fd):
    os.set_blocking(fd, False)
    n = 0
    try:
        while True:
            n += os.write(fd, b"x" * 65536)
    except BlockingIOError:
        return n


def pipes():
    pair = os.pipe()
    kept.append(pair)
    try:
        fcntl.fcntl(pair[1], F_SETPIPE_SZ, 1 << 20)
    except OSError:
        pass
    return fill(pair[1])


def sockets():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    kept.append(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 20)
    return fill(pair[0].fileno())


def connections():
    """Both ends of a connection are here, and nobody reads."""
    if not kept:
        kept.append(socket.create_server(("127.0.0.1", 0)))
    client = socket.create_connection(kept[0].getsockname())
    kept.append((client, kept[0].accept()))
    n = fill(client.fileno())
    if n < 65536:
        raise BlockingIOError(errno.EAGAIN, "next to nothing")
    return n


def messages():
    attr = struct.pack("=qqqq32x", 0, 10, 8192, 0)
    name = b"queue%d" % len(kept)
    fd = call("mq_open", name, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600, attr)
    kept.append(fd)
    for _ in range(10):
        call("mq_timedsend", fd, b"x" * 8192, 8192, 0, 0)
    return 10 * 8192


def queues():
    """Descriptors that wait in a socket's queue and in no process's table."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    kept.append((a, b))
    a.setblocking(False)
    pair = os.pipe()
    n = fill(pair[1])
    socket.send_fds(a, [b"x"], [pair[0], pair[1]])
    os.close(pair[0])
    os.close(pair[1])
    return n


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
verdict = "OK"
try:
    while hidden < GOAL:
        hidden += globals()[HOW]()
except OSError as e:
    verdict = errno.errorcode[e.errno]
report(HOW, verdict, hidden)
