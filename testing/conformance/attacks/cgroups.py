"""Changes or leaves its control groups."""

import os

from probe import probe, report

ROOT = "/sys/fs/cgroup"
FOLDERS = [ROOT] + [os.path.join(ROOT, c) for c in ("memory", "pids", "cpu", "cpu,cpuacct", "devices", "freezer", "unified", "systemd")]
FILES = ["cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cpu.cfs_quota_us",
         "devices.allow", "release_agent", "notify_on_release", "cgroup.subtree_control", "cgroup.kill"]


def group():
    """Where this process says it is: the root of its own view, if it has one."""
    with open("/proc/self/cgroup") as f:
        paths = {line.rstrip("\n").split(":", 2)[2] for line in f}
    return "ROOT" if paths <= {"/"} else "PATH"


report("group", group())
for folder in FOLDERS:
    name = os.path.basename(folder)
    probe("mkdir:" + name, os.mkdir, os.path.join(folder, "escape"))
    for file in FILES:
        probe("write:%s/%s" % (name, file), lambda: os.close(os.open(os.path.join(folder, file), os.O_WRONLY)))
