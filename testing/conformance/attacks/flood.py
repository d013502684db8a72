"""Writes without end, in the way named by the argument."""

import os
import sys
import time

from probe import brief

HOW = sys.argv[1]
brief(60)

if HOW == "line":
    while True:
        os.write(1, b"x" * 65536)  # never a newline
elif HOW == "lines":
    while True:
        os.write(1, b"\n" * 65536)
elif HOW == "bytes":
    while True:
        os.write(1, b"y")
elif HOW == "stderr":
    while True:
        os.write(2, b"error\n" * 10000)
elif HOW == "both":
    while True:
        os.write(1, b"o" * 4096)
        os.write(2, b"e" * 4096)
elif HOW == "children":
    for _ in range(8):
        if os.fork() == 0:
            while True:
                os.write(1, b"c" * 65536)
    time.sleep(1000)
elif HOW == "reopened":
    fd = os.open("/dev/stdout", os.O_WRONLY | os.O_NONBLOCK)
    while True:
        try:
            os.write(fd, b"r" * 65536)
        except BlockingIOError:
            pass
