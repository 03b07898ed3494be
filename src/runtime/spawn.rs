//! Spawning a shim, and reaching one that runs already.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use shim_protocol::layout;
use tokio::process::{Child, Command};

/// Starts a shim for the container in `folder`. Returns it, and our end of its first connection.
///
/// The socket goes in as standard input, so that no code has to run between fork and exec, and the standard library can
/// spawn without copying this process. The shim makes a session of its own; nothing of our environment goes with it.
pub(crate) fn spawn(program: &Path, folder: &Path) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let log = File::options().append(true).create(true).open(folder.join(layout::LOG))?;
    let child = Command::new(program)
        .arg(layout::SUBCOMMAND)
        .arg(folder)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(false)
        .spawn()?;
    Ok((child, ours))
}

/// Connects to the shim of the container in `folder`. The address of a socket may have 108 bytes, which a folder's path
/// may exceed: so it is reached through the folder's descriptor.
pub(crate) fn connect(folder: &Path) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), layout::SOCKET))
}
