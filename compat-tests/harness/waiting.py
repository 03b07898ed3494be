"""Waits for conditions, with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How long anything here may take that is not said to take longer.
PATIENCE_S = 20.0
POLL_S = 0.02


def until(condition: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Returns the condition's value once it is true; fails with what was waited for."""
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {patience_s} s for: {what}"
        time.sleep(POLL_S)
