//! How the container ended: read from the kernel, written to a file that is there whole or not at all.

use std::fs;
use std::path::Path;

use nix::sys::wait::WaitStatus;
use shim_protocol::{Exit, Request, layout};

use crate::error::ShimError;

/// Returns the exit code of a wait status, 128 + n for the signal n; none if the process has not ended.
pub(crate) fn code(status: WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(_, code) => Some(code),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
        WaitStatus::Stopped(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(_)
        | WaitStatus::Continued(_)
        | WaitStatus::StillAlive => None,
    }
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

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn a_signal_is_128_and_its_number() {
        let pid = Pid::from_raw(1);
        assert_eq!(code(WaitStatus::Exited(pid, 3)), Some(3));
        assert_eq!(code(WaitStatus::Signaled(pid, Signal::SIGKILL, false)), Some(137));
        assert_eq!(code(WaitStatus::StillAlive), None);
    }

    #[test]
    fn both_cgroup_versions_count_kills_alike() {
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(oom_kills(""), 0);
    }
}
