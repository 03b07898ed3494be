"""A container of a task whose containers share their processes."""

import os
from pathlib import Path

from report import check, holds, same, until


def commands() -> dict[int, str]:
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(name)] = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


@check
def processes_of_the_other_container_are_seen() -> None:
    until(lambda: "sleep 987654" in commands().values(), "the other container's process")


@check
def processes_of_the_other_container_can_be_signalled() -> None:
    [target] = [number for number, command in commands().items() if command == "sleep 987654"]
    os.kill(target, 0)


@check
def process_1_is_the_platform_s() -> None:
    holds(os.getpid() != 1, os.getpid())
    same([command for number, command in commands().items() if number == 1 and "sleep" in command], [])


@check
def processes_of_the_host_are_not_seen() -> None:
    holds(len(commands()) < 10, commands())
    holds(not any("serve" in command for command in commands().values()), commands())
