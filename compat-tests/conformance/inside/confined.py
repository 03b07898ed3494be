"""A container of which the definition says much: a user, a read-only root, capabilities, limits, tmpfs, an init."""

import errno
import os
import resource
import signal
import subprocess
from pathlib import Path

import kernel
from report import check, fails, holds, same, until


@check
def user_of_the_image_by_its_name() -> None:
    same((os.getuid(), os.getgid(), sorted(os.getgroups())), (1000, 2000, [2000, 3000]))
    same(os.environ["HOME"], "/home/app")


@check
def user_that_is_not_root_has_no_capabilities() -> None:
    same(kernel.capabilities("Eff") | kernel.capabilities("Prm"), set())


@check
def capabilities_dropped_and_added() -> None:
    same(kernel.capabilities("Bnd"), {"SYS_PTRACE"})


@check
def root_is_read_only() -> None:
    holds(kernel.is_read_only("/"), kernel.mounts()["/"])
    fails(lambda: Path("/tmp/file").write_text("x"), errno.EROFS)


@check
def tmpfs_has_its_size_and_options() -> None:
    kind, options = kernel.mounts()["/scratch"]
    same((kind, kernel.size_mib("/scratch")), ("tmpfs", 8))
    holds({"noexec", "nosuid"} <= set(options.split(",")), options)


@check
def volume_is_writable_below_a_read_only_root() -> None:
    Path("/shared/from-confined").write_text("here")


@check
def ulimits_of_the_definition() -> None:
    same(resource.getrlimit(resource.RLIMIT_NOFILE), (512, 1024))
    same(resource.getrlimit(resource.RLIMIT_CORE), (0, 0))
    same(resource.getrlimit(resource.RLIMIT_FSIZE), (1 << 20, 1 << 21))


@check
def ulimits_are_enforced() -> None:
    opened = []
    try:
        fails(lambda: [opened.append(os.open("/", os.O_RDONLY)) for _ in range(600)], errno.EMFILE)
    finally:
        for number in opened:
            os.close(number)


@check
def kernel_parameters_of_the_definition() -> None:
    same(Path("/proc/sys/net/core/somaxconn").read_text().strip(), "777")


@check
def init_is_process_1() -> None:
    same(os.getppid(), 1)
    holds("init" in Path("/proc/1/cmdline").read_text(), Path("/proc/1/cmdline").read_text())


@check
def init_reaps_orphans() -> None:
    # The shell leaves a child behind, which becomes the init's.
    subprocess.run(["/bin/sh", "-c", "sleep 0.1 & :"], check=True)

    def states() -> list[str]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                found.append(Path("/proc", name, "stat").read_text())
            except OSError:
                continue
        return found

    until(lambda: not any("(sleep)" in state for state in states()), "the orphan to be gone")


@check
def working_directory_of_the_definition() -> None:
    same(os.getcwd(), "/home/app")


@check
def set_user_id_programs_give_nothing() -> None:
    # No program of the image has the bit, and none can be made: the root is read-only and everything else nosuid or new.
    fails(lambda: os.setuid(0), errno.EPERM)
    same(signal.getsignal(signal.SIGPIPE), signal.SIG_IGN)
