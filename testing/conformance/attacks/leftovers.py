"""Leaves things behind in its network that outlive their process ("leave"), or looks
for what another task has left there ("look")."""

import socket
import struct
import sys

from probe import outcome, report

NAME, PORT = "left-behind", 47011
SOL_IPV6, IPV6_FLOWLABEL_MGR = 41, 32


def sockets():
    """Sockets with names, in the queue of one that has itself in its queue."""
    kept = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
    for s in kept:
        s.bind("\0%s-%d" % (NAME, s.type))
    kept += socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    socket.send_fds(kept[2], [b"x"], [s.fileno() for s in kept])


def connection():
    """A connection that the kernel remembers for a minute at its port."""
    listener = socket.create_server(("127.0.0.1", PORT))
    client = socket.create_connection(("127.0.0.1", PORT))
    server, _ = listener.accept()
    server.close()
    client.recv(1)
    client.close()


def label():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    request = struct.pack("=16s4sBBHHH4x", socket.inet_pton(socket.AF_INET6, "::1"), struct.pack("!I", 7), 0, 255, 1, 60, 60)
    s.setsockopt(SOL_IPV6, IPV6_FLOWLABEL_MGR, request)


def names(kind):
    socket.socket(socket.AF_UNIX, kind).bind("\0%s-%d" % (NAME, kind))


def port():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).bind(("127.0.0.1", PORT))


def listed(name):
    """Reports whether the kernel's table has more than its heading."""
    with open("/proc/self/net/" + name) as f:
        return "NOTHING" if not f.read().splitlines()[1:] else "FOUND"


if sys.argv[1] == "leave":
    for attempt in sockets, connection, label:
        report(attempt.__name__, outcome(attempt))
else:
    for table in "unix", "tcp", "udp", "ip6_flowlabel":
        report("table-" + table, outcome(listed, table))
    report("name-stream", outcome(names, socket.SOCK_STREAM))
    report("name-datagram", outcome(names, socket.SOCK_DGRAM))
    report("port", outcome(port))
