"""Makes forbidden calls through the kernel's other doors: as a 32-bit program
would (int 0x80), as an x32 program would, and with numbers whose high half is
set. On aarch64, where a 64-bit program has no other door, only the latter."""

import ctypes
import errno
import mmap
import struct

from probe import MACHINE, number, probe, raw

NEWUSER = 0x10000000
AF_VSOCK, STREAM = 40, 1
X32 = 0x40000000
RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
MAP_32BIT = 0x40


def int80(nr, *args):
    if MACHINE != 0:
        raise OSError(errno.ENOSYS, "x86 only")
    b, c, d = (args + (0, 0, 0))[:3]
    code = (b"\x53"                                  # push rbx
            + b"\xb8" + struct.pack("<I", nr)        # mov eax, nr
            + b"\xbb" + struct.pack("<I", b)         # mov ebx, b
            + b"\xb9" + struct.pack("<I", c)         # mov ecx, c
            + b"\xba" + struct.pack("<I", d)         # mov edx, d
            + b"\xcd\x80\x5b\xc3")                   # int 0x80; pop rbx; ret
    page = mmap.mmap(-1, 4096, prot=RWX)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if -4096 < result < 0:
        raise OSError(-result, "int 0x80")


def socketcall():
    if MACHINE != 0:
        raise OSError(errno.ENOSYS, "x86 only")
    low = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT)
    low.write(struct.pack("<III", AF_VSOCK, STREAM, 0))
    int80(102, 1, ctypes.addressof(ctypes.c_char.from_buffer(low)))


def x32(nr, *args):
    if MACHINE != 0:
        raise OSError(errno.ENOSYS, "x86 only")
    raw(X32 | nr, *args)


probe("i386-unshare", int80, 310, NEWUSER)
probe("i386-ptrace", int80, 26, 0)
probe("i386-keyctl", int80, 288, 1, 0)
probe("i386-bpf", int80, 357, 0, 0, 0)
probe("i386-userfaultfd", int80, 374, 1)
probe("i386-io_uring_setup", int80, 425, 1, 0)
probe("i386-perf_event_open", int80, 336, 0)
probe("i386-socket", int80, 359, AF_VSOCK, STREAM, 0)
probe("i386-socketcall", socketcall)
probe("x32-unshare", x32, 272, NEWUSER)
probe("x32-ptrace", x32, 521, 0, 0, 0, 0)
probe("x32-keyctl", x32, 250, 1, 0)
probe("x32-bpf", x32, 321, 0, 0, 0)
probe("x32-socket", x32, 41, AF_VSOCK, STREAM, 0)
probe("high-bits-unshare", lambda: raw(number("unshare") | 1 << 32, NEWUSER))
probe("high-bits-bpf", lambda: raw(number("bpf") | 1 << 63, 0, 0, 0))
