//! The cgroup hierarchies of this host: version 1, version 2, or both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers of version 1 that limit, count or guard.
const CONTROLLERS_V1: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "devices", "blkio"];
/// Their namesakes of version 2.
const CONTROLLERS_V2: [&str; 4] = ["cpu", "memory", "pids", "io"];
/// Where a container looks for its cgroups.
const SEEN_BELOW: &str = "/sys/fs/cgroup";

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The controllers of ours that it has.
    pub(crate) controllers: Vec<&'static str>,
    /// Whether it is of version 2.
    pub(crate) is_unified: bool,
}

impl Hierarchy {
    /// Returns whether it has a controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    /// Returns where a container is shown its own cgroup; the device controller is nothing to be shown.
    pub(crate) fn seen_at(&self) -> Option<PathBuf> {
        if self.is_unified {
            return Some(PathBuf::from(SEEN_BELOW));
        }
        let name = self.mount.file_name()?;
        (!self.has("devices")).then(|| Path::new(SEEN_BELOW).join(name))
    }
}

/// Finds the hierarchies to put containers in. On a hybrid host, whose version 2 has no controllers, those of version 1.
pub(crate) fn find() -> io::Result<Vec<Hierarchy>> {
    let found = parse(&fs::read_to_string("/proc/self/mountinfo")?);
    if found.is_empty() {
        return Err(io::Error::other("no cgroup hierarchy with a memory controller is mounted"));
    }
    Ok(found)
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mounts = mountinfo.lines().filter_map(parse_mount).collect::<Vec<_>>();
    let mut found: Vec<Hierarchy> = Vec::new();
    for controller in CONTROLLERS_V1 {
        let mount = mounts
            .iter()
            .find(|mount| mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller));
        let Some(mount) = mount else { continue };
        match found.iter_mut().find(|known| known.mount == mount.at) {
            Some(known) => known.controllers.push(controller),
            None => {
                found.push(Hierarchy { mount: mount.at.clone(), controllers: vec![controller], is_unified: false });
            }
        }
    }
    if found.iter().any(|hierarchy| hierarchy.has("memory")) {
        return found;
    }
    let unified = mounts.into_iter().find(|mount| mount.kind == "cgroup2");
    unified
        .map(|mount| Hierarchy { mount: mount.at, controllers: CONTROLLERS_V2.to_vec(), is_unified: true })
        .into_iter()
        .collect()
}

struct Mount<'a> {
    at: PathBuf,
    kind: &'a str,
    options: &'a str,
}

fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let at = PathBuf::from(before.split(' ').nth(4)?);
    let mut after = after.split(' ');
    Some(Mount { at, kind: after.next()?, options: after.nth(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mountinfo: &str) -> Vec<(String, String)> {
        parse(mountinfo)
            .into_iter()
            .map(|hierarchy| (hierarchy.mount.display().to_string(), hierarchy.controllers.join(",")))
            .collect()
    }

    #[test]
    fn a_hybrid_host_is_used_by_its_version_1() {
        let found = names(
            "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
             31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n",
        );
        let expected = [("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"), ("/sys/fs/cgroup/memory", "memory")];
        assert_eq!(found, expected.map(|(mount, names)| (mount.to_owned(), names.to_owned())));
    }

    #[test]
    fn a_host_of_version_2_has_one_hierarchy() {
        let found = names("31 30 0:27 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(found, [("/sys/fs/cgroup".to_owned(), "cpu,memory,pids,io".to_owned())]);
    }

    #[test]
    fn a_host_without_cgroups_has_none() {
        assert_eq!(parse("30 25 0:26 / / rw - ext4 /dev/vda rw\n"), []);
    }
}
