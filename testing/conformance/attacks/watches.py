"""Watches the system's files, which are the host's and those of other sandboxes, to
learn who starts which program when. Each watch is taken on one folder only."""

import ctypes
import os
import struct

from probe import call, probe

F_SETLEASE, F_NOTIFY, F_SETDELEG = 1024, 1026, 1040
DN_ACCESS, F_RDLCK = 1, 0
IN_OPEN = 0x20
HIGH = 1 << 32

folder = os.open("/usr", os.O_RDONLY)
with open("own", "w") as f:
    f.write("own")
own = os.open("own", os.O_RDONLY)
delegation = ctypes.create_string_buffer(struct.pack("=IHH", 0, F_RDLCK, 0), 8)

probe("inotify_init", call, "inotify_init")
probe("inotify_init1", call, "inotify_init1", 0)
probe("inotify_add_watch", call, "inotify_add_watch", -1, b"/usr", IN_OPEN)
probe("notify", call, "fcntl", folder, F_NOTIFY, DN_ACCESS)
probe("notify-high-bits", call, "fcntl", folder, F_NOTIFY | HIGH, DN_ACCESS)
probe("lease", call, "fcntl", own, F_SETLEASE, F_RDLCK)
probe("delegation", call, "fcntl", own, F_SETDELEG, delegation)
probe("cachestat", call, "cachestat", folder, (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)(), 0)
