"""Opens and makes devices, and the files that give away the kernel."""

import errno
import fcntl
import os
import stat
import termios

from probe import probe, report

EXPECTED = {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx", "pts",
            "shm", "mqueue", "core", "console"}

DEVICES = ["mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "xvda", "loop0", "loop-control", "fuse", "kvm",
           "net/tun", "vhost-net", "vhost-vsock", "vsock", "hpet", "rtc0", "cpu_dma_latency", "uinput", "userfaultfd",
           "mapper/control", "btrfs-control", "autofs", "snapshot", "watchdog", "dri/card0", "nvram", "ppp", "uhid",
           "ptmx", "pts/ptmx"]  # there are some thousands of terminals for everybody

KERNEL_READ = ["kcore", "kmsg", "keys", "timer_list", "sched_debug", "kpagecount", "kpageflags", "vmallocinfo",
               "slabinfo", "iomem", "ioports", "latency_stats"]

TIOCLINUX = 0x541C


def read(path):
    with open(path, "rb") as f:
        data = f.read(4096)
    if not data:
        return "EMPTY"
    # Addresses that are shown as zeros give nothing away.
    words = [line.split()[0] for line in data.splitlines()[:-1] if line.split()]
    if words and all(not w.strip(b"0-:") for w in words):
        return "ZEROS"


def write(path):
    os.close(os.open(path, os.O_WRONLY))


def look(path):
    return "OK" if os.listdir(path) else "EMPTY"


def make(kind, major, minor, mode):
    os.mknod("node", 0o666 | kind, os.makedev(major, minor))
    os.close(os.open("node", mode))


def type_into(fd):
    fcntl.ioctl(fd, termios.TIOCSTI, b"x")


def console(fd):
    fcntl.ioctl(fd, TIOCLINUX, b"\x02\x00")


def controlling_terminal():
    type_into(os.open("/dev/tty", os.O_RDWR))


report("dev", "EXPECTED" if set(os.listdir("/dev")) <= EXPECTED else ",".join(sorted(set(os.listdir("/dev")) - EXPECTED)))
for name in DEVICES:
    probe("open:" + name, lambda: os.close(os.open("/dev/" + name, os.O_RDONLY)))
probe("make-mem", make, stat.S_IFCHR, 1, 1, os.O_RDONLY)
probe("make-kmsg", make, stat.S_IFCHR, 1, 11, os.O_RDONLY)
probe("make-disk", make, stat.S_IFBLK, 8, 0, os.O_RDONLY)
probe("make-null", make, stat.S_IFCHR, 1, 3, os.O_WRONLY)
for name in KERNEL_READ:
    probe("read:" + name, read, "/proc/" + name)
probe("read:kallsyms", read, "/proc/kallsyms")
probe("write:sysrq-trigger", write, "/proc/sysrq-trigger")
probe("list:sys-kernel-debug", look, "/sys/kernel/debug")
probe("list:sys-kernel-security", look, "/sys/kernel/security")
probe("list:sys-firmware", look, "/sys/firmware")
probe("list:sys-fs-bpf", look, "/sys/fs/bpf")
for fd in 0, 1, 2:
    probe("type-into-%d" % fd, type_into, fd)
    probe("console-%d" % fd, console, fd)
probe("type-into-tty", controlling_terminal)
