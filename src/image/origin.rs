//! Where images come from that are not in the store.

use std::io::Read;

use async_trait::async_trait;
use node::{ImageError, Platform, PullStage, RegistryCredentials};
use tokio::sync::watch;

use crate::digest::Digest;
use crate::reference::Reference;
use crate::remote::KnownLogin;

/// What is asked of an origin, and for whom.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The image.
    pub reference: Reference,
    /// The platform that it must be made for.
    pub platform: Platform,
    /// The user who asks, if one was given.
    pub credentials: Option<RegistryCredentials>,
    /// The user that is known for the registry otherwise.
    pub login: KnownLogin,
    /// Whether anybody still waits.
    pub waiting: Waiting,
}

/// Tells whether anybody still waits for a pull.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Option<watch::Receiver<()>>);

impl Waiting {
    /// Makes one that ends when what is returned with it is dropped.
    pub fn new() -> (watch::Sender<()>, Self) {
        let (sender, receiver) = watch::channel(());
        (sender, Self(Some(receiver)))
    }

    /// Says whether nobody waits any more.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| receiver.has_changed().is_err())
    }

    /// Returns when nobody waits any more.
    pub async fn over(&self) {
        match self.0.clone() {
            Some(mut receiver) => while receiver.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

/// A document of a registry: a manifest or an index.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its bytes, which its digest is of.
    pub content: Vec<u8>,
}

/// Content that a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// Something that has images: a registry far away, or one in this process.
///
/// An origin need not verify what it gives: whoever asks does.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Says whether images of that name are this origin's to give.
    fn serves(&self, reference: &Reference) -> bool;

    /// Finds the digest that the reference's tag stands for. None if it can only be told with the document.
    async fn resolve(&self, asked: &Asked) -> Result<Option<Digest>, ImageError>;

    /// Fetches the manifest or index with `digest`, or the one that the reference's tag stands for.
    async fn manifest(&self, asked: &Asked, digest: Option<Digest>) -> Result<Document, ImageError>;

    /// Opens a blob, which is what `stage` says. It is read where blocking is allowed; should it fail then, the reader's
    /// error holds an [`ImageError`].
    async fn blob(&self, asked: &Asked, blob: Blob, stage: PullStage) -> Result<Box<dyn Read + Send>, ImageError>;
}
