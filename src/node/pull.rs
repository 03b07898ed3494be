//! What is asked when an image is pulled, what is told meanwhile, and why it may fail.

use std::fmt;
use std::sync::Arc;

/// What a pull is to fetch.
#[derive(Clone)]
pub struct PullRequest {
    /// The reference as somebody wrote it: `httpd:2.4`.
    pub reference: String,
    /// The platform that the image must be made for.
    pub platform: Platform,
    /// The user and password for the image's registry, if they are given; otherwise those that the node knows.
    pub credentials: Option<RegistryCredentials>,
    /// When the registry is asked.
    pub behavior: PullBehavior,
    /// Is told how far the pull is.
    pub progress: Option<ProgressSink>,
}

impl PullRequest {
    /// Makes a request for an image for this machine, as tasks ask for one.
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            platform: Platform::host(),
            credentials: None,
            behavior: PullBehavior::default(),
            progress: None,
        }
    }
}

/// For which machine an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Platform {
    /// `linux/amd64`.
    LinuxAmd64,
    /// `linux/arm64`.
    LinuxArm64,
}

impl Platform {
    /// Returns the platform of this machine.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::LinuxArm64 } else { Self::LinuxAmd64 }
    }

    /// Reads `linux/amd64` or `linux/arm64`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::LinuxAmd64, Self::LinuxArm64].into_iter().find(|platform| platform.to_string() == text)
    }

    /// Returns the name of the architecture, in Go's words.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

/// When a registry is asked about an image that this node has pulled before. What was loaded from a file is not asked for
/// anywhere, except with [`PullBehavior::Always`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PullBehavior {
    /// Always; the image that the node has serves where the registry cannot be asked.
    #[default]
    Default,
    /// Always; without its answer there is no image.
    Always,
    /// Only if the node has no such image.
    PreferCached,
    /// Only if the node never pulled it.
    Once,
}

/// A user of a registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RegistryCredentials {
    /// The user.
    pub username: String,
    /// The user's password, or a token.
    pub password: String,
}

impl fmt::Debug for RegistryCredentials {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Is told how far a pull is, often: it must be quick.
pub type ProgressSink = Arc<dyn Fn(&PullProgress) + Send + Sync>;

/// How far a pull is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// The layers that are to be fetched; none are known before the image's manifest is.
    pub layers: usize,
    /// The layers that are unpacked.
    pub layers_done: usize,
    /// The bytes that are to be fetched.
    pub bytes: u64,
    /// The bytes that have been.
    pub bytes_done: u64,
}

/// What was being fetched when a registry failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullStage {
    /// What the tag or digest means.
    Resolve,
    /// The manifest, or an index that leads to it.
    Manifest,
    /// The configuration.
    Config,
    /// A layer.
    Layer,
}

impl fmt::Display for PullStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Manifest => "fetch the manifest of",
            Self::Config => "fetch the configuration of",
            Self::Layer => "fetch a layer of",
        })
    }
}

/// What a registry did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// No answer came.
    #[error("{method} {url}: {why}")]
    Unreachable {
        /// The request's method.
        method: &'static str,
        /// The request's URL, without its query.
        url: String,
        /// What failed.
        why: NetworkFault,
    },
    /// It wants a user and a password, and there are none.
    #[error("{registry} wants a user and a password")]
    NoCredentials {
        /// The registry's host.
        registry: String,
    },
    /// It does not let this user, or everybody, have the image.
    #[error("{registry} denies access: {message}")]
    Denied {
        /// The registry's host.
        registry: String,
        /// What it said, or the bare status.
        message: String,
    },
    /// It answered with a status that is no success.
    #[error("{method} {url}: {status}{}", message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Status {
        /// The request's method.
        method: &'static str,
        /// The request's URL, without its query.
        url: String,
        /// The status, with its name: `429 Too Many Requests`.
        status: String,
        /// What it said: the code in lower case without separators, and the message.
        message: Option<String>,
    },
    /// It sent other content than was asked for.
    #[error("the content of {wanted} has digest {found}")]
    WrongContent {
        /// The digest that was asked for.
        wanted: String,
        /// The digest of what came.
        found: String,
    },
    /// What it sent cannot be understood.
    #[error("{0}")]
    Broken(String),
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// The name has no address.
    #[error("cannot find the address of {0}")]
    Lookup(String),
    /// Nobody listens at the address.
    #[error("{0} refuses connections")]
    Refused(String),
    /// No connection came about in time.
    #[error("{0} does not accept a connection in time")]
    ConnectTimeout(String),
    /// The certificate is not to be trusted, or the encryption failed otherwise.
    #[error("no safe connection: {0}")]
    Tls(String),
    /// The connection was open, and nothing came for too long.
    #[error("no answer in time")]
    Timeout,
    /// Something came, but too little for it ever to end.
    #[error("the answer comes too slowly")]
    Slow,
    /// The connection ended too early.
    #[error("the connection broke off")]
    Broken,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
