//! What a node must be able to do to run tasks: the traits and their plain specs, and a simulated node.
//!
//! No AWS words in here beyond identifiers: no task definition, no target group. The controllers drive a [`Node`]
//! without knowing whether it is real. Every call is idempotent, because a controller repeats it after a restart.
//!
//! A *sandbox* is what the containers of one task share: a cgroup and a network namespace. It bears the task's id.

mod event;
mod exec;
mod fault;
mod forward;
mod http;
mod images;
mod isolation;
mod network;
mod pull;
mod runtime;
mod signal;
pub mod simulated;
mod stats;

use std::sync::Arc;

pub use event::{Event, EventSink};
pub use exec::{EXEC_PIECE_BYTES_MAX, EXEC_PIECES_MAX, Exec, ExecInput, ExecOutput, ExecSpec, TerminalSize};
pub use fault::{BlackholePort, Direction, Fault, FaultError, FaultKind, FaultScope, IpRange, Transport};
pub use forward::ForwardBatch;
pub use http::{HTTP_ANSWER_BYTES_MAX, HTTP_REQUEST_BYTES_MAX, HttpAnswer, HttpClient, HttpError, HttpRequest};
pub use images::{Image, ImageConfig, ImageDetail, ImageError, ImageSource, ImageSummary, Images, Pruned};
pub use isolation::{ContainerFile, DirectoryOwner, Isolation, Mount, MountSource, Tmpfs, Ulimit};
pub use network::{
    Attachment, BridgeSpec, EniSpec, MacAddress, Network, NetworkError, PortForward, SubnetSpec, VpcSpec,
};
pub use pull::{
    NetworkFault, Platform, ProgressSink, PullBehavior, PullProgress, PullRequest, PullStage, RegistryCredentials,
    RegistryFault,
};
pub use runtime::{
    ContainerLimits, ContainerSpec, ContainerState, ExitStatus, OutputLine, OutputPage, OutputStream, RootFileSystem,
    Runtime, RuntimeError, RuntimeErrorKind, SandboxSpec,
};
pub use signal::Signal;
pub use stats::{BlockIo, ContainerStats, InterfaceStats};

/// A node: what tasks, and those who look after them, need of a machine.
#[derive(Clone)]
pub struct Node {
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Joins sandboxes to VPCs.
    pub network: Arc<dyn Network>,
    /// Finds images and their layers.
    pub images: Arc<dyn Images>,
    /// Asks by HTTP.
    pub http: Arc<dyn HttpClient>,
}
