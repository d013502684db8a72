"""Looks for a way out: the host's loopback, its sockets, the cloud's metadata, DNS."""

import fcntl
import os
import socket
import struct

from probe import probe

PORT = int(os.environ["HOST_PORT"])
SIOCSIFADDR = 0x8916


def connect(family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(2)
    s.connect(address)


def send(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.connect(address)
    s.send(b"x")
    s.settimeout(0.2)
    s.recv(1)


def resolve(name):
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror:
        return "UNRESOLVED"


def interfaces():
    with open("/proc/self/net/dev") as f:
        names = {line.split(":")[0].strip() for line in f if ":" in line}
    return "NONE" if names <= {"lo"} else "OTHERS"


def set_address():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, socket.inet_aton("127.0.0.2"))
    fcntl.ioctl(s, SIOCSIFADDR, request)


probe("tcp-loopback", connect, socket.AF_INET, ("127.0.0.1", PORT))
probe("tcp-any", connect, socket.AF_INET, ("0.0.0.0", PORT))
probe("tcp6-loopback", connect, socket.AF_INET6, ("::1", PORT))
probe("tcp6-mapped", connect, socket.AF_INET6, ("::ffff:127.0.0.1", PORT))
probe("udp-loopback", send, socket.AF_INET, ("127.0.0.1", PORT))
probe("metadata", connect, socket.AF_INET, ("169.254.169.254", 80))
probe("metadata6", connect, socket.AF_INET6, ("fd00:ec2::254", 80))
probe("dns", resolve, "example.com")
probe("unix-abstract", connect, socket.AF_UNIX, "\0" + os.environ["HOST_SOCKET"])
probe("unix-file", connect, socket.AF_UNIX, os.environ["HOST_SOCKET_FILE"])
for path in "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket":
    probe("unix:" + path, connect, socket.AF_UNIX, path)
probe("interfaces", interfaces)
probe("set-address", set_address)
