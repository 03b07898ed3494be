//! What the runtime and the process that starts a further program in a running container say to each other: one JSON
//! object a line, on a socket. The first message from the runtime comes with three descriptors: what becomes standard
//! input, output and error of the program.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::FailureKind;

/// The second argument that makes a shim such a process; the rest of its arguments is for whoever lists processes.
pub const SUBCOMMAND: &str = "exec";
/// The longest request, its line end included: what Linux lets a program have as arguments, with room for the rest.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The number of descriptors that come with a request.
pub const DESCRIPTORS: usize = 3;

/// A program to start in a container that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The container's folder.
    pub folder: PathBuf,
    /// The container's main process, as the host numbers it.
    pub pid: u32,
    /// Its shim, which is that process's parent.
    pub shim: u32,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `user[:group]`, names or numbers; none means the container's own.
    pub user: Option<String>,
    /// Whether the descriptors are a terminal, which is to control the program's session.
    pub has_terminal: bool,
}

/// What the runtime is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromExec {
    /// The program runs.
    Started,
    /// It does not; nothing of it is left.
    Failed {
        /// Whether it was the program that could not be executed.
        kind: FailureKind,
        /// What went wrong.
        message: String,
    },
    /// It has ended.
    Exited {
        /// The exit code; 128 + n after the signal n.
        code: i32,
    },
}
