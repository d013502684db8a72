"""Does what only an administrator may do, in ways that change nothing should the
kernel let it pass."""

import ctypes
import os
import socket
import struct
import time

from probe import call, probe

CAD_OFF = 0
REALTIME = 0


def settimeofday():
    now = time.time_ns()
    call("settimeofday", (ctypes.c_long * 2)(now // 10**9, now % 10**9 // 1000), 0)


def clock_settime():
    now = time.time_ns()
    call("clock_settime", REALTIME, (ctypes.c_long * 2)(now // 10**9, now % 10**9))


def adjtimex():
    timex = ctypes.create_string_buffer(struct.pack("=I4xqqqi4xqqqqqq", 0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10000), 208)
    call("adjtimex", timex)  # the tick's usual length


def sethostname():
    name = socket.gethostname().encode()
    call("sethostname", name, len(name))


probe("reboot", call, "reboot", 0xFEE1DEAD, 672274793, CAD_OFF, 0)
probe("kexec_load", call, "kexec_load", 0, 0, 0, 0)
probe("kexec_file_load", call, "kexec_file_load", -1, -1, 0, b"", 0)
probe("init_module", call, "init_module", b"no module", 9, b"")
probe("finit_module", call, "finit_module", os.open("/dev/null", os.O_RDONLY), b"", 0)
probe("delete_module", call, "delete_module", b"no_such_module", os.O_NONBLOCK)
probe("swapon", call, "swapon", b"/no/such/file", 0)
probe("swapoff", call, "swapoff", b"/no/such/file")
probe("sync", call, "sync")
probe("syncfs", call, "syncfs", os.open("/usr", os.O_RDONLY))
probe("settimeofday", settimeofday)
probe("clock_settime", clock_settime)
probe("adjtimex", adjtimex)
probe("sethostname", sethostname)
probe("setdomainname", call, "setdomainname", b"(none)", 6)
probe("acct", call, "acct", 0)
probe("quotactl", call, "quotactl", 0x80000100, 0, 0, 0)
probe("quotactl_fd", call, "quotactl_fd", os.open("/", os.O_RDONLY), 0x80000100, 0, 0)
probe("syslog-read", call, "syslog", 3, ctypes.create_string_buffer(4096), 4096)
probe("syslog-size", call, "syslog", 10, 0, 0)
probe("vhangup", call, "vhangup")
probe("iopl", call, "iopl", 3)
probe("ioperm", call, "ioperm", 0x80, 1, 1)
probe("uselib", call, "uselib", b"/no/such/file")
