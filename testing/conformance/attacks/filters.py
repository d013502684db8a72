"""Puts BPF filters on itself and on its sockets. Each is harmless and allows all,
but many of them stop the kernel. One try each."""

import ctypes
import socket
import struct

from probe import call, probe

SET_SECCOMP, MODE_FILTER = 22, 2
SET_NO_NEW_PRIVS = 38
SOL_SOCKET = 1
ATTACH_FILTER, ATTACH_BPF, REUSEPORT_CBPF, REUSEPORT_EBPF = 26, 50, 51, 52
HIGH = 1 << 32

instruction = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000), 8)  # allow
program = ctypes.create_string_buffer(struct.pack("=H6xQ", 1, ctypes.addressof(instruction)), 16)


def attach(family, kind, level, option):
    s = socket.socket(family, kind)
    if option in (ATTACH_BPF, REUSEPORT_EBPF):
        call("setsockopt", s.fileno(), level, option, struct.pack("=i", -1), 4)
    else:
        call("setsockopt", s.fileno(), level, option, program, 16)


call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
probe("prctl", call, "prctl", SET_SECCOMP, MODE_FILTER, program, 0, 0)
probe("prctl-high-bits", call, "prctl", SET_SECCOMP | HIGH, MODE_FILTER, program, 0, 0)
probe("seccomp", call, "seccomp", 1, 0, program)
probe("seccomp-listener", call, "seccomp", 1, 8, program)
for name, family in ("unix", socket.AF_UNIX), ("inet", socket.AF_INET):
    probe("attach-" + name, attach, family, socket.SOCK_DGRAM, SOL_SOCKET, ATTACH_FILTER)
    probe("attach-high-bits-" + name, attach, family, socket.SOCK_DGRAM, SOL_SOCKET | HIGH, ATTACH_FILTER | HIGH)
    probe("attach-bpf-" + name, attach, family, socket.SOCK_DGRAM, SOL_SOCKET, ATTACH_BPF)
probe("reuseport-cbpf", attach, socket.AF_INET, socket.SOCK_DGRAM, SOL_SOCKET, REUSEPORT_CBPF)
probe("reuseport-ebpf", attach, socket.AF_INET, socket.SOCK_DGRAM, SOL_SOCKET, REUSEPORT_EBPF)
