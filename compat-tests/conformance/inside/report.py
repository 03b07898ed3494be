"""Checks from inside a container: each is a function, and one line of output that says how it went.

    ok <name>
    not ok <name>: <what was seen>
"""

import signal
import sys
import time
import traceback
from collections.abc import Callable

CHECKS: list[tuple[str, Callable[[], None]]] = []
# How long one check may take, and how long a condition may take to come true.
CHECK_S, PATIENCE_S = 25, 15.0


def check(function: Callable[[], None]) -> Callable[[], None]:
    """Makes a check of a function: its name is the check's, and an exception tells what was seen."""
    CHECKS.append((function.__name__.replace("_", "-"), function))
    return function


def run() -> None:
    """Runs all checks in their order; says `done`, and goes on until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGALRM, _late)
    for name, function in CHECKS:
        try:
            signal.alarm(CHECK_S)
            function()
            say(f"ok {name}")
        except Exception as error:  # whatever it was: the others are still to be checked
            place = traceback.extract_tb(error.__traceback__)[-1]
            seen = " ".join(str(error).split()) or place.line
            say(f"not ok {name}: {type(error).__name__}: {seen}")
        finally:
            signal.alarm(0)
    say("done")
    while True:
        signal.pause()


def say(line: str) -> None:
    print(line, flush=True)


def same(seen: object, expected: object) -> None:
    """Fails with what was seen instead of what was expected."""
    assert seen == expected, f"saw {seen!r}, not {expected!r}"


def holds(condition: object, seen: object) -> None:
    """Fails with what was seen."""
    assert condition, f"saw {seen!r}"


def fails(action: Callable[[], object], *errors: int) -> None:
    """Fails unless the action fails with one of the system's errors."""
    try:
        seen = action()
    except OSError as error:
        holds(error.errno in errors, error)
    else:
        raise AssertionError(f"saw no error but {seen!r}")


def until(condition: Callable[[], object], what: str) -> object:
    """Returns the condition's value once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.05)
    return value


def _late(*_: object) -> None:
    raise TimeoutError(f"this took more than {CHECK_S} s")
