"""Leaves files behind whose names are meant for whoever lists them."""

import os
import sys

NAMES = [b"\n", b"a\nb", b"\x1b[2J\x1b[31mred", b"\r", b"\x07", b"-rf", b"--", b"*", b"$(reboot)", b"`reboot`", b";reboot", b"|reboot",
         b"' or 1=1 --", b"<img src=x onerror=alert(1)>", b"%s%n%x", b"\xff\xfe\xfd", b"\xe2\x80\xae\xe2\x80\xaetxt.exe", b"\xed\xa0\x80",
         "\u00e9".encode(), "e\u0301".encode(), "\U0001f4a9".encode(), b"CON", b"a" * 255, b"\\", b"C:\\x", b" ", b"..."]

for name in NAMES:
    with open(b"x" + name if len(name) < 255 else name, "w") as f:
        f.write("x")
    if len(name) < 255:
        os.mkdir(name)
        open(os.path.join(name, name), "w").close()
print("made", len(os.listdir(b".")), file=sys.stderr)
