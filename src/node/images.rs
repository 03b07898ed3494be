//! Images: a reference in, layers and a configuration out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base::Timestamp;

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
    /// When the reference was last loaded.
    pub loaded_at: Timestamp,
}

/// Why an image operation failed.
#[derive(Debug, thiserror::Error)]
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
        /// The platform wanted, `linux/amd64`.
        platform: String,
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
        source: std::io::Error,
    },
}

/// Finds images by reference.
#[async_trait]
pub trait Images: Send + Sync {
    /// Finds the image that `reference` names, normalised as docker does (`httpd` is `docker.io/library/httpd:latest`).
    /// The layers stay valid while the returned image lives.
    async fn pull(&self, reference: &str) -> Result<Arc<Image>, ImageError>;

    /// Loads an archive file: docker-archive, OCI archive, or the tar of a root file system (optionally gzip or zstd).
    /// `name` overrides the archive's own references, and is required for a root file system. Returns what was loaded.
    async fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError>;

    /// Lists the images by reference.
    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError>;

    /// Removes a reference, and what no other reference or running container needs.
    async fn remove(&self, reference: &str) -> Result<(), ImageError>;
}
