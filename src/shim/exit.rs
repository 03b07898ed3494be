//! How the container ended: read from the kernel, written to a file that is there whole or not at all.

use std::fs;
use std::path::Path;

use nix::unistd::Pid;
use shim_protocol::{Exit, Request, layout};

use crate::error::ShimError;

/// A child that has ended.
pub(crate) struct Ended {
    pub(crate) pid: Pid,
    /// Its exit code, 128 + n for the signal n.
    pub(crate) code: i32,
}

/// Reaps a child that has ended; none if there is no such one.
///
/// Not by nix's function, for which a process that was ended by a real-time signal is an error.
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: the kernel writes the status, which lives until the call returns.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (pid > 0).then(|| Ended { pid: Pid::from_raw(pid), code: code(status) })
}

fn code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// Returns whether the kernel has killed a process of the container for want of memory.
pub(crate) fn is_oom_killed(request: &Request) -> bool {
    let text = request.oom_counter.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    oom_kills(&text) > 0
}

/// Reads `oom_kill <count>`, which `memory.oom_control` and `memory.events` have in common.
fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
}

/// Writes the exit file in the working directory, which is the container's folder.
pub(crate) fn save(exit: &Exit) -> Result<(), ShimError> {
    let path = Path::new(layout::EXIT_UNFINISHED);
    fs::write(path, serde_json::to_vec(exit)?).map_err(ShimError::path("write", path))?;
    fs::rename(path, layout::EXIT).map_err(ShimError::path("rename", path))
}

/// Takes away what an earlier run of the container has left: from now on it has not ended.
pub(crate) fn forget() -> Result<(), ShimError> {
    match fs::remove_file(layout::EXIT) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ShimError::path("remove", Path::new(layout::EXIT))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_128_and_its_number() {
        // As the kernel writes them: the code in the second byte, or the signal in the first.
        assert_eq!([3 << 8, libc::SIGKILL, 37, 37 | 0x80].map(code), [3, 137, 165, 165]);
    }

    #[test]
    fn both_cgroup_versions_count_kills_alike() {
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(oom_kills(""), 0);
    }
}
