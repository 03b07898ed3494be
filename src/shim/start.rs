//! Starting: forks the launcher into the container's cgroup and waits until the program is executed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;
use serde::{Deserialize, Serialize};
use shim_protocol::{FailureKind, Request};

use crate::cgroup;
use crate::error::{self, ShimError};
use crate::launcher::{self, Ends, Made};

/// How long the making of a container may take, in seconds.
const START_WAIT_MAX_S: i64 = 30;
/// The most warnings that are passed on, so that they fit a report.
const WARNINGS_MAX: usize = 16;
/// The longest report of a launcher or of an execution that is read.
const REPORT_BYTES_MAX: u64 = 8 * 1024;

/// A container whose program runs.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// What the container was to have and cannot have here.
    pub(crate) warnings: Vec<String>,
}

/// What the launcher says before it ends.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Made { pid: i32, warnings: Vec<String> },
    Failed { kind: FailureKind, message: String },
}

/// Makes the container and starts its program. After a failure none of its processes is left.
pub(crate) fn start(request: &Request, folder: &Path) -> Result<Started, ShimError> {
    start_processes(request, folder).inspect_err(|_| end_processes(request))
}

fn start_processes(request: &Request, folder: &Path) -> Result<Started, ShimError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(ShimError::call("make a pipe"));
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let (execution, execution_end) = pipe()?;
    let (report, report_end) = pipe()?;
    let stdin = rustix::fs::openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(ShimError::call("open /dev/null"))?;
    let ends = Ends { stdin, stdout: stdout_end, stderr: stderr_end, execution: execution_end };
    // Not by the launcher: a container's cgroup of version 1 forbids its processes to open disks.
    let mount = |disk: &shim_protocol::Disk| {
        disk::mount(&disk.device).map_err(ShimError::path::<std::io::Error>("mount the disk", &disk.device))
    };
    let disks = request.disks.iter().map(mount).collect::<Result<Vec<_>, _>>()?;

    let Some(launcher) = fork_into(request)? else {
        run_helper(request, folder, ends, disks, report_end);
    };
    drop((ends, disks, report_end));
    let (pid, warnings) = match read_report(report, launcher)? {
        Report::Made { pid, warnings } => (Pid::from_raw(pid), warnings),
        Report::Failed { kind, message } => return Err(ShimError::Failed { kind, message }),
    };
    let pidfd = pidfd_of(pid)?;
    match read_until_end(execution, &pidfd)?.as_str() {
        "" => Ok(Started { pid, pidfd, stdout, stderr, warnings }),
        message => Err(ShimError::Failed { kind: FailureKind::Start, message: message.to_owned() }),
    }
}

/// Forks; returns the child in the parent and none in the child. On a host of cgroup version 2 the child is born in the
/// container's cgroup; on others it moves itself there, which costs little (see [`launcher`]).
pub(crate) fn fork_into(request: &Request) -> Result<Option<Pid>, ShimError> {
    let Some(place) = request.cgroups.iter().find(|place| place.is_unified) else {
        // SAFETY: this process has one thread, so that the child may do all that the parent may.
        let fork = unsafe { nix::unistd::fork() }.map_err(ShimError::call("fork"))?;
        return Ok(match fork {
            ForkResult::Parent { child } => Some(child),
            ForkResult::Child => None,
        });
    };
    let cgroup = File::open(&place.directory).map_err(ShimError::path("open the cgroup", &place.directory))?;
    // SAFETY: all-zero arguments are valid ones, and mean a plain fork.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    // SAFETY: without a stack or shared memory in its arguments this is a fork of a process with one thread.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    let pid = nix::errno::Errno::result(result).map_err(ShimError::path("fork into the cgroup", &place.directory))?;
    let pid = i32::try_from(pid).expect("the kernel's process ids are of this type");
    Ok((pid != 0).then(|| Pid::from_raw(pid)))
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn run_helper(request: &Request, folder: &Path, ends: Ends, disks: Vec<OwnedFd>, report_end: OwnedFd) -> ! {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| launcher::run(request, folder, ends, disks)));
    let report = match result {
        Ok(Ok(Made { pid, mut warnings })) => {
            warnings.truncate(WARNINGS_MAX);
            Report::Made { pid, warnings }
        }
        Ok(Err(error)) => Report::Failed { kind: error.kind(), message: error::chain(&error) },
        Err(_) => Report::Failed { kind: FailureKind::Create, message: "the launcher panicked".to_owned() },
    };
    let mut line = serde_json::to_vec(&report).expect("a report has only strings and numbers");
    line.push(b'\n');
    // If the shim is gone there is nobody to tell.
    let _ = File::from(report_end).write_all(&line);
    // SAFETY: ends this process at once: the destructors and handlers of the shim, whose copy it is, must not run.
    unsafe { libc::_exit(0) }
}

/// Reads the launcher's line. Its processes keep the pipe open too, so that its end says nothing: the launcher's own does.
fn read_report(report: OwnedFd, launcher: Pid) -> Result<Report, ShimError> {
    let pidfd = pidfd_of(launcher)?;
    wait_for(&report, &pidfd)?;
    let mut line = Vec::new();
    if is_readable(&report)? {
        let mut report = File::from(report).take(REPORT_BYTES_MAX);
        let mut chunk = [0; 1024];
        while !line.ends_with(b"\n") {
            match report.read(&mut chunk).map_err(ShimError::call("read the launcher's report"))? {
                0 => break,
                count => line.extend_from_slice(&chunk[..count]),
            }
        }
    }
    let _ = waitpid(launcher, None);
    serde_json::from_slice(&line).map_err(|_| {
        ShimError::create(
            "the container's first process was killed before it was ready: its memory limit may be too low",
        )
    })
}

pub(crate) fn read_until_end(pipe: OwnedFd, process: &OwnedFd) -> Result<String, ShimError> {
    wait_for(&pipe, process)?;
    let mut text = String::new();
    if is_readable(&pipe)? {
        File::from(pipe)
            .take(REPORT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(ShimError::call("read the report of the execution"))?;
    }
    Ok(text)
}

/// Waits until the pipe has something to read, or has ended, or the process has.
fn wait_for(pipe: &OwnedFd, process: &OwnedFd) -> Result<(), ShimError> {
    let mut fds = [PollFd::new(pipe, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
    let bound = Timespec { tv_sec: START_WAIT_MAX_S, tv_nsec: 0 };
    match poll(&mut fds, Some(&bound)).map_err(ShimError::call("wait for the container"))? {
        0 => Err(ShimError::create(format!("the container was not ready after {START_WAIT_MAX_S} seconds"))),
        _ => Ok(()),
    }
}

fn is_readable(pipe: &OwnedFd) -> Result<bool, ShimError> {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(ShimError::call("poll a pipe"))?;
    Ok(ready > 0)
}

pub(crate) fn pidfd_of(pid: Pid) -> Result<OwnedFd, ShimError> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or_else(|| ShimError::create("no such process"))?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(ShimError::call("watch a process"))
}

/// Kills whatever the container's cgroup holds, and reaps every child.
fn end_processes(request: &Request) {
    cgroup::end_all(request);
    // Ends with ECHILD. Only what has just been killed, or has failed by itself, is waited for.
    while waitpid(None, Some(WaitPidFlag::__WALL)).is_ok() {}
}
