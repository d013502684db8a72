"""Looks for what belongs to the host or to somebody else."""

import os

from probe import CANARY, probe, report, sees_host

FILES = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/.bash_history", "/root/.ssh/id_rsa", "/proc/1/environ",
         "/etc/ssh/ssh_host_ed25519_key", "/var/lib/docker/network/files/local-kv.db", "/run/docker.sock", "/var/run/docker.sock",
         "/run/containerd/containerd.sock", "/var/log/syslog", "/var/log/auth.log", "/run/secrets/kubernetes.io/serviceaccount/token"]
FOLDERS = ["/root", "/home", "/var/lib/docker", "/run/secrets", "/etc/ssh", "/etc/ssl/private", "/var/spool/cron", "/var/mail"]
MEMORY = {"tmpfs", "proc", "devpts", "mqueue", "ramfs"}


def read(path):
    with open(path, "rb") as f:
        return "OK" if f.read(1) else "EMPTY"


def look(path):
    return "OK" if os.listdir(path) else "EMPTY"


def walk():
    """Looks at every folder but the system's for a file of the host's."""
    seen = 0
    for folder, folders, names in os.walk("/"):
        if CANARY in "".join(names + folders):
            return "FOUND"
        folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr", "/lib", "/bin")]
        seen += len(names)
        if seen > 100000:
            return "UNBOUNDED"
    return "NOTHING"


def mounts():
    """Returns the mounts that a file system of the host can be changed through."""
    wrong = []
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            _, _, _, root, point, options = left.split()[:6]
            kind, _, superblock = right.split()[:3]
            if "ro" not in options.split(",") and "ro" not in superblock.split(",") and kind not in MEMORY:
                wrong.append("%s:%s" % (kind, point))
            if os.path.dirname(os.environ["HOST_FILE"]) in line or CANARY in line:
                wrong.append("leak:" + point)
    return ",".join(wrong) or "READONLY"


for path in FILES:
    probe("read:" + path, read, path)
for path in FOLDERS:
    probe("list:" + path, look, path)
probe("host-file", read, os.environ["HOST_FILE"])
probe("host-folder", look, os.path.dirname(os.environ["HOST_FILE"]))
probe("host-file-by-proc", read, "/proc/1/root" + os.environ["HOST_FILE"])
report("host-process", "SEEN" if sees_host() else "HIDDEN")
probe("signal-host", os.kill, int(os.environ["HOST_PID"]), 0)
report("processes", "SEEN", len([p for p in os.listdir("/proc") if p.isdigit()]))
probe("walk", walk)
probe("mounts", mounts)
