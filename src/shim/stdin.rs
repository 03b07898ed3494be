//! Standard input, by which a process of ours is connected to the server.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::ShimError;

/// Takes standard input, and leaves /dev/null in its place.
pub(crate) fn take() -> Result<OwnedFd, ShimError> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).map_err(ShimError::call("take stdin"))?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(ShimError::call("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(ShimError::call("replace stdin"))?;
    Ok(socket)
}
