//! Disks of a fixed size, where the server's data would lie: what limits how much a task writes.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::finding::Finding;

/// Makes a small disk, writes to it, and lets it go.
pub(super) fn check(data_dir: &Path) -> Finding {
    let folder = super::nearest_existing(data_dir);
    match try_in(folder) {
        Ok(()) => Finding::ok("disks", format!("work in {}", folder.display())),
        Err(error) => Finding::warn(
            "disks",
            format!("cannot be made: {error}"),
            "tasks may write as much as the data directory has, whatever their ephemeralStorage: install e2fsprogs, modprobe \
             loop; inside a container: --privileged, which has /dev/loop-control",
        ),
    }
}

fn try_in(folder: &Path) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix("neargate-doctor-").tempdir_in(folder)?;
    let (empty, image) = (folder.path().join("empty.img"), folder.path().join("disk.img"));
    disk::make(&empty, disk::SIZE_BYTES_MIN)?;
    disk::copy(&empty, &image)?;
    let device = disk::Device::attach(&image)?;
    let mounted = disk::mount(device.path())?;
    let file = rustix::fs::openat(&mounted, "file", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o600))?;
    io::Write::write_all(&mut fs::File::from(file), b"written")
}
