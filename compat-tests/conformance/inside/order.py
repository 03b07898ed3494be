"""In which order the containers of a task started. Each has written its line into a file in a volume."""

from pathlib import Path

from report import check, holds, same

LINES = Path("/shared/order").read_text().split()


@check
def a_dependency_that_has_to_succeed_has_ended_first() -> None:
    holds(LINES.index("seed-ends") < LINES.index("sidecar-starts"), LINES)


@check
def a_dependency_that_has_to_complete_has_ended_first() -> None:
    holds("fails-ends" in LINES, LINES)


@check
def a_dependency_that_has_to_be_healthy_was_first() -> None:
    # The side-car's check fails until this file is there, which its program makes late.
    holds("sidecar-healthy" in LINES, LINES)


@check
def every_container_started_once() -> None:
    same(len(LINES), len(set(LINES)))
