//! What a server is told when it starts, and the limits it keeps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base::{Scope, Timestamp};
use controllers::{HostFolder, Paces};
use node::PullBehavior;

use crate::NodeKind;

/// What a server is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Which node runs the tasks.
    pub node: NodeKind,
    /// Which clock tells the time, and waits for it.
    pub clock: ClockKind,
    /// Where the state is kept; none keeps it in memory alone, and images in [`Config::DATA_DIR_DEFAULT`].
    pub data_dir: Option<PathBuf>,
    /// Account and region of requests that name none.
    pub scope: Scope,
    /// Host names that requests may use besides those of this machine.
    pub allowed_hosts: Vec<String>,
    /// How much every task may write, in MiB, whatever its ephemeral storage is; none leaves that to the task.
    pub ephemeral_storage_mib: Option<u64>,
    /// The folders of this machine that tasks on instances may mount.
    pub host_folders: Vec<HostFolder>,
    /// How fast the waits of services pass.
    pub paces: Paces,
    /// Where the functions of lifecycle hooks are called; none skips these hooks.
    pub lambda_endpoint: Option<String>,
    /// Where images come from, and how long they stay.
    pub images: ImageConfig,
    /// The limits of the gateway.
    pub limits: Limits,
}

/// Which clock tells the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockKind {
    /// The machine's.
    #[default]
    System,
    /// One that stands still until somebody asks `/_neargate/clock/advance`; for the simulated node alone, because the
    /// processes of real containers live by the machine's.
    Manual {
        /// Where it stands at first; none takes the machine's time. One that was kept in the data directory goes on.
        start: Option<Timestamp>,
    },
}

/// Where images come from, and how long they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// When registries are asked.
    pub pull_behavior: PullBehavior,
    /// Whether registries are asked that are not on this machine.
    pub asks_elsewhere: bool,
    /// Whether the container engine of this machine is asked.
    pub asks_engine: bool,
    /// The bytes of layers from which on images go that can be pulled again.
    pub layer_bytes_max: Option<u64>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self { pull_behavior: PullBehavior::default(), asks_elsewhere: true, asks_engine: false, layer_bytes_max: None }
    }
}

impl Config {
    /// The port of local AWS emulators: tools and tutorials know it.
    pub const LISTEN_DEFAULT: &'static str = "127.0.0.1:4566";
    /// Where images are kept unless a data directory is given.
    pub const DATA_DIR_DEFAULT: &'static str = "/var/lib/neargate";

    /// Returns the folder for images, locks and, if it is to be kept, the state.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(Self::DATA_DIR_DEFAULT))
    }
}

/// How much a client may ask for, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's head, and of a response's write buffer.
    pub head_bytes: usize,
    /// Bytes of an API request's body. The largest of AWS's own limits here is UploadLayerPart's 20 MiB, in base 64.
    pub body_bytes: usize,
    /// Bytes of the bodies of all API requests that are being received or answered. Beyond it requests are to be tried
    /// again.
    pub bodies_bytes: usize,
    /// Bytes of an image archive.
    pub archive_bytes: u64,
    /// How long a head may take to arrive; also how long a connection may be idle.
    pub head_timeout: Duration,
    /// How long an API request's body may take to arrive, and how long an image archive may pause.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what it is sent before its connection is cut off.
    pub write_timeout: Duration,
    /// How long requests may take to end once the server is asked to stop.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            headers: 100,
            head_bytes: 64 * 1024,
            body_bytes: 32 * 1024 * 1024,
            bodies_bytes: 256 * 1024 * 1024,
            archive_bytes: 32 * 1024 * 1024 * 1024,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
