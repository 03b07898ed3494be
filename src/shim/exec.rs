//! A further program in a container that runs: `neargate shim exec`.
//!
//! This process joins nothing but the container's process namespace, and that only for its child. The child ([`enter`])
//! becomes the program; this one waits for its end and tells it. It lives as long as its socket to the server: when that
//! closes, because nobody wants the program any more or because the server is gone, the program is killed with its
//! session.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};
use shim_protocol::exec::{DESCRIPTORS, ExecRequest, FromExec, REQUEST_BYTES_MAX};
use shim_protocol::{FailureKind, Request, layout};

use crate::enter::{self, Ends};
use crate::error::{self, ShimError};
use crate::{exit, start, stdin};

/// How often the processes of a session are looked for: each round ends those that the last one did not see.
const KILL_ROUNDS_MAX: u32 = 1_000;

/// Why a program did not come to run; what the child writes before it ends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

/// Starts the program that is asked for on standard input, and tells there how it ended.
pub(crate) fn run() -> Result<(), ShimError> {
    // A group of its own, so that Ctrl-C at the server's terminal is not for us. It fails for who leads one already.
    let _ = rustix::process::setsid();
    let mut control = UnixStream::from(stdin::take()?);
    let (request, ends) = receive(&mut control)?;
    match start(&request, ends) {
        Ok(process) => {
            tell(&mut control, &FromExec::Started);
            if let Some(code) = process.attend(&control)? {
                tell(&mut control, &FromExec::Exited { code });
            }
            Ok(())
        }
        Err(error) => {
            tell(&mut control, &FromExec::Failed { kind: error.kind(), message: error::chain(&error) });
            Ok(())
        }
    }
}

fn tell(control: &mut UnixStream, news: &FromExec) {
    // A server that is gone need not know.
    let _ = control.write_all(&shim_protocol::encode(news));
}

/// Reads the request's line and the descriptors that come with its beginning.
fn receive(control: &mut UnixStream) -> Result<(ExecRequest, Ends), ShimError> {
    let mut line = vec![0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(control.as_fd(), &mut [IoSliceMut::new(&mut line)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(ShimError::call("receive the request"))?;
    line.truncate(received.bytes);
    let mut fds = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let (Some(stdin), Some(stdout), Some(stderr)) = (fds.next(), fds.next(), fds.next()) else {
        return Err(ShimError::create("the request came without its three descriptors"));
    };
    let mut chunk = vec![0; 64 * 1024];
    while !line.ends_with(b"\n") && line.len() < REQUEST_BYTES_MAX {
        match control.read(&mut chunk).map_err(ShimError::call("read the request"))? {
            0 => break,
            count => line.extend_from_slice(&chunk[..count]),
        }
    }
    Ok((serde_json::from_slice(&line)?, Ends { stdin, stdout, stderr }))
}

/// A program that runs.
struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    container: Request,
}

fn start(request: &ExecRequest, ends: Ends) -> Result<Process, ShimError> {
    let path = request.folder.join(layout::REQUEST);
    let text = std::fs::read(&path).map_err(ShimError::path("read", &path))?;
    let container = serde_json::from_slice::<Request>(&text)?;
    let first = first_process(request)?;
    let (report, report_end) = pipe_with(PipeFlags::CLOEXEC).map_err(ShimError::call("make a pipe"))?;
    nix::sched::setns(&first, CloneFlags::CLONE_NEWPID).map_err(ShimError::call("join the process namespace"))?;
    let Some(pid) = start::fork_into(&container)? else {
        become_program(request, &container, &first, ends, report_end);
    };
    drop((ends, report_end));
    let pidfd = start::pidfd_of(pid)?;
    let text = start::read_until_end(report, &pidfd)?;
    if text.is_empty() {
        return Ok(Process { pid, pidfd, container });
    }
    let _ = waitpid(pid, None);
    let Failure { kind, message } = serde_json::from_str(&text)?;
    Err(ShimError::Failed { kind, message })
}

/// Holds on to the container's main process, whose number may not be another process's by now: only a container's main
/// process is its shim's child.
fn first_process(request: &ExecRequest) -> Result<OwnedFd, ShimError> {
    let gone = || ShimError::create("the container is not running");
    let pid = i32::try_from(request.pid).map_err(|_| gone())?;
    let pidfd = start::pidfd_of(Pid::from_raw(pid)).map_err(|_| gone())?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| gone())?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
    if parent == Some(request.shim) { Ok(pidfd) } else { Err(gone()) }
}

/// The child's life up to the program's: it never returns into this one's.
fn become_program(request: &ExecRequest, container: &Request, first: &OwnedFd, ends: Ends, report: OwnedFd) -> ! {
    let entered = std::panic::catch_unwind(AssertUnwindSafe(|| enter::run(request, container, first, ends, &report)));
    let failure = match entered {
        Ok(failure) => failure,
        Err(_) => Failure { kind: FailureKind::Create, message: "the child panicked".to_owned() },
    };
    let text = serde_json::to_vec(&failure).expect("a failure has only strings");
    // If the parent is gone there is nobody to tell.
    let _ = File::from(report).write_all(&text);
    // SAFETY: ends this process at once: the destructors and handlers of the one whose copy it is must not run.
    unsafe { libc::_exit(1) }
}

impl Process {
    /// Waits for the program's end and returns its exit code; none if the server went away before, and the program was
    /// killed.
    fn attend(self, control: &UnixStream) -> Result<Option<i32>, ShimError> {
        loop {
            // Nothing comes on the socket but its end.
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(ShimError::call("wait for the program")(error)),
            }
            let [has_ended, is_unwanted] = fds.map(|fd| !fd.revents().is_empty());
            if has_ended {
                // There is no other child.
                return Ok(exit::reap().map(|ended| ended.code));
            }
            if is_unwanted {
                self.kill_session();
                return Ok(None);
            }
        }
    }

    /// Kills the program and what belongs to its session.
    fn kill_session(&self) {
        let mut killed = vec![self.pid.as_raw()];
        // It may have ended meanwhile, which is what is wanted.
        let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
        let Some(place) = self.container.cgroups.first() else { return };
        for _ in 0..KILL_ROUNDS_MAX {
            let members = self.members(&place.directory, &killed);
            if members.is_empty() {
                return;
            }
            for member in members {
                let _ = nix::sys::signal::kill(Pid::from_raw(member), nix::sys::signal::Signal::SIGKILL);
                killed.push(member);
            }
        }
    }

    /// Returns the processes of the program's session that are in the container's cgroup, but for those that are known.
    fn members(&self, cgroup: &Path, known: &[i32]) -> Vec<i32> {
        let listed = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let is_ours = |pid: i32| {
            let process = rustix::process::Pid::from_raw(pid);
            let session = process.and_then(|process| rustix::process::getsid(Some(process)).ok());
            session.is_some_and(|session| session.as_raw_pid() == self.pid.as_raw())
        };
        let all = listed.lines().filter_map(|line| line.parse().ok());
        all.filter(|pid| !known.contains(pid) && is_ours(*pid)).collect()
    }
}
