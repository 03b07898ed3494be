//! How much of the machine there is to use.

use std::fs;
use std::path::Path;

use indicatif::BinaryBytes;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::finding::Finding;

/// What a container may open on Fargate.
const OPEN_FILES_WANTED: u64 = 65_535;
/// The number of CAP_SYS_RESOURCE, which may raise limits.
const CAP_SYS_RESOURCE: u32 = 24;
/// A container takes three processes and threads at least: the shim, its helper, the program.
const PROCESSES_WANTED: u64 = 4_096;
/// Room for the layers of an everyday image.
const DISK_WANTED_BYTES: u64 = 1024 * 1024 * 1024;

/// Checks whether containers get as many open files as on Fargate.
pub(super) fn open_files() -> Finding {
    let hard = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) => hard,
        Err(errno) => return Finding::warn("open files", format!("cannot tell: {errno}"), "containers may get fewer"),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    judge_open_files(hard, has_capability(&status, CAP_SYS_RESOURCE))
}

fn judge_open_files(hard: u64, can_raise: bool) -> Finding {
    if hard >= OPEN_FILES_WANTED {
        Finding::ok("open files", format!("{hard} at most"))
    } else if can_raise {
        Finding::ok("open files", format!("{hard} at most, which root may raise"))
    } else {
        let advice =
            format!("containers get these, not the {OPEN_FILES_WANTED} of Fargate: ulimit -Hn, or LimitNOFILE=");
        Finding::warn("open files", format!("{hard} at most"), advice)
    }
}

/// Reads the effective capabilities out of a process's status.
fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    bits >> capability & 1 == 1
}

/// Checks how many processes there can be.
pub(super) fn processes() -> Finding {
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limits = [number("/proc/sys/kernel/pid_max"), number("/proc/sys/kernel/threads-max"), own_cgroups_limit()];
    match limits.into_iter().flatten().min() {
        Some(most) if most < PROCESSES_WANTED => {
            let advice = "a container takes three or more: kernel.pid_max, kernel.threads-max, TasksMax=, --pids-limit";
            Finding::warn("processes", format!("{most} at most"), advice)
        }
        Some(most) => Finding::ok("processes", format!("{most} at most")),
        None => Finding::warn("processes", "cannot tell", "a container takes three or more"),
    }
}

/// Reads the limit of this process's own cgroup; version 2, or version 1 where it is usually mounted.
fn own_cgroups_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let folder = pids_cgroup(&own)?;
    fs::read_to_string(Path::new("/sys/fs/cgroup").join(folder).join("pids.max")).ok()?.trim().parse().ok()
}

fn pids_cgroup(own: &str) -> Option<String> {
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let is_separate = controllers.split(',').any(|name| name == "pids");
        is_separate.then(|| format!("{controllers}/{path}")).or_else(|| controllers.is_empty().then(|| path.to_owned()))
    };
    // Version 1 comes first, and is the one in use on a hybrid host.
    own.lines().filter_map(parse).max_by_key(|path| path.starts_with("pids"))
}

/// Checks the room for images and state.
pub(super) fn disk(data_dir: &Path) -> Finding {
    let folder = super::nearest_existing(data_dir);
    match statvfs(folder) {
        Ok(file_system) => {
            let free = file_system.blocks_available() * file_system.fragment_size();
            let found = format!("{} free in {}", BinaryBytes(free), folder.display());
            if free < DISK_WANTED_BYTES {
                return Finding::warn("disk", found, "images may not fit: --data-dir");
            }
            Finding::ok("disk", found)
        }
        Err(errno) => {
            Finding::warn("disk", format!("cannot tell for {}: {errno}", folder.display()), "images need room")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Severity;

    #[test]
    fn root_may_raise_the_number_of_open_files() {
        assert_eq!(judge_open_files(1_048_576, false).severity, Severity::Ok);
        assert_eq!(judge_open_files(4_096, true).severity, Severity::Ok);
        assert_eq!(judge_open_files(4_096, false).severity, Severity::Warn);
    }

    #[test]
    fn capabilities_are_read_from_the_status() {
        let status = "Name:\tneargate\nCapPrm:\t0000000000000000\nCapEff:\t0000000001000000\n";
        assert!(has_capability(status, CAP_SYS_RESOURCE));
        assert!(!has_capability(status, CAP_SYS_RESOURCE + 1));
        assert!(!has_capability("", CAP_SYS_RESOURCE));
    }

    #[test]
    fn the_cgroup_that_counts_processes_is_found_in_either_version() {
        assert_eq!(pids_cgroup("0::/user.slice/a\n").unwrap(), "user.slice/a");
        assert_eq!(pids_cgroup("9:memory:/m\n8:pids:/user.slice\n0::/user.slice/a\n").unwrap(), "pids/user.slice");
        assert_eq!(pids_cgroup("9:memory:/\n"), None);
    }
}
