"""What a server leaves on the machine: everything that a test run must have cleaned up when it ends."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
BLOCK_DEVICES = Path("/sys/block")
# The folder of disks that a running server keeps ready for tasks to come.
READY_DISKS = "/.disks/"
# FNV-1a, as the server names itself by its data directory.
FNV_OFFSET, FNV_PRIME = 0x811C9DC5, 0x01000193


def instance_of(data_dir: Path) -> str:
    """Returns the six digits by which a server marks what it makes in the kernel."""
    digest = FNV_OFFSET
    for byte in os.fsencode(data_dir.resolve()):
        digest = ((digest ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return f"{digest & 0xFFFFFF:06x}"


def _output_of(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def _processes(mark: str, cgroup: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (entry / "cgroup").read_text()
        except OSError:  # it ended meanwhile
            continue
        if mark in command or cgroup in groups:
            found.append(f"{entry.name} {command.strip()}")
    return found


def _disks(data_dir: str) -> list[str]:
    found = []
    for device in BLOCK_DEVICES.glob("loop*/loop/backing_file"):
        try:
            image = device.read_text().strip()
        except OSError:  # it was detached meanwhile
            continue
        if image.startswith(data_dir + "/"):
            found.append(f"{device.parts[3]} {image}")
    return found


def _interfaces(namespaces: list[str]) -> list[str]:
    """The host's ends of tasks' interfaces, in the namespaces of VPCs."""
    found = []
    for name in namespaces:
        shown = subprocess.run(["ip", "-netns", name, "-o", "link"], capture_output=True, text=True)
        # A namespace that is gone by now has none.
        found += [f"{name} {line}" for line in shown.stdout.splitlines() if ": eni" in line]
    return found


@dataclass
class Leftovers:
    """What of one server is on the machine."""

    namespaces: list[str]
    mounts: list[str]
    cgroups: list[str]
    processes: list[str]
    links: list[str]
    routes: list[str]
    disks: list[str]
    interfaces: list[str]

    @classmethod
    def of(cls, data_dir: Path) -> "Leftovers":
        instance = instance_of(data_dir)
        cgroup, link = f"neargate-{instance}", f"ng{instance}-"
        namespaces = [path.name for path in NAMESPACES.iterdir()] if NAMESPACES.exists() else []
        mounts = Path("/proc/mounts").read_text().splitlines()
        # The first level below each hierarchy is where a server makes its cgroup; deeper ones cannot outlive it.
        groups = [path for path in CGROUPS.glob("*/neargate-*")] + [path for path in CGROUPS.glob("neargate-*")]
        namespaces = [name for name in namespaces if instance in name]
        return cls(
            namespaces=namespaces,
            mounts=[mount for mount in mounts if str(data_dir) in mount or cgroup in mount],
            cgroups=[str(path) for path in groups if path.name == cgroup],
            processes=_processes(str(data_dir), cgroup),
            links=[line for line in _output_of("ip", "-o", "link") if link in line],
            routes=[line for line in _output_of("ip", "route", "show", "table", "all") if link in line],
            disks=_disks(str(data_dir)),
            interfaces=_interfaces([name for name in namespaces if "-vpc-" in name]),
        )

    def of_tasks(self) -> "Leftovers":
        """Returns what belongs to tasks: a running server keeps its own process, its VPCs and its empty cgroup."""
        return Leftovers(
            namespaces=[name for name in self.namespaces if "-vpc-" not in name],
            mounts=[mount for mount in self.mounts if "-vpc-" not in mount],
            cgroups=[],
            processes=[process for process in self.processes if " shim " in process],
            links=[],
            routes=[],
            disks=[disk for disk in self.disks if READY_DISKS not in disk],
            interfaces=self.interfaces,
        )

    def __bool__(self) -> bool:
        return any(vars(self).values())
