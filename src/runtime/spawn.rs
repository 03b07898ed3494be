//! Spawning a shim, and reaching one that runs already.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use shim_protocol::layout;

use crate::cgroup::pause;
use crate::fork_server::{ForkServer, Shim};

/// How long to wait between two looks whether a shim has gone on, in milliseconds.
pub(crate) const LOOK_EVERY_MS: i64 = 1;
/// How long a shim may take to end after its container was taken away, in looks.
const LOOKS_MAX: u32 = 30_000;

/// Starts a shim for the container in `folder`. Returns it, and our end of its first connection.
///
/// The shim makes a session of its own; nothing of our environment goes with it.
///
/// The lock on its log is the shim's as soon as there is one, and ends with it: a later server need not guess from what it
/// finds in the folder whether there is a shim.
pub(crate) fn spawn(shims: &ForkServer, folder: &Path) -> io::Result<(Shim, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let log = File::options().append(true).create(true).open(folder.join(layout::LOG))?;
    log.try_lock()?;
    let shim = shims.fork(&[folder.as_os_str()], &OwnedFd::from(theirs), &OwnedFd::from(log))?;
    Ok((shim, ours))
}

/// Connects to the shim of the container in `folder`. The address of a socket may have 108 bytes, which a folder's path
/// may exceed: so it is reached through the folder's descriptor.
pub(crate) fn connect(folder: &Path) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), layout::SOCKET))
}

/// Returns whether the container in `folder` has a shim, however far it has come.
pub(crate) fn is_alive(folder: &Path) -> io::Result<bool> {
    let log = match File::open(folder.join(layout::LOG)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match log.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits until the container in `folder` has no shim. Whoever calls it has taken away what the shim works on.
pub(crate) fn wait_until_gone(folder: &Path) -> io::Result<()> {
    for _ in 0..LOOKS_MAX {
        if !is_alive(folder)? {
            return Ok(());
        }
        pause(LOOK_EVERY_MS);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the shim of an earlier server does not end"))
}
