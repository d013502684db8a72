"""Nests folders far beyond the longest path."""

import errno
import os

from probe import report

verdict, depth = "OK", 0
try:
    for depth in range(3000):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
except OSError as e:
    verdict = errno.errorcode[e.errno]
report("nesting", verdict, depth)
