"""Reaches for the parts of the kernel that its worst holes were found in. Each
call is made once only: a kernel that lets many of them through can lock up."""

import ctypes
import os
import struct

from probe import call, probe

AT_FDCWD = -100


def bpf_map():
    attr = ctypes.create_string_buffer(struct.pack("=IIII", 2, 4, 4, 1), 128)  # one array
    call("bpf", 0, attr, 128)


def bpf_program():
    code = ctypes.create_string_buffer(struct.pack("=QQ", 0xB7, 0x95), 16)  # r0 = 0; exit
    licence = ctypes.create_string_buffer(b"GPL")
    attr = ctypes.create_string_buffer(
        struct.pack("=IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)), 128)
    call("bpf", 5, attr, 128)


def perf():
    attr = ctypes.create_string_buffer(struct.pack("=IIQ", 1, 112, 0), 112)  # the CPU clock
    call("perf_event_open", attr, 0, -1, -1, 0)


def io_uring():
    call("io_uring_setup", 1, ctypes.create_string_buffer(120))


def handle_of(path):
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 8 + 128)
    call("name_to_handle_at", AT_FDCWD, path, handle, ctypes.c_int(), 0)
    return handle


def open_by_handle():
    # Inode 2, the root of most file systems on disks.
    handle = ctypes.create_string_buffer(struct.pack("=IiII", 8, 1, 2, 0), 16)
    call("open_by_handle_at", os.open("/usr", os.O_RDONLY), handle, os.O_RDONLY)


probe("bpf-map", bpf_map)
probe("bpf-program", bpf_program)
probe("perf_event_open", perf)
probe("userfaultfd", call, "userfaultfd", 0)
probe("userfaultfd-user", call, "userfaultfd", 1)
probe("io_uring_setup", io_uring)
probe("io_uring_enter", call, "io_uring_enter", -1, 1, 0, 0, 0, 0)
probe("io_uring_register", call, "io_uring_register", -1, 0, 0, 0)
probe("fanotify_init", call, "fanotify_init", 0, 0)
probe("fanotify_init-fid", call, "fanotify_init", 0x200, 0)
probe("open_by_handle_at", open_by_handle)
probe("lookup_dcookie", call, "lookup_dcookie", 0, ctypes.create_string_buffer(64), 64)
probe("name_to_handle_at", lambda: handle_of(b"/usr") and None)
