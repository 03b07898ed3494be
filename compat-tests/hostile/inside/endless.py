"""Writes lines without end, at full speed."""

import os

BLOCK = (b"x" * 1023 + b"\n") * 1024
while True:
    os.write(1, BLOCK)
