"""Dumps core, or tries to."""

import os
import resource
import signal
import sys

from probe import report

hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
report("limit", "NONE" if 0 <= hard <= 1 else "SOME")
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
pid = os.fork()
if pid == 0:
    os.abort()
_, status = os.waitpid(pid, 0)
report("dumped", "OK" if os.WCOREDUMP(status) else "NONE")
report("files", "NONE" if not [f for f in os.listdir(".") if "core" in f] else "SOME")
os.abort()
