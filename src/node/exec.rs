//! A further process in a container that runs.

use base::ContainerId;
use bytes::Bytes;
use tokio::sync::mpsc;

/// How many pieces of input or output may wait for their reader; whoever writes more waits.
pub const EXEC_PIECES_MAX: usize = 16;
/// The longest piece of output, in bytes.
pub const EXEC_PIECE_BYTES_MAX: usize = 32 * 1024;

/// A process to start in a container: in its namespaces, its cgroup and under its restrictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSpec {
    /// The container, which must run.
    pub container: ContainerId,
    /// Program and arguments; not empty. Looked up in the container's PATH.
    pub args: Vec<String>,
    /// The user, as in [`ContainerSpec::user`](crate::ContainerSpec::user); none means the container's own.
    pub user: Option<String>,
    /// The size of its terminal; none means pipes.
    pub terminal: Option<TerminalSize>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A process that was started in a container. Dropping it ends the process and what it started in its own session.
#[derive(Debug)]
pub struct Exec {
    /// What the process is told.
    pub input: mpsc::Sender<ExecInput>,
    /// What it writes, and last how it ended. Closed without an [`ExecOutput::Exited`] if it was lost.
    pub output: mpsc::Receiver<ExecOutput>,
}

/// Something for a process in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes of its standard input.
    Data(Bytes),
    /// The end of its standard input.
    End,
    /// Its terminal has a new size.
    Resize(TerminalSize),
}

/// Something from a process in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of its standard output, or of its terminal.
    Stdout(Bytes),
    /// Bytes of its standard error; never from a terminal.
    Stderr(Bytes),
    /// It has ended: its exit code, 128 + n after the signal n. Nothing follows.
    Exited(i32),
}
