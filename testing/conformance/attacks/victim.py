"""Has secrets of all sorts and waits: the neighbour of a spy."""

import os
import signal
import socket
import sys

from probe import brief, call

SECRET = sys.argv[1]

for folder in ".", "/tmp", "/dev/shm", os.environ.get("HOME", "."):
    try:
        with open(os.path.join(folder, SECRET), "w") as f:
            f.write(SECRET)
    except OSError:
        pass
s = socket.socket(socket.AF_UNIX)
s.bind("\0" + SECRET)
s.listen()
try:
    call("shmget", 0x7A5C, 4096, 0o1666)
except OSError:
    pass
brief(60)
print("ready", flush=True)
while True:
    signal.pause()
