"""The end of a task: in which order its containers are asked to end, and how.

    ending.py first    ends one second after it was asked to, and leaves a mark
    ending.py last     something that `first` depends on; must not be asked before that mark is there
"""

import os
import signal
import sys
import time
from pathlib import Path

from report import say

MARK = Path("/shared/first-ended")
ROLE = sys.argv[1]


def first(number: int, _: object) -> None:
    # The image says how it is stopped.
    if number == signal.SIGQUIT:
        say("ok stop-signal-of-the-image")
    else:
        say(f"not ok stop-signal-of-the-image: saw {signal.Signals(number).name}")
    time.sleep(1)
    MARK.touch()
    os._exit(21)


def last(*_: object) -> None:
    if MARK.exists():
        say("ok what-others-depend-on-is-stopped-last")
    else:
        say("not ok what-others-depend-on-is-stopped-last: saw no mark of the other one")
    os._exit(22)


for each in (signal.SIGQUIT, signal.SIGTERM):
    signal.signal(each, first if ROLE == "first" else last)
say("done")
while True:
    signal.pause()
