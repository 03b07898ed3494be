//! Opening what a container has at a path, as its processes look it up: no symbolic link leads out.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How often a path is looked up that leads through `..` while somebody mounts or renames anything on this machine: then the
/// kernel cannot tell that it stays inside, and asks to be asked again.
const OPEN_TRIES: u32 = 1_000;

/// The root file system of a process.
pub(crate) struct ProcessRoot(OwnedFd);

impl ProcessRoot {
    /// Opens the root of the process with this number.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let root = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, &root, flags, Mode::empty())?))
    }

    /// Opens what is at a path.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN) if tries < OPEN_TRIES => {}
                result => return Ok(result?),
            }
        }
    }
}
