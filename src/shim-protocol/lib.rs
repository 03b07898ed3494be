//! What the runtime and its shims say to each other: the files of a container's folder, the messages on the socket, and
//! the format of the output file.
//!
//! Neither side's machinery is in here: no libcontainer, no async runtime, no I/O. A shim outlives the server that
//! started it, so a newer server may meet an older shim: members are only ever added, with a default.

pub mod exec;
pub mod fork_server;
pub mod layout;
mod message;
pub mod output;
mod request;

pub use message::{Exit, FailureKind, FromShim, MESSAGE_BYTES_MAX, ToShim, decode, encode};
pub use request::{CgroupPlace, Disk, FileMount, FirstProcess, Limits, Mount, MountSource, Request, Tmpfs, Ulimit};
