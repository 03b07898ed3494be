//! Output on its way to a log router: a container that takes the output of the others of its sandbox.

use std::path::PathBuf;

use crate::OutputLine;

/// Lines of one container for a log router, which speaks Fluentd's forward protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardBatch {
    /// The Unix socket that the router listens at, by its path in the router's container.
    pub socket: PathBuf,
    /// What the router tells them by.
    pub tag: String,
    /// What the router acknowledges; another one for each batch, at most 31 bytes long. None for a router that acknowledges
    /// nothing: what it has read until it closes the connection counts as taken.
    pub chunk: Option<String>,
    /// Fields that each record has, besides `source` and `log`.
    pub labels: Vec<(String, String)>,
    /// The lines, each of which becomes a record.
    pub lines: Vec<OutputLine>,
}
