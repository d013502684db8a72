"""Becomes somebody else, or more than it is."""

import ctypes
import os
import shutil
import struct
import subprocess
import sys

from probe import call, probe, report

PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_MM, PR_CAP_AMBIENT = 8, 24, 28, 35, 47
CAP_SYS_ADMIN = 21


def status(field):
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].split()
    return ["ABSENT"]


def setfsuid():
    call("setfsuid", 0)
    return "OK" if call("setfsuid", 0xFFFFFFFF) == 0 else "UNCHANGED"


def capset():
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    data = ctypes.create_string_buffer(b"\xff" * 24, 24)
    call("capset", header, data)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def set_user_id():
    """A copy of the interpreter that says it runs as its owner."""
    shutil.copy(os.path.realpath(sys.executable), "interpreter")
    os.chmod("interpreter", 0o6755)
    out = subprocess.run(["./interpreter", "-c", "import os; print(os.geteuid() != os.getuid())"], capture_output=True)
    return "OK" if b"True" in out.stdout else "UNCHANGED"


for name in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
    report(name, "NONE" if int(status(name)[0], 16) == 0 else "SOME")
report("NoNewPrivs", "SET" if status("NoNewPrivs") == ["1"] else "UNSET")
report("Seccomp", "FILTER" if status("Seccomp") == ["2"] else "NONE")
report("Uid", "ROOT" if "0" in status("Uid") else "NOBODY")
report("Gid", "ROOT" if "0" in status("Gid") + status("Groups") else "NOBODY")

probe("setuid", os.setuid, 0)
probe("seteuid", os.seteuid, 0)
probe("setreuid", os.setreuid, 0, 0)
probe("setresuid", os.setresuid, 0, 0, 0)
probe("setgid", os.setgid, 0)
probe("setresgid", os.setresgid, 0, 0, 0)
probe("setgroups", os.setgroups, [0])
probe("setfsuid", setfsuid)
probe("capset", capset)
probe("ambient", call, "prctl", PR_CAP_AMBIENT, 2, CAP_SYS_ADMIN, 0, 0)
probe("securebits", call, "prctl", PR_SET_SECUREBITS, 0, 0, 0, 0)
probe("set-mm", call, "prctl", PR_SET_MM, 6, 0x1000, 0, 0)
probe("uid_map", write, "/proc/self/uid_map", "0 0 1")
probe("gid_map", write, "/proc/self/gid_map", "0 0 1")
probe("setgroups-file", write, "/proc/self/setgroups", "allow")
probe("set-user-id", set_user_id)
probe("chown", lambda: os.chown("interpreter", 0, 0))
probe("oom-score", write, "/proc/self/oom_score_adj", "-1000")
