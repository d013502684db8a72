"""Opens sockets of families that a program has no need for: each is a large piece
of the kernel, and some reach the host."""

import errno
import socket

from probe import call, probe

STREAM, DGRAM, RAW, SEQPACKET, PACKET = 1, 2, 3, 5, 10

FAMILIES = {
    "ax25": 3, "ipx": 4, "appletalk": 5, "netrom": 6, "x25": 9, "rose": 11, "key": 15, "netlink": 16,
    "packet": 17, "rds": 21, "pppox": 24, "llc": 26, "ib": 27, "mpls": 28, "can": 29, "tipc": 30,
    "bluetooth": 31, "rxrpc": 33, "phonet": 35, "ieee802154": 36, "caif": 37, "alg": 38, "nfc": 39,
    "vsock": 40, "kcm": 41, "qipcrtr": 42, "smc": 43, "xdp": 44, "mctp": 45,
}

NETLINK = {"route": 0, "diag": 4, "xfrm": 6, "audit": 9, "netfilter": 12, "uevent": 15, "generic": 16, "crypto": 21}


def any_type(family, high=0):
    """Tries each type, and lets the refusal pass that says least about the family."""
    worst = None
    for kind in STREAM, DGRAM, RAW, SEQPACKET:
        try:
            call("socket", family | high, kind | high, 0)
            return "OK"
        except OSError as e:
            if worst is None or e.errno in (errno.ESOCKTNOSUPPORT, errno.EPROTONOSUPPORT, errno.EINVAL):
                worst = e
    raise worst


for name, family in FAMILIES.items():
    probe(name, any_type, family)
# The kernel looks at the low half of each argument, a careless filter at both.
for name in "vsock", "alg", "packet", "netlink":
    probe(name + "-high-bits", any_type, FAMILIES[name], 1 << 32)
probe("vsock-odd-high-bits", any_type, FAMILIES["vsock"], 56 << 32)
for name, protocol in NETLINK.items():
    probe("netlink-" + name, call, "socket", FAMILIES["netlink"], RAW, protocol)
probe("raw-icmp", call, "socket", socket.AF_INET, RAW, 1)
probe("raw-any", call, "socket", socket.AF_INET, RAW, 255)
probe("raw-high-bits", call, "socket", socket.AF_INET | 1 << 32, RAW | 1 << 32, 1)
probe("raw-flags", call, "socket", socket.AF_INET, RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 1)
probe("raw6-icmp", call, "socket", socket.AF_INET6, RAW, 58)
probe("raw6-any", call, "socket", socket.AF_INET6, RAW, 255)
probe("inet-packet", call, "socket", socket.AF_INET, PACKET, 768)
