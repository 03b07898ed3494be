"""A container that sees the volumes of another one, and may not write to them; and that has fewer capabilities."""

import errno
import os
from pathlib import Path

import kernel
from report import check, fails, holds, same


@check
def volumes_from_another_container() -> None:
    same(Path("/shared/from-seed").read_text(), "from seed\n")


@check
def volumes_from_another_container_may_be_read_only() -> None:
    holds(kernel.is_read_only("/shared"), kernel.mounts()["/shared"])
    fails(lambda: Path("/shared/new").write_text("x"), errno.EROFS)


@check
def capabilities_dropped_from_root() -> None:
    expected = kernel.CAPABILITIES_DEFAULT - {"NET_RAW", "MKNOD", "CHOWN"} | {"SYS_PTRACE"}
    for kind in ("Eff", "Prm", "Bnd"):
        same(kernel.capabilities(kind), expected)
    Path("/tmp/mine").write_text("x")
    fails(lambda: os.chown("/tmp/mine", 1, 1), errno.EPERM)


@check
def containers_have_root_file_systems_of_their_own() -> None:
    holds(not os.path.exists("/written"), "/written, which another container made")


@check
def containers_have_processes_of_their_own() -> None:
    same(os.getpid(), 1)


@check
def numeric_group_of_the_definition() -> None:
    same((os.getuid(), os.getgid()), (0, 4242))
