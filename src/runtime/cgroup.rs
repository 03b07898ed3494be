//! Cgroups: one for a sandbox with the task's limits, and below it one for each container.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Clock, TaskId};
use node::{ContainerLimits, SandboxSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use shim_protocol::CgroupPlace;

use crate::hierarchy::{self, Hierarchy};

/// The processes and threads that a task may have. AWS documents no number; this keeps a fork bomb from the host.
const PROCESSES_MAX: u32 = 16_384;
/// The processes and threads that one container may have, so that a fork bomb leaves its neighbours some.
const CONTAINER_PROCESSES_MAX: u32 = 8_192;
/// The length of the period that a CPU limit is a share of, in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// The least quota that the kernel takes, in microseconds.
const CPU_QUOTA_MIN_US: u64 = 1_000;
/// What a container without CPU units gets; the kernel's least.
const CPU_SHARES_MIN: u64 = 2;
/// The most that the kernel takes.
const CPU_SHARES_MAX: u64 = 262_144;
/// CPU units of one processor.
const CPU_UNITS_PER_PROCESSOR: u64 = 1_024;
const MIB: u64 = 1024 * 1024;
/// How long killed processes are waited for while none of them ends.
const KILL_WAIT_MAX_MS: u64 = 10_000;
/// How many of the processes that are killed at once are watched until they end.
const KILLED_WATCHED_MAX: usize = 256;
/// How long to wait between two attempts to remove a cgroup whose last process is just leaving.
const REMOVE_RETRY_MS: i64 = 2;
/// What a container may do with devices: make any, use the harmless ones and terminals.
const DEVICES_ALLOWED: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The cgroups of one server.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    root: String,
}

impl Cgroups {
    /// Finds the host's hierarchies; `root` is the name below which everything is made.
    pub(crate) fn find(root: &str) -> io::Result<Self> {
        Ok(Self { hierarchies: hierarchy::find()?, root: root.to_owned() })
    }

