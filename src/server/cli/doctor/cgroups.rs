//! Cgroups: of which version they are, and whether they can be made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::finding::Finding;

/// Limits of tasks, and what follows if they cannot be set. Without the first nothing runs.
const CONTROLLERS: [(&str, &str); 3] = [
    ("memory", "no container can run"),
    ("cpu", "tasks may use more CPU than they ask for"),
    ("pids", "a task may start any number of processes"),
];

/// Which hierarchies are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchies {
    /// Of version 1: a controller and where it is.
    separate: Vec<(&'static str, PathBuf)>,
    /// Of version 2.
    unified: Option<PathBuf>,
}

/// Makes a cgroup under each controller and takes it away again.
pub(super) fn check() -> Finding {
    let mountinfo = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(mountinfo) => mountinfo,
        Err(error) => return Finding::missing("cgroups", format!("no /proc: {error}"), "mount it"),
    };
    let hierarchies = Hierarchies::parse(&mountinfo);
    let tried = CONTROLLERS.map(|(name, _)| (name, hierarchies.make_below(name)));
    judge(hierarchies.version(), &tried)
}

fn judge(version: &str, tried: &[(&'static str, io::Result<()>)]) -> Finding {
    let works = tried.iter().filter(|(_, made)| made.is_ok()).map(|(name, _)| *name).collect::<Vec<_>>();
    let failed = tried.iter().filter_map(|(name, made)| Some((*name, made.as_ref().err()?))).collect::<Vec<_>>();
    if failed.is_empty() {
        return Finding::ok("cgroups", format!("{version}; {} can be limited", works.join(", ")));
    }
    let errors = failed.iter().map(|(name, error)| format!("{name}: {error}")).collect::<Vec<_>>().join(", ");
    let found = format!("{version}; {errors}");
    let consequences = CONTROLLERS.iter().filter(|(name, _)| failed.iter().any(|(lacking, _)| lacking == name));
    let consequences = consequences.map(|(_, consequence)| *consequence).collect::<Vec<_>>().join("; ");
    if works.contains(&CONTROLLERS[0].0) {
        return Finding::warn("cgroups", found, consequences);
    }
    Finding::missing(
        "cgroups",
        found,
        format!("{consequences}; inside a container run it with --privileged --cgroupns host"),
    )
}

impl Hierarchies {
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self { separate: Vec::new(), unified: None };
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let Some(mount) = before.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut after = after.split(' ');
            match (after.next(), after.nth(1)) {
                (Some("cgroup"), Some(options)) => {
                    let has = |name: &str| options.split(',').any(|option| option == name);
                    let controllers = CONTROLLERS.iter().filter(|(name, _)| has(name));
                    found.separate.extend(controllers.map(|(name, _)| (*name, mount.clone())));
                }
                (Some("cgroup2"), _) => found.unified = found.unified.or(Some(mount)),
                _ => {}
            }
        }
        found
    }

    fn version(&self) -> &'static str {
        match (self.separate.is_empty(), &self.unified) {
            (true, None) => "none mounted",
            (true, Some(_)) => "version 2",
            (false, None) => "version 1",
            (false, Some(_)) => "hybrid, used by their version 1",
        }
    }

    fn make_below(&self, controller: &str) -> io::Result<()> {
        let separate = self.separate.iter().find(|(name, _)| *name == controller).map(|(_, mount)| mount);
        let mount = match (separate, &self.unified) {
            (Some(mount), _) => mount,
            // A controller belongs to one version: if others are in version 1, this one is nowhere.
            (None, Some(mount)) if self.separate.is_empty() => {
                let available = fs::read_to_string(mount.join("cgroup.controllers"))?;
                if !available.split_whitespace().any(|name| name == controller) {
                    return Err(io::Error::other("not in cgroup.controllers"));
                }
                mount
            }
            _ => return Err(io::Error::other("not mounted")),
        };
        make_and_remove(&mount.join(format!("neargate-doctor-{}", std::process::id())))
    }
}

fn make_and_remove(cgroup: &Path) -> io::Result<()> {
    fs::create_dir(cgroup)?;
    fs::remove_dir(cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Severity;

    const VERSION_1: &str = "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const VERSION_2: &str = "31 30 0:27 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_version_is_told_from_the_mounts() {
        let version = |mountinfo: &str| Hierarchies::parse(mountinfo).version();
        assert_eq!(version(VERSION_1), "version 1");
        assert_eq!(version(VERSION_2), "version 2");
        assert_eq!(version(&format!("{VERSION_2}{VERSION_1}")), "hybrid, used by their version 1");
        assert_eq!(version("30 25 0:26 / / rw - ext4 /dev/vda rw\n"), "none mounted");
    }

    #[test]
    fn controllers_that_share_a_hierarchy_are_found_in_it() {
        let found = Hierarchies::parse(VERSION_1).separate;
        let expected = [("cpu", "/sys/fs/cgroup/cpu,cpuacct"), ("memory", "/sys/fs/cgroup/memory")];
        assert_eq!(found, expected.map(|(name, mount)| (name, PathBuf::from(mount))));
    }

    #[test]
    fn a_controller_that_is_not_mounted_cannot_be_used() {
        let error = Hierarchies::parse(VERSION_1).make_below("pids").unwrap_err();
        assert_eq!(error.to_string(), "not mounted");
    }

    #[test]
    fn only_memory_is_indispensable() {
        let refused = || Err(io::Error::other("refused"));
        let all = judge("version 1", &[("memory", Ok(())), ("cpu", Ok(())), ("pids", Ok(()))]);
        assert_eq!(all, Finding::ok("cgroups", "version 1; memory, cpu, pids can be limited"));
        let some = judge("version 1", &[("memory", Ok(())), ("cpu", refused()), ("pids", Ok(()))]);
        let advice = "tasks may use more CPU than they ask for";
        assert_eq!(some, Finding::warn("cgroups", "version 1; cpu: refused", advice));
        let none = judge("version 1", &[("memory", refused()), ("cpu", Ok(())), ("pids", Ok(()))]);
        assert_eq!(none.severity, Severity::Missing);
    }
}
