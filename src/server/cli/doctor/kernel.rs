//! Who runs this, on which kernel, and what the kernel keeps apart.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};

use super::finding::Finding;

/// The first kernel with everything that a container is made with: processes that are born in their cgroup.
const KERNEL_MIN: (u32, u32) = (5, 7);
/// What containers have of their own.
const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("mount", CloneFlags::CLONE_NEWNS),
    ("network", CloneFlags::CLONE_NEWNET),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
];

/// Checks for root.
pub(super) fn root() -> Finding {
    let user = nix::unistd::geteuid();
    if user.is_root() {
        Finding::ok("root", "yes")
    } else {
        Finding::missing("root", format!("this is user {user}"), "containers need root: sudo neargate serve")
    }
}

/// Checks the kernel's version.
pub(super) fn version() -> Finding {
    let release = match fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => release.trim_end().to_owned(),
        Err(error) => return Finding::missing("kernel", format!("no /proc: {error}"), "mount it: containers need it"),
    };
    let found = format!("Linux {release} on {}", std::env::consts::ARCH);
    let (major, minor) = KERNEL_MIN;
    match parse_release(&release) {
        Some(version) if version < KERNEL_MIN => {
            Finding::missing("kernel", found, format!("{major}.{minor} or later is needed"))
        }
        Some(_) => Finding::ok("kernel", found),
        None => Finding::warn("kernel", found, format!("cannot tell whether that is {major}.{minor} or later")),
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Makes a namespace of each kind.
pub(super) fn namespaces() -> Finding {
    let tried = NAMESPACES.map(|(name, flag)| (name, super::on_own_thread(|| Ok(unshare(flag)?))));
    judge_namespaces(&tried)
}

fn judge_namespaces(tried: &[(&str, io::Result<()>)]) -> Finding {
    let failed = tried.iter().filter_map(|(name, made)| Some(format!("{name} ({})", made.as_ref().err()?)));
    let failed = failed.collect::<Vec<_>>().join(", ");
    if failed.is_empty() {
        let names = tried.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        return Finding::ok("namespaces", names.join(", "));
    }
    Finding::missing(
        "namespaces",
        format!("cannot be made: {failed}"),
        "inside a container run it with --privileged; else the kernel lacks them",
    )
}

/// Asks the kernel for system call filters.
pub(super) fn seccomp() -> Finding {
    // SAFETY: the kernel is given no filter to read, and so installs none.
    let answer =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::null::<libc::c_void>()) };
    // A kernel with filters fails at reading this one, others do not come so far.
    match Errno::result(answer) {
        Ok(_) | Err(Errno::EFAULT) => Finding::ok("seccomp", "system calls can be filtered"),
        Err(errno) => {
            Finding::missing("seccomp", format!("no filters: {errno}"), "the kernel needs CONFIG_SECCOMP_FILTER")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Severity;

    #[test]
    fn releases_of_distributions_are_understood() {
        for (release, version) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.15.153.1-microsoft-standard-WSL2", Some((5, 15))),
            ("6.12-rc3+", Some((6, 12))),
            ("5.7", Some((5, 7))),
            ("unknown", None),
            ("6", None),
        ] {
            assert_eq!(parse_release(release), version, "{release}");
        }
    }

    #[test]
    fn one_kind_of_namespace_too_few_is_too_few() {
        let refused = || Err(Errno::EPERM.into());
        let finding = judge_namespaces(&[("mount", Ok(())), ("pid", refused()), ("uts", refused())]);
        assert_eq!(finding.severity, Severity::Missing);
        let line = finding.line(false);
        assert!(line.contains("cannot be made: pid (Operation not permitted"), "{line}");
        assert!(line.contains("), uts (") && !line.contains("mount"), "{line}");
        assert_eq!(judge_namespaces(&[("mount", Ok(()))]), Finding::ok("namespaces", "mount"));
    }

    #[test]
    fn asking_for_filters_installs_none() {
        assert_eq!(seccomp().severity, Severity::Ok);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let before = fs::read_to_string("/proc/self/status").unwrap();
        let mode = |text: &str| text.lines().find(|line| line.starts_with("Seccomp:")).map(str::to_owned);
        assert_eq!(mode(&status), mode(&before));
    }
}
