"""Volumes of a task, from the container that mounts them itself."""

import errno
import os
from pathlib import Path

import kernel
from report import check, fails, holds, same


@check
def volume_is_shared_by_the_containers() -> None:
    same(Path("/shared/from-seed").read_text(), "from seed\n")


@check
def volume_takes_what_the_image_has() -> None:
    same(Path("/seeded/file").read_text(), "from the image\n")
    seen = os.stat("/seeded")
    same((seen.st_uid, seen.st_gid, seen.st_mode & 0o777), (1000, 2000, 0o750))


@check
def mount_point_may_be_read_only() -> None:
    holds(kernel.is_read_only("/shared-read-only"), kernel.mounts())
    same(Path("/shared-read-only/from-seed").read_text(), "from seed\n")
    fails(lambda: Path("/shared-read-only/new").write_text("x"), errno.EROFS)


@check
def efs_files_are_the_access_point_s_user_s() -> None:
    Path("/efs-point/from-main").write_text("through the access point")
    # The same file system, mounted as a whole.
    seen = os.stat("/efs/made/by/point/from-main")
    same((seen.st_uid, seen.st_gid), (1234, 5678))


@check
def efs_root_directory_is_made_as_the_access_point_says() -> None:
    seen = os.stat("/efs/made/by/point")
    same((seen.st_uid, seen.st_gid, seen.st_mode & 0o777), (1111, 2222, 0o777))


@check
def efs_outlives_tasks() -> None:
    same(Path("/efs/from-peer").read_text(), "from peer\n")


@check
def efs_access_point_shows_nothing_above() -> None:
    same(os.listdir("/efs-point/.."), os.listdir("/"))
    same(sorted(os.listdir("/efs-point")), ["from-main"])
