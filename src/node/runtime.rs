//! The runtime: sandboxes and the containers in them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base::{ContainerId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ContainerStats, Exec, ExecSpec, ForwardBatch, Image, Isolation, Signal};

/// What the containers of one task share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSpec {
    /// The task.
    pub id: TaskId,
    /// The CPU limit in CPU units: 1,024 are one processor. None means no limit.
    pub cpu_units: Option<u32>,
    /// The memory limit in MiB. None means no limit.
    pub memory_mib: Option<u64>,
    /// The network namespace to join. None means one of its own with nothing but loopback.
    pub network_namespace: Option<PathBuf>,
    /// The host name inside.
    pub hostname: String,
    /// The lines of /etc/hosts.
    pub hosts: Vec<String>,
    /// The lines of /etc/resolv.conf.
    pub resolv_conf: Vec<String>,
    /// Whether the containers see and signal each other's processes.
    pub shares_pids: bool,
    /// How much its containers may write altogether, to their writable layers and volumes, in bytes. None means as much as
    /// the disk has.
    pub storage_bytes: Option<u64>,
}

/// One container of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The container.
    pub id: ContainerId,
    /// Its sandbox, which must exist.
    pub sandbox: TaskId,
    /// The container's name in its task, for logs and messages.
    pub name: String,
    /// What it sees as `/`.
    pub root: RootFileSystem,
    /// Program and arguments; not empty. A bare program name is looked up in the environment's PATH.
    pub args: Vec<String>,
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// The working directory; made if it is missing.
    pub working_dir: String,
    /// `user[:group]`, names or numbers, resolved in the image's own passwd and group files; empty means root.
    pub user: String,
    /// Its limits.
    pub limits: ContainerLimits,
    /// What it sees and may do beyond that.
    pub isolation: Isolation,
}

/// A container's root file system: the image's layers under a writable layer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFileSystem {
    /// The image; held, so that its layers outlive the container.
    pub image: Arc<Image>,
    /// Whether the writable layer is missing.
    pub is_read_only: bool,
}

/// A container's share of its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Relative weight in CPU units; 0 and 1 count as 2, as on Fargate.
    pub cpu_units: u32,
    /// The hard memory limit in MiB; a process that exceeds it is killed.
    pub memory_mib: Option<u64>,
    /// The soft memory limit in MiB.
    pub memory_reservation_mib: Option<u64>,
    /// How far its output may run ahead of what was released before lines are dropped, in bytes. None means that it waits
    /// in its write.
    pub output_buffer_bytes: Option<u64>,
}

/// How a container's main process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// The exit code; 128 + n after the signal n.
    pub code: i32,
    /// Whether the kernel killed a process of the container for its memory limit.
    pub is_oom_killed: bool,
    /// When it ended.
    pub at: Timestamp,
}

/// What a runtime knows of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// When its process was started.
    pub started_at: Timestamp,
    /// How it ended; none while it runs.
    pub exit: Option<ExitStatus>,
    /// Where its output ends so far. Grows no more once `exit` is set.
    pub output_end: u64,
}

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a container wrote, without its line end. Longer lines than [`OutputLine::BYTES_MAX`] come in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// When it was read from the container.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: OutputStream,
    /// The bytes; not always UTF-8.
    pub bytes: Vec<u8>,
}

impl OutputLine {
    /// The longest piece of a line: CloudWatch Logs' limit for an event, 256 KiB, less its 26 bytes of overhead.
    pub const BYTES_MAX: usize = 256 * 1024 - 26;
}

/// A run of output lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputPage {
    /// Whole lines, in the order of writing.
    pub lines: Vec<OutputLine>,
    /// The offset to read on from; the one that was asked for if there is nothing more yet. Once a container has exited
    /// it comes to the end of the output, even if what is last there is no whole line.
    pub next: u64,
}

/// What kind of failure it was, for whoever must word it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeErrorKind {
    /// The container could not be made: root file system, cgroup, user.
    Create,
    /// The container was made, and its program could not be executed.
    Start,
    /// Anything else about the sandbox or a running container.
    Internal,
}

/// Why a runtime operation failed. Nothing half-made remains after [`Runtime::start_container`] failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} of {subject}: {message}")]
pub struct RuntimeError {
    /// What kind of failure.
    pub kind: RuntimeErrorKind,
    /// What was tried: `start the process`, `make the cgroup`.
    pub action: &'static str,
    /// The sandbox or container.
    pub subject: String,
    /// What the kernel or the container runtime said.
    pub message: String,
}

impl RuntimeError {
    /// Says that a node has no such thing.
    fn unsupported(action: &'static str, container: &ContainerId) -> Self {
        let message = "this node cannot do that".to_owned();
        Self { kind: RuntimeErrorKind::Internal, action, subject: container.to_string(), message }
    }
}

/// Runs containers.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes the sandbox's cgroup and files. Repeating it changes nothing.
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<(), RuntimeError>;

    /// Makes the container and starts its process; returns once the process executes its program.
    /// A container that exists already is left as it is.
    async fn start_container(&self, spec: &ContainerSpec) -> Result<(), RuntimeError>;

    /// Starts the program of a container that has ended anew: in the same root file system, with its output going on where
    /// it stands. Only the end at `ended_at` is followed by a start, so that repeating the call changes nothing; a
    /// container that ended at another time, or runs, is left as it is.
    async fn restart_container(&self, container: &ContainerId, ended_at: Timestamp) -> Result<(), RuntimeError>;

    /// Starts a further process in a container that runs. What cannot be executed is an error of the kind
    /// [`RuntimeErrorKind::Start`].
    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, RuntimeError>;

    /// Sends a signal to the container's main process. One that has ended, or is unknown, is no error.
    async fn signal_container(&self, container: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// Returns what is known of a container; none if it does not exist.
    async fn container(&self, container: &ContainerId) -> Option<ContainerState>;

    /// Reads lines of output from the offset `from` on, at most about `bytes_max` bytes and at least one line if any.
    /// Reading past the end, or of an unknown container, gives an empty page.
    async fn read_output(
        &self,
        container: &ContainerId,
        from: u64,
        bytes_max: usize,
    ) -> Result<OutputPage, RuntimeError>;

    /// Says that output before `up_to` has been delivered and its space may be used again.
    /// A container that is far ahead of what was released waits in its write, so that no line is lost, unless its limits
    /// say that lines are dropped then.
    async fn release_output(&self, container: &ContainerId, up_to: u64) -> Result<(), RuntimeError>;

    /// Hands lines to the log router that a container is. Returns once the router has acknowledged them; after an error it
    /// may have them or not.
    async fn forward_output(&self, router: &ContainerId, _batch: &ForwardBatch) -> Result<(), RuntimeError> {
        Err(RuntimeError::unsupported("hand output to the log router", router))
    }

    /// Ends every process of the sandbox and takes all of it away: containers, outputs, cgroups, files.
    /// A sandbox that does not exist is no error.
    async fn remove_sandbox(&self, sandbox: &TaskId) -> Result<(), RuntimeError>;

    /// Returns what the kernel has counted for a container that runs; none for any other.
    async fn stats(&self, _container: &ContainerId) -> Option<ContainerStats> {
        None
    }

    /// Returns how much the containers of a sandbox have written to its storage, in bytes; none if that is not known.
    async fn storage_used(&self, _sandbox: &TaskId) -> Option<u64> {
        None
    }

    /// Lists all sandboxes, those of an earlier server process included: their shims are adopted.
    async fn sandboxes(&self) -> Result<Vec<TaskId>, RuntimeError>;
}
