"""A container that ends with an error, over and over, and says how often it has been started.

again.py SECONDS CODE
"""

import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path

from report import say

STARTS = Path("/starts")
STARTS.write_text(STARTS.read_text() + "." if STARTS.exists() else ".")
starts = len(STARTS.read_text())
if starts == 2:
    with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"], timeout=5) as answer:
        container = json.load(answer)
    good = container.get("RestartCount") == 1
    say("ok restart-count-in-metadata" if good else f"not ok restart-count-in-metadata: saw {container}")
    say("ok restart-policy-starts-again")
    say("done")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
