"""Leaves links and folders behind that lead out of the work folder, or that are
hard to remove."""

import os

from probe import probe

HOST_FILE = os.environ["HOST_FILE"]


def hard(path):
    os.link(path, "hard-link")


work = os.getcwd()
for name, target in {"file": HOST_FILE, "folder": os.path.dirname(HOST_FILE), "up": "../../../..", "root": "/",
                     "proc": "/proc/1/root", "loop": "loop", "self": "/proc/self/cwd/self", "empty": " "}.items():
    os.symlink(target, name)
probe("symlink-file", lambda: open("file", "w"))
probe("symlink-folder", lambda: open("folder/new", "w"))
probe("symlink-proc", lambda: open("proc/etc/new", "w"))
probe("symlink-loop", lambda: open("loop"))
probe("hard-passwd", hard, "/etc/passwd")
probe("hard-shell", hard, "/bin/sh")
probe("hard-supervisor", lambda: os.link("/proc/1/exe", "supervisor", follow_symlinks=True))

# Folders that nobody may enter, a file in each, and a work folder that is gone.
for i in range(20):
    os.makedirs("sealed/%d/inner" % i)
    open("sealed/%d/inner/file" % i, "w").close()
    os.chmod("sealed/%d/inner" % i, 0)
    os.chmod("sealed/%d" % i, 0)
os.chmod("sealed", 0)
os.mkfifo("fifo")
probe("replace", lambda: (os.rename(work, work + ".old"), os.symlink("/etc", work)) and None)
probe("remove", os.rmdir, work)
os.chmod(".", 0)
