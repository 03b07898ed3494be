//! Images: a reference in, layers and a configuration out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base::Timestamp;

use crate::{Platform, PullRequest, PullStage, RegistryFault};

/// An image that is whole on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest of the manifest, `sha256:…`: what DescribeTasks shows as the image digest.
    pub digest: String,
    /// What the image says of its processes.
    pub config: ImageConfig,
    /// The unpacked layers, read-only folders, the uppermost first: overlayfs's own order of `lowerdir`.
    pub layers: Vec<PathBuf>,
}

/// The part of an image's configuration that a runtime needs. Health checks of images are ignored, as on Fargate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments that follow the entry point unless a container brings its own.
    pub cmd: Vec<String>,
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// The working directory; empty means `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    /// The signal that stops the container, such as `SIGTERM`, if the image names one.
    pub stop_signal: Option<String>,
}

/// A line of the image listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// The full reference, `docker.io/library/httpd:2.4`.
    pub reference: String,
    /// The digest of the manifest.
    pub digest: String,
    /// The size of the unpacked layers, in bytes.
    pub size_bytes: u64,
    /// When the reference was last loaded or pulled.
    pub loaded_at: Timestamp,
    /// Where the image came from.
    pub source: ImageSource,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// From a file that a user has loaded.
    Loaded,
    /// From a registry.
    Pulled,
    /// From a container engine on this machine.
    Engine,
}

/// All that is known of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDetail {
    /// What the listing shows.
    pub summary: ImageSummary,
    /// The digest of the index that the image was chosen from, if there was one.
    pub index_digest: Option<String>,
    /// What the image is made for, in the image's own words: `linux/amd64`.
    pub platform: String,
    /// What the image says of its processes.
    pub config: ImageConfig,
    /// The digests of the uncompressed layers, the lowest first, with the bytes of their files.
    pub layers: Vec<(String, u64)>,
    /// When a container or a pull last asked for the reference; none since this server started.
    pub used_at: Option<Timestamp>,
    /// Whether a container uses the image.
    pub is_in_use: bool,
}

/// What a clean-up has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The references that are gone.
    pub references: Vec<String>,
    /// The bytes of layers that are free again.
    pub freed_bytes: u64,
}

/// Why an image operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImageError {
    /// Nothing of that name is on this node or in its registries.
    #[error("no image answers to {reference}")]
    NotFound {
        /// The normalised reference.
        reference: String,
    },
    /// The text is no image reference.
    #[error("`{reference}` is not an image reference: {why}")]
    InvalidReference {
        /// The text as given.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// The image is there, but not for this machine.
    #[error("{reference} has no manifest for platform {platform}")]
    NoPlatform {
        /// The normalised reference.
        reference: String,
        /// The platform wanted.
        platform: Platform,
    },
    /// The image's registry did not give it.
    #[error("cannot {stage} {reference}, tried {tries} time(s)")]
    Registry {
        /// The normalised reference.
        reference: String,
        /// What was being fetched.
        stage: PullStage,
        /// How often it was tried.
        tries: u32,
        /// What the registry did.
        #[source]
        fault: RegistryFault,
    },
    /// Nobody waits for the pull any more.
    #[error("the pull of {reference} was given up")]
    Cancelled {
        /// The normalised reference.
        reference: String,
    },
    /// The archive is not one that can be loaded; nothing of it was kept.
    #[error("cannot load the archive: {why}")]
    InvalidArchive {
        /// What is wrong with it.
        why: String,
    },
    /// The disk did not do as asked.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// Finds images by reference.
#[async_trait]
pub trait Images: Send + Sync {
    /// Finds the image that the request's reference names, normalised as docker does (`httpd` is
    /// `docker.io/library/httpd:latest`), and fetches it if it is not here. Of several requests for one image one fetches
    /// and the others wait; a pull for which nobody waits any more ends. The layers stay valid while the returned image
    /// lives.
    async fn pull(&self, request: &PullRequest) -> Result<Arc<Image>, ImageError>;

    /// Loads an archive file: docker-archive, OCI archive, or the tar of a root file system (optionally gzip or zstd).
    /// `name` overrides the archive's own references, and is required for a root file system. Returns what was loaded.
    async fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError>;

    /// Lists the images by reference.
    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError>;

    /// Tells all that is known of the image that a reference names.
    async fn inspect(&self, reference: &str) -> Result<ImageDetail, ImageError>;

    /// Removes a reference, and what no other reference or running container needs.
    async fn remove(&self, reference: &str) -> Result<(), ImageError>;

    /// Removes what no container uses: images that can be pulled again, and with `all` those that were loaded too.
    async fn prune(&self, all: bool) -> Result<Pruned, ImageError>;
}
