"""Asks sockets for what loads modules into the kernel, or stays when they go."""

import socket
import struct

from probe import call, probe

SOL_UDP, SOL_UDPLITE, SOL_IPV6 = 17, 136, 41
UDP_ENCAP, IPV6_FLOWLABEL_MGR = 100, 32
ESP, L2TP = 2, 3
HIGH = 1 << 32

REQUESTS = {
    "bridges": 0x8940, "set-bridge": 0x8941, "add-bridge": 0x89A0, "remove-bridge": 0x89A1,
    "add-relay": 0x8980, "remove-relay": 0x8981, "vlan": 0x8982, "set-vlan": 0x8983,
}


def encapsulate(family, level, option, kind):
    s = socket.socket(family, socket.SOCK_DGRAM)
    call("setsockopt", s.fileno(), level, option, struct.pack("=i", kind), 4)


def label(level, option):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    # Label 7 to ::1 for all to share, kept for a minute.
    request = struct.pack("=16s4sBBHHH4x", socket.inet_pton(socket.AF_INET6, "::1"), struct.pack("!I", 7), 0, 255, 1, 60, 60)
    call("setsockopt", s.fileno(), level, option, request, len(request))


# The kernel loads the module first and looks for a right then, so that its EPERM
# is no comfort. Of a descriptor that is closed it would say EBADF.
for name, request in REQUESTS.items():
    probe(name, call, "ioctl", -1, request, 0)
    probe(name + "-high-bits", call, "ioctl", -1, request | HIGH, 0)
for name, family in ("udp", socket.AF_INET), ("udp6", socket.AF_INET6):
    probe(name + "-esp", encapsulate, family, SOL_UDP, UDP_ENCAP, ESP)
    probe(name + "-l2tp", encapsulate, family, SOL_UDP, UDP_ENCAP, L2TP)
    probe(name + "-lite", encapsulate, family, SOL_UDPLITE, UDP_ENCAP, ESP)
    probe(name + "-high-bits", encapsulate, family, SOL_UDP | HIGH, UDP_ENCAP | HIGH, ESP)
probe("label", label, SOL_IPV6, IPV6_FLOWLABEL_MGR)
probe("label-high-bits", label, SOL_IPV6 | HIGH, IPV6_FLOWLABEL_MGR | HIGH)
