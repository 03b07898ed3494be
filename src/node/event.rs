//! What a node tells of its own accord. An event only wakes whoever listens; the truth is asked for anew.

use std::sync::Arc;

use base::{ContainerId, TaskId};

/// Something has happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The container's main process has ended.
    Exited {
        /// The sandbox of the container.
        sandbox: TaskId,
        /// The container.
        container: ContainerId,
    },
    /// The container has written output that was not there before.
    Output {
        /// The sandbox of the container.
        sandbox: TaskId,
        /// The container.
        container: ContainerId,
    },
}

/// Takes events; must neither block nor panic. Events may repeat and may be merged.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;
