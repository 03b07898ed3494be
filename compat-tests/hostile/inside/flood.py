"""Writes as many lines as it is told, as fast as it can, and says how long it took.

flood.py LINES
"""

import os
import sys
import time

lines = int(sys.argv[1])
begin = time.monotonic()
text = b"".join(b"line %d\n" % number for number in range(lines))
written = 0
while written < len(text):
    written += os.write(1, text[written : written + (1 << 20)])
took = time.monotonic() - begin
os.write(1, b"took %.3f\n" % took)
