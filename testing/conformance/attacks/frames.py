"""Writes what it is given to both streams at once, piece by piece, and ends with
a code of its own. The bytes are what a supervisor could say."""

import os
import sys

data = sys.stdin.buffer.read()
step = int(sys.argv[1])
for i in range(0, len(data), step):
    for fd in 1, 2:
        piece = data[i:i + step]
        while piece:
            piece = piece[os.write(fd, piece):]
os._exit(3)
