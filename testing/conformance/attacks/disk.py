"""Fills every place that can be written to, up to twice the MIB of the argument
in each, in the way named by the argument."""

import errno
import mmap
import os
import sys

from probe import probe, report

HOW, MIB = sys.argv[1], int(sys.argv[2])
MOST_FILES = 50000


def writable():
    """Returns the folders outside of /proc and /sys in which files can be made."""
    found = {}
    for folder, folders, _ in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr")]
        if os.access(folder, os.W_OK):
            found[os.path.realpath(folder)] = None
    for folder in ".", "/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue":
        if os.path.isdir(folder) and os.access(folder, os.W_OK):
            found[os.path.realpath(folder)] = None
    return list(found)


def fill():
    """Writes one big file in each place."""
    total, verdicts = 0, set()
    for folder in writable():
        if folder == "/dev/mqueue":
            continue
        try:
            with open(os.path.join(folder, "fill"), "wb", buffering=0) as f:
                for _ in range(2 * MIB * 16):
                    total += f.write(b"x" * 65536)
            verdicts.add("OK")
        except OSError as e:
            verdicts.add(errno.errorcode[e.errno])
    report("fill", ",".join(sorted(verdicts)), total)


def inodes():
    """Makes empty files and folders."""
    total, verdicts = 0, set()
    for folder in writable():
        if folder == "/dev/mqueue":
            continue
        try:
            os.mkdir(os.path.join(folder, "many"))
            for n in range(MOST_FILES):
                os.close(os.open(os.path.join(folder, "many", str(n)), os.O_CREAT | os.O_WRONLY))
                total += 1
            verdicts.add("OK")
        except OSError as e:
            verdicts.add(errno.errorcode[e.errno])
    report("inodes", ",".join(sorted(verdicts)), total)


def big():
    """Makes one big file in all the ways there are."""
    def write():
        with open("written", "wb", buffering=0) as f:
            for _ in range(2 * MIB):
                f.write(b"x" * (1 << 20))

    def allocate():
        with open("allocated", "wb") as f:
            os.posix_fallocate(f.fileno(), 0, 2 * MIB << 20)

    def sparse():
        """A hole costs nothing, but what is then written into it does."""
        for n in range(4):
            with open("sparse%d" % n, "wb", buffering=0) as f:
                f.truncate(MIB << 20)
                for _ in range(MIB):
                    f.write(b"x" * (1 << 20))

    def mapped():
        """Pages that are written to by memory access are not refused by any call."""
        for n in range(2):
            with open("mapped%d" % n, "wb+") as f:
                f.truncate(MIB << 20)
                m = mmap.mmap(f.fileno(), 0)
                for i in range(0, len(m), 4096):
                    m[i] = 1

    def endless():
        """A hole of a terabyte, which costs nothing."""
        with open("endless", "wb") as f:
            f.truncate(1 << 40)

    for attempt in write, allocate, sparse, mapped, endless:
        probe(attempt.__name__, attempt)
        for name in os.listdir("."):
            if name not in ("disk.py", "probe.py"):
                try:
                    os.unlink(name)
                except OSError:
                    pass


globals()[HOW]()
