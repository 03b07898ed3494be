//! The launcher: a process in the container's cgroup that makes the container and ends.

use std::ffi::CStr;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use shim_protocol::{Request, layout};

use crate::error::ShimError;
use crate::execute::ReportingExecutor;
use crate::oci::{self, View};
use crate::root::Root;
use crate::{capability, mounts, sysctl, ulimit, user};

/// Where hosts have their cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The container's /sys/fs/cgroup as far as it is no cgroup itself; in the launcher's scratch folder.
const CGROUP_FOLDER: &str = "cgroup";
/// Where the launcher puts the container's cgroups for libcontainer to bind; in the launcher's scratch folder.
const CGROUP_SOURCES: &str = "cgroup-sources";

/// The ends of the pipes that go into the container.
pub(crate) struct Ends {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Takes the reason why the program could not be executed.
    pub(crate) execution: OwnedFd,
}

/// A container that is about to execute its program.
pub(crate) struct Made {
    /// Its main process as the host numbers it.
    pub(crate) pid: i32,
    /// What it was to have and cannot have here.
    pub(crate) warnings: Vec<String>,
}

/// Makes the container and lets it execute its program. `disks` are those of the request, mounted nowhere yet.
///
/// Runs in a forked process that ends afterwards, because nothing here is undone.
pub(crate) fn run(request: &Request, folder: &Path, ends: Ends, disks: Vec<OwnedFd>) -> Result<Made, ShimError> {
    let mut warnings = Vec::new();
    join_cgroups(request)?;
    reset_process()?;
    let limits = ulimit::prepare(&request.ulimits, &mut warnings)?;
    let capabilities = capability::resolve(request, capability::available()?, &mut warnings)?;
    sysctl::check(&request.sysctls)?;
    enter_namespaces(request)?;
    sysctl::set_of_network(&request.sysctls)?;
    mounts::attach_disks(&request.disks, disks)?;
    let root = Root::mount(&request.layers, request.writable.as_deref().unwrap_or(folder), folder)?;
    let user =
        user::resolve(&request.user, &root.read_account_file("etc/passwd")?, &root.read_account_file("etc/group")?)?;
    let scratch = folder.join(layout::SCRATCH);
    mount_scratch(&scratch)?;
    let staged = mounts::mount_all(request, &root, &user, &scratch, &mut warnings)?;
    root.make_directory(&crate::root::absolute(&request.working_dir), None)?;
    let view = View {
        binds: take_cgroups_away(request, &scratch)?,
        staged,
        capabilities,
        sysctls: sysctl::of_others(&request.sysctls),
    };
    oci::save(request, &user, &view, &folder.join(layout::ROOT), &scratch)?;
    drop(root);

    let executor =
        ReportingExecutor { report: ends.execution.as_raw_fd(), first_process: request.first_process, limits };
    let mut container = ContainerBuilder::new(request.id.clone(), SyscallType::Linux)
        .with_executor(executor)
        .with_root_path(scratch.clone())?
        .with_stdin(ends.stdin)
        .with_stdout(ends.stdout)
        .with_stderr(ends.stderr)
        .as_init(scratch)
        .with_systemd(false)
        // The shim, not this launcher, is to be the parent of the container's main process.
        .as_sibling(true)
        .build()?;
    container.start()?;
    let pid = container.pid().ok_or_else(|| ShimError::create("the container has no process"))?;
    Ok(Made { pid: pid.as_raw(), warnings })
}

/// Moves this process into the cgroups of version 1.
///
/// A process that writes `0` to `tasks` moves its own one thread, for which the kernel takes no lock on all forks of the
/// machine: 0.15 ms for six hierarchies, where writing a process id to `cgroup.procs` waits 7 ms for a grace period.
pub(crate) fn join_cgroups(request: &Request) -> Result<(), ShimError> {
    for place in request.cgroups.iter().filter(|place| !place.is_unified) {
        let path = place.directory.join("tasks");
        fs::write(&path, "0").map_err(ShimError::path("enter the cgroup by", &path))?;
    }
    Ok(())
}

/// Undoes what Rust's start-up and the server's environment have left on this process and the container would inherit.
pub(crate) fn reset_process() -> Result<(), ShimError> {
    // A server that was started by `nohup`, or in the background of a script, ignores signals, and so would its containers.
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }
            .map_err(ShimError::call("reset the handling of signals"))?;
    }
    reset_real_time_signals()?;
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(ShimError::call("unblock all signals"))?;
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    Ok(())
}

