"""What the attack programs share: probes, raw system calls, and a guard.

A probe is one attempt. It runs in a child, because it may end whoever makes it,
and is reported on standard output as one line:

    probe NAME VERDICT [NUMBER]

The verdict is OK if the attempt succeeded, the error's name if it failed (EPERM),
the signal's name if it killed its maker (SIGSYS), HANG if it did not return, or
whatever word the attempt returned. The suite knows which verdicts are allowed.

Importing this module ends the program if it can see a process of the host: what
follows would not be kept in by the sandbox, and would hit the machine.
"""

import ctypes
import errno
import os
import platform
import select
import signal
import sys

CANARY = os.environ["HOST_CANARY"]


def sees_host():
    """Reports whether a process that belongs to the host is visible."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if CANARY.encode() in f.read():
                    return True
        except OSError:
            pass
    return False


if not os.environ.get("HARMLESS") and sees_host():
    print("a process of the host is visible: this program is no sandbox's and stops here", file=sys.stderr)
    sys.exit(99)


def report(name, verdict, number=None):
    """Prints the outcome of a probe."""
    line = "probe %s %s" % (name, verdict)
    if number is not None:
        line += " %d" % number
    os.write(1, (line + "\n").encode())


def outcome(attempt, *args):
    """Makes the attempt in this process and returns its verdict."""
    try:
        verdict = attempt(*args)
    except OSError as e:
        return errno.errorcode.get(e.errno, type(e).__name__.upper())
    except BaseException as e:
        return type(e).__name__.upper()
    return verdict if isinstance(verdict, str) else "OK"


def probe(name, attempt, *args):
    """Makes the attempt in a child and reports it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, outcome(attempt, *args).encode())
        os._exit(0)
    os.close(write)
    verdict = "HANG"
    if select.select([read], [], [], 5)[0]:
        verdict = os.read(read, 100).decode()
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if not verdict:
        verdict = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "VANISHED"
    report(name, verdict)


# System calls by number: x86_64, aarch64; None where there is none.
NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "cachestat": (451, 451),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fcntl": (72, 25),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "memfd_create": (319, 279),
    "migrate_pages": (256, 238),
    "mlock": (149, 228),
    "mlockall": (151, 230),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_timedsend": (242, 182),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "sched_setattr": (314, 274),
    "seccomp": (317, 277),
    "setdomainname": (171, 162),
    "set_mempolicy": (238, 237),
    "setfsuid": (122, 151),
    "setgroups": (116, 159),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setsockopt": (54, 208),
    "settimeofday": (164, 170),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}

MACHINE = ("x86_64", "aarch64").index(platform.machine())

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def number(name):
    """Returns the number of a system call on this machine."""
    nr = NUMBERS[name][MACHINE]
    if nr is None:
        raise OSError(errno.ENOSYS, name)
    return nr


def raw(nr, *args):
    """Makes the system call nr. Arguments are integers, bytes or ctypes objects."""
    passed = []
    for a in args:
        if isinstance(a, int):
            passed.append(ctypes.c_long(a if a < 1 << 63 else a - (1 << 64)))
        elif isinstance(a, bytes):
            passed.append(ctypes.c_char_p(a))
        else:
            passed.append(ctypes.byref(a))
    result = libc.syscall(ctypes.c_long(nr), *passed)
    if result == -1:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return result


def call(name, *args):
    """Makes a system call by its name."""
    return raw(number(name), *args)


def child():
    """Returns the ID of a child that waits for its end."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        while True:
            signal.pause()
    return pid


def brief(seconds=20):
    """Makes sure that this process ends by itself, whatever happens."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
