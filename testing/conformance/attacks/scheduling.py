"""Takes more of the machine than its share: real-time scheduling, priorities,
locked memory, higher limits."""

import ctypes
import os
import resource
import struct

from probe import call, probe, report

INFINITY = 2**64 - 1
PR_SCHED_CORE, PR_SCHED_CORE_CREATE = 62, 1


def policy(kind, priority):
    os.sched_setscheduler(0, kind, os.sched_param(priority))


def deadline():
    attr = struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)
    call("sched_setattr", 0, ctypes.create_string_buffer(attr, 48), 0)


def raise_limit(which):
    old = ctypes.create_string_buffer(16)
    call("prlimit64", 0, which, 0, old)
    _, hard = struct.unpack("=QQ", old.raw)
    if hard == INFINITY:
        return "UNLIMITED"
    call("prlimit64", 0, which, ctypes.create_string_buffer(struct.pack("=QQ", hard + 1, hard + 1), 16), 0)


probe("fifo", policy, os.SCHED_FIFO, 1)
probe("rr", policy, os.SCHED_RR, 1)
probe("deadline", deadline)
probe("nice", os.setpriority, os.PRIO_PROCESS, 0, -20)
probe("core", call, "prctl", PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, 0, 0)
probe("ioprio", call, "ioprio_set", 1, 0, 1 << 13)
memory = ctypes.create_string_buffer(32 << 20)
probe("mlock", call, "mlock", memory, 32 << 20)
probe("mlockall", call, "mlockall", 3)
probe("move_pages-first", call, "move_pages", 1, 1, (ctypes.c_void_p * 1)(0x400000), 0, (ctypes.c_int * 1)(), 0)
probe("migrate_pages-first", call, "migrate_pages", 1, 64, (ctypes.c_ulong * 1)(1), (ctypes.c_ulong * 1)(1))
for name in "CORE", "NOFILE":
    probe("raise-" + name, raise_limit, getattr(resource, "RLIMIT_" + name))
report("files", "BOUNDED", resource.getrlimit(resource.RLIMIT_NOFILE)[1])
# Harmless, and programs do it: allowed or not.
probe("affinity", os.sched_setaffinity, 0, os.sched_getaffinity(0))
probe("batch", policy, os.SCHED_BATCH, 0)
probe("mbind", call, "mbind", memory, 4096, 0, 0, 0, 0)
probe("set_mempolicy", call, "set_mempolicy", 0, 0, 0)
probe("move_pages", call, "move_pages", 0, 0, 0, 0, 0, 0)
probe("personality", call, "personality", 0x40000)
probe("dumpable", call, "prctl", 4, 1, 0, 0, 0)