/// Resets the signals that have numbers only. The C library has ignored its own two when it made this process, and lets
/// nobody reset them; the kernel does.
fn reset_real_time_signals() -> Result<(), ShimError> {
    /// The first one, and the last one of all.
    const NUMBERS: RangeInclusive<libc::c_int> = 32..=64;
    /// The size of a set of signals, as the kernel has it.
    const SET_BYTES: usize = 8;
    // The kernel's `sigaction`: handler, flags, restorer, set of signals. The default handler is 0.
    let default = [0_u64; 4];
    for number in NUMBERS {
        // SAFETY: the kernel reads the action, which lives until the call returns; the default one runs no code of ours.
        let result = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), ptr::null_mut::<u64>(), SET_BYTES)
        };
        nix::errno::Errno::result(result).map_err(ShimError::call("reset the handling of real-time signals"))?;
    }
    Ok(())
}

/// Enters a mount namespace whose mounts the host never sees, and the network that the request names or, without one, a new
/// one with nothing but loopback.
fn enter_namespaces(request: &Request) -> Result<(), ShimError> {
    let mut flags = CloneFlags::CLONE_NEWNS;
    if request.network_namespace.is_none() {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    nix::sched::unshare(flags).map_err(ShimError::call("make the namespaces"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).map_err(ShimError::call("separate the mounts from the host's"))?;
    match &request.network_namespace {
        Some(path) => join_network(path),
        None => raise_loopback(),
    }
}

/// Enters a network namespace, and takes the folder of all of them out of this mount namespace: libcontainer reads the list
/// of mounts a dozen times, and has it copied, which takes longer with each task that runs.
fn join_network(path: &Path) -> Result<(), ShimError> {
    let file = File::open(path).map_err(ShimError::path("open the network namespace", path))?;
    nix::sched::setns(file, CloneFlags::CLONE_NEWNET).map_err(ShimError::path("enter the network namespace", path))?;
    let Some(folder) = path.parent() else { return Ok(()) };
    match rustix::mount::unmount(folder, UnmountFlags::DETACH) {
        // Where the folder is no mount of its own, the others stay.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(ShimError::path("take away", folder)(error)),
    }
}

fn raise_loopback() -> Result<(), ShimError> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(ShimError::call("open a socket"))?;
    // SAFETY: an all-zero `ifreq` is a valid one, without name or flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).expect("IFF_UP is 1");
    // SAFETY: the kernel reads the `ifreq`, which lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    nix::errno::Errno::result(result).map(|_| ()).map_err(ShimError::call("raise the loopback interface"))
}

/// Puts a file system in memory over the scratch folder: what libcontainer is told and writes is of no use afterwards, and
/// goes away with the launcher's mount namespace.
fn mount_scratch(scratch: &Path) -> Result<(), ShimError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", scratch, "tmpfs", flags, None::<&CStr>)
        .map_err(ShimError::path("mount a scratch folder at", scratch))
}

/// Keeps the container's cgroups aside for it to see, and then takes all cgroups out of this mount namespace.
///
/// libcontainer moves its processes into cgroups by the slow way, and this process is where they must be already. Where
/// it finds no hierarchy it moves nothing.
fn take_cgroups_away(request: &Request, scratch: &Path) -> Result<Vec<(PathBuf, PathBuf)>, ShimError> {
    let mut binds = Vec::new();
    let seen = request.cgroups.iter().filter_map(|place| Some((place, place.seen_at.as_ref()?)));
    let ours = scratch.join(CGROUP_FOLDER);
    for (number, (place, seen_at)) in seen.enumerate() {
        let source = scratch.join(CGROUP_SOURCES).join(number.to_string());
        fs::create_dir_all(&source).map_err(ShimError::path("make", &source))?;
        rustix::mount::mount_bind(&place.directory, &source)
            .map_err(ShimError::path("keep the cgroup", &place.directory))?;
        if let Ok(below) = seen_at.strip_prefix(CGROUPS)
            && !below.as_os_str().is_empty()
        {
            let mount_point = ours.join(below);
            fs::create_dir_all(&mount_point).map_err(ShimError::path("make", &mount_point))?;
            if number == 0 {
                binds.push((ours.clone(), PathBuf::from(CGROUPS)));
            }
        }
        binds.push((source, seen_at.clone()));
    }
    match rustix::mount::unmount(CGROUPS, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(ShimError::path("take away", Path::new(CGROUPS))(error)),
    }
    let read_only = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", CGROUPS, "tmpfs", read_only, None::<&CStr>)
        .map_err(ShimError::path("cover", Path::new(CGROUPS)))?;
    Ok(binds)
}