    /// Makes a sandbox's cgroups with the task's limits.
    pub(crate) fn create_sandbox(&self, spec: &SandboxSpec) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            let path = hierarchy.mount.join(&self.root).join(spec.id.as_str());
            fs::create_dir_all(&path)?;
            self.delegate(hierarchy, &path)?;
            limit_sandbox(hierarchy, &path, spec)?;
        }
        Ok(())
    }

    /// Returns the cgroups of a container, one a hierarchy.
    pub(crate) fn of_container(&self, sandbox: &str, container: &str) -> impl Iterator<Item = (&Hierarchy, PathBuf)> {
        let below = Path::new(&self.root).join(sandbox).join(container);
        self.hierarchies.iter().map(move |hierarchy| (hierarchy, hierarchy.mount.join(&below)))
    }

    /// Returns whether a sandbox has all its cgroups.
    pub(crate) fn has_sandbox(&self, id: &TaskId) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.mount.join(&self.root).join(id.as_str()).is_dir())
    }

    /// Hands the controllers of version 2 down; those of version 1 are everywhere.
    fn delegate(&self, hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
        if !hierarchy.is_unified {
            return Ok(());
        }
        for path in [&hierarchy.mount, &hierarchy.mount.join(&self.root), path] {
            let available = fs::read_to_string(path.join("cgroup.controllers"))?;
            let wanted = available.split_whitespace().filter(|name| hierarchy.has(name)).map(|name| format!("+{name}"));
            write(path, "cgroup.subtree_control", &wanted.collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }

    /// Makes a container's cgroups with its limits. Returns them, and the file that counts processes killed for want of
    /// memory.
    pub(crate) fn create_container(
        &self,
        sandbox: &str,
        container: &str,
        limits: &ContainerLimits,
    ) -> io::Result<(Vec<CgroupPlace>, Option<PathBuf>)> {
        let mut places = Vec::with_capacity(self.hierarchies.len());
        let mut oom_counter = None;
        for hierarchy in &self.hierarchies {
            let directory = hierarchy.mount.join(&self.root).join(sandbox).join(container);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => limit_container(hierarchy, &directory, limits)?,
            }
            if hierarchy.has("memory") {
                let file = if hierarchy.is_unified { "memory.events" } else { "memory.oom_control" };
                oom_counter = Some(directory.join(file));
            }
            places.push(CgroupPlace { directory, is_unified: hierarchy.is_unified, seen_at: hierarchy.seen_at() });
        }
        Ok((places, oom_counter))
    }

    /// Returns the names of the sandboxes that have cgroups.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let roots = self.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(&self.root));
        let mut names = roots.flat_map(|root| folders(&root)).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Kills every process in the container's cgroups, or in all of the sandbox's, and removes them. Waits until the
    /// processes have ended.
    pub(crate) fn remove(&self, sandbox: &str, container: Option<&str>, clock: &dyn Clock) -> io::Result<()> {
        let wait_max = Duration::from_millis(KILL_WAIT_MAX_MS);
        let paths = self.hierarchies.iter().map(|hierarchy| {
            let path = hierarchy.mount.join(&self.root).join(sandbox);
            container.map_or_else(|| path.clone(), |container| path.join(container))
        });
        for path in paths {
            let (mut fewest, mut deadline) = (usize::MAX, clock.now().plus(wait_max));
            while let Some(left) = try_remove(&path)? {
                self.forbid_forks(sandbox, container)?;
                if container.is_none() {
                    self.lift_cpu_limit(sandbox)?;
                }
                if left < fewest {
                    (fewest, deadline) = (left, clock.now().plus(wait_max));
                }
                if clock.now() >= deadline {
                    return Err(io::Error::new(ErrorKind::TimedOut, format!("{} is still busy", path.display())));
                }
                // A process that was killed is about to leave; version 1 has no event for it.
                pause(REMOVE_RETRY_MS);
            }
        }
        Ok(())
    }

    /// Keeps what is being killed from growing again: a fork bomb is faster than whoever reads a list of its processes.
    fn forbid_forks(&self, sandbox: &str, container: Option<&str>) -> io::Result<()> {
        for hierarchy in self.hierarchies.iter().filter(|hierarchy| hierarchy.has("pids")) {
            let mut path = hierarchy.mount.join(&self.root).join(sandbox);
            path.extend(container);
            match write(&path, "pids.max", "0") {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes away the limit on the processor time of a sandbox that is ending. Killed processes need some to end: with a
    /// quarter of a processor, thousands of them take minutes.
    pub(crate) fn lift_cpu_limit(&self, sandbox: &str) -> io::Result<()> {
        for hierarchy in self.hierarchies.iter().filter(|hierarchy| hierarchy.has("cpu")) {
            match lift_cpu_limit(hierarchy, &hierarchy.mount.join(&self.root).join(sandbox)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the common parent, if no sandbox is left in it. It costs milliseconds to have it made again, so that it
    /// stays while there is a server.
    pub(crate) fn remove_root_if_empty(&self) {
        for hierarchy in &self.hierarchies {
            // It is not empty while another sandbox exists, and then shall stay.
            let _ = fs::remove_dir(hierarchy.mount.join(&self.root));
        }
    }
}

fn limit_sandbox(hierarchy: &Hierarchy, path: &Path, spec: &SandboxSpec) -> io::Result<()> {
    let quota =
        spec.cpu_units.map(|units| (u64::from(units) * CPU_PERIOD_US / CPU_UNITS_PER_PROCESSOR).max(CPU_QUOTA_MIN_US));
    if hierarchy.has("pids") {
        write(path, "pids.max", &PROCESSES_MAX.to_string())?;
    }
    if let Some(quota) = quota.filter(|_| hierarchy.has("cpu")) {
        if hierarchy.is_unified {
            write(path, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
        } else {
            write(path, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
            write(path, "cpu.cfs_quota_us", &quota.to_string())?;
        }
    }
    limit_memory(hierarchy, path, spec.memory_mib)
}

fn lift_cpu_limit(hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
    if hierarchy.is_unified {
        write(path, "cpu.max", &format!("max {CPU_PERIOD_US}"))
    } else {
        write(path, "cpu.cfs_quota_us", "-1")
    }
}

fn limit_container(hierarchy: &Hierarchy, path: &Path, limits: &ContainerLimits) -> io::Result<()> {
    if hierarchy.has("cpu") {
        let shares = u64::from(limits.cpu_units).clamp(CPU_SHARES_MIN, CPU_SHARES_MAX);
        if hierarchy.is_unified {
            write(path, "cpu.weight", &weight(shares).to_string())?;
        } else {
            write(path, "cpu.shares", &shares.to_string())?;
        }
    }
    if hierarchy.has("pids") {
        write(path, "pids.max", &CONTAINER_PROCESSES_MAX.to_string())?;
    }
    if let Some(reservation) = limits.memory_reservation_mib.filter(|_| hierarchy.has("memory")) {
        let file = if hierarchy.is_unified { "memory.low" } else { "memory.soft_limit_in_bytes" };
        write(path, file, &(reservation * MIB).to_string())?;
    }
    if hierarchy.has("devices") {
        write(path, "devices.deny", "a")?;
        for allowed in DEVICES_ALLOWED {
            write(path, "devices.allow", allowed)?;
        }
    }
    limit_memory(hierarchy, path, limits.memory_mib)
}

/// Sets the hard limit. Fargate has no swap, so that it is one for memory and swap together.
fn limit_memory(hierarchy: &Hierarchy, path: &Path, limit_mib: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit_mib.filter(|_| hierarchy.has("memory")).map(|mib| (mib * MIB).to_string()) else {
        return Ok(());
    };
    let (memory, swap, swap_limit) = if hierarchy.is_unified {
        ("memory.max", "memory.swap.max", "0")
    } else {
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit.as_str())
    };
    write(path, memory, &limit)?;
    match write(path, swap, swap_limit) {
        // A kernel without swap accounting has no such file.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(()),
        result => result,
    }
}

/// Converts shares (2 to 262,144) to a weight (1 to 10,000), linearly, as the other runtimes do.
fn weight(shares: u64) -> u64 {
    1 + (shares - CPU_SHARES_MIN) * 9_999 / (CPU_SHARES_MAX - CPU_SHARES_MIN)
}

fn write(path: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = path.join(file);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Kills what is in the cgroup and those below, waits a moment for it to end, and tries to remove them. Returns how many
/// processes were killed; none if the cgroups are gone.
fn try_remove(path: &Path) -> io::Result<Option<usize>> {
    let mut left = None;
    for below in folders(path) {
        if let Some(killed) = try_remove(&path.join(below))? {
            *left.get_or_insert(0) += killed;
        }
    }
    match fs::remove_dir(path) {
        Ok(()) => Ok(left),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(left),
        Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::DirectoryNotEmpty) => {
            Ok(Some(left.unwrap_or(0) + kill(path)))
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Kills the processes of one cgroup, and waits a moment for them to end. Returns how many there were.
fn kill(path: &Path) -> usize {
    let listed = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut watched = Vec::<OwnedFd>::new();
    let pids = listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect::<Vec<_>>();
    for pid in &pids {
        // It may have ended meanwhile, which is what is wanted.
        let Ok(process) = rustix::process::pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
        if watched.len() < KILLED_WATCHED_MAX {
            watched.push(process);
        }
    }
    let bound = Timespec { tv_sec: 1, tv_nsec: 0 };
    for process in &watched {
        // Those that follow have had as much time as one that does not end.
        if !poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&bound)).is_ok_and(|ended| ended > 0) {
            break;
        }
    }
    pids.len()
}

/// Waits before something is looked at again that nothing tells the end of; less than a second.
pub(crate) fn pause(milliseconds: i64) {
    let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a folder with the files that the kernel would show in a new cgroup.
    fn fake(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn read(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap()
    }

    fn hierarchy(mount: &Path, controllers: &[&'static str], is_unified: bool) -> Hierarchy {
        Hierarchy { mount: mount.to_owned(), controllers: controllers.to_vec(), is_unified }
    }

    const UNIFIED: [&str; 4] = ["cpu", "memory", "pids", "io"];
    const LIMITS: ContainerLimits = ContainerLimits {
        cpu_units: 1_024,
        memory_mib: Some(2),
        memory_reservation_mib: Some(1),
        output_buffer_bytes: None,
    };

    #[test]
    fn a_container_of_version_2_is_limited() {
        let files = ["cpu.weight", "memory.max", "memory.swap.max", "memory.low", "pids.max"];
        let folder = fake(&files);
        limit_container(&hierarchy(folder.path(), &UNIFIED, true), folder.path(), &LIMITS).unwrap();
        let written = files.map(|file| read(folder.path(), file));
        assert_eq!(written, ["39", "2097152", "0", "1048576", "8192"]);
    }

    #[test]
    fn a_container_of_version_1_is_limited() {
        let files = [
            "cpu.shares",
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "memory.soft_limit_in_bytes",
            "pids.max",
        ];
        let folder = fake(&files);
        let controllers = ["cpu", "memory", "pids"];
        limit_container(&hierarchy(folder.path(), &controllers, false), folder.path(), &LIMITS).unwrap();
        let written = files.map(|file| read(folder.path(), file));
        assert_eq!(written, ["1024", "2097152", "2097152", "1048576", "8192"]);
    }

    #[test]
    fn a_kernel_that_does_not_count_swap_is_none_the_worse() {
        let folder = fake(&["cpu.weight", "memory.max", "pids.max"]);
        let limits = ContainerLimits { memory_reservation_mib: None, ..LIMITS };
        limit_container(&hierarchy(folder.path(), &UNIFIED, true), folder.path(), &limits).unwrap();
        assert_eq!(read(folder.path(), "memory.max"), "2097152");
    }

    #[test]
    fn a_sandbox_of_version_2_is_limited() {
        let folder = fake(&["cpu.max", "memory.max", "memory.swap.max", "pids.max"]);
        let spec = SandboxSpec {
            id: TaskId::new("t"),
            cpu_units: Some(512),
            memory_mib: Some(3),
            network_namespace: None,
            hostname: String::new(),
            hosts: Vec::new(),
            resolv_conf: Vec::new(),
            shares_pids: true,
            storage_bytes: None,
        };
        limit_sandbox(&hierarchy(folder.path(), &UNIFIED, true), folder.path(), &spec).unwrap();
        let written = ["cpu.max", "memory.max", "pids.max"].map(|file| read(folder.path(), file));
        assert_eq!(written, ["50000 100000", "3145728", "16384"]);
    }

    #[test]
    fn an_ending_sandbox_has_all_the_time_that_there_is() {
        for (is_unified, file, written) in [(true, "cpu.max", "max 100000"), (false, "cpu.cfs_quota_us", "-1")] {
            let folder = fake(&[file]);
            let hierarchy = hierarchy(folder.path(), &["cpu"], is_unified);
            lift_cpu_limit(&hierarchy, folder.path()).unwrap();
            assert_eq!(read(folder.path(), file), written);
        }
    }

    #[test]
    fn the_controllers_of_version_2_that_there_are_are_handed_down() {
        let files = ["cgroup.controllers", "cgroup.subtree_control"];
        let mount = fake(&files);
        let sandbox = mount.path().join("root/task");
        fs::create_dir_all(&sandbox).unwrap();
        for folder in [mount.path(), &mount.path().join("root"), &sandbox] {
            fs::write(folder.join(files[0]), "cpuset cpu memory hugetlb pids\n").unwrap();
            fs::write(folder.join(files[1]), "").unwrap();
        }
        let unified = hierarchy(mount.path(), &UNIFIED, true);
        let cgroups = Cgroups { hierarchies: vec![unified.clone()], root: "root".to_owned() };
        cgroups.delegate(&unified, &sandbox).unwrap();
        for folder in [mount.path(), &mount.path().join("root"), &sandbox] {
            assert_eq!(read(folder, files[1]), "+cpu +memory +pids");
        }
    }

    #[test]
    fn the_common_parent_stays_while_a_sandbox_is_in_it() {
        let mount = fake(&[]);
        let cgroups = Cgroups { hierarchies: vec![hierarchy(mount.path(), &UNIFIED, true)], root: "root".to_owned() };
        fs::create_dir_all(mount.path().join("root/task")).unwrap();
        cgroups.remove_root_if_empty();
        assert_eq!(cgroups.sandboxes(), ["task"]);
        fs::remove_dir(mount.path().join("root/task")).unwrap();
        cgroups.remove_root_if_empty();
        assert!(!mount.path().join("root").exists());
    }

    #[test]
    fn shares_span_the_weights() {
        assert_eq!([2, 1_024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
