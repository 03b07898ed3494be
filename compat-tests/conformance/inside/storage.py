"""A task that writes more than it may."""

import errno
import os
from pathlib import Path

import kernel
from report import check, fails, holds, same

# What the tests' server allows every task.
STORAGE_MIB = int(os.environ["STORAGE_MIB"])


def fits(written: int) -> None:
    # The file system needs some of it for itself.
    holds(0.6 * STORAGE_MIB <= written / kernel.MIB <= STORAGE_MIB, f"{written / kernel.MIB} MiB")


@check
def ephemeral_storage_ends_with_enospc() -> None:
    fits(kernel.fill("/full", 2 * STORAGE_MIB * kernel.MIB))


@check
def volumes_are_part_of_the_ephemeral_storage() -> None:
    fits(kernel.fill("/volume/full", 2 * STORAGE_MIB * kernel.MIB))


@check
def ephemeral_storage_is_given_back() -> None:
    Path("/small").write_bytes(bytes(kernel.MIB))


@check
def ebs_volume_has_its_size() -> None:
    holds(0.9 * 1024 <= kernel.size_mib("/ebs") <= 1024, f"{kernel.size_mib('/ebs')} MiB")


@check
def ebs_volume_is_beside_the_ephemeral_storage() -> None:
    same(kernel.fill("/ebs/file", 2 * STORAGE_MIB * kernel.MIB), 2 * STORAGE_MIB * kernel.MIB)


@check
def ebs_volume_ends_with_enospc() -> None:
    with open("/ebs/full", "wb") as file:
        fails(lambda: os.posix_fallocate(file.fileno(), 0, 1024 * kernel.MIB), errno.ENOSPC)
    os.unlink("/ebs/full")
