//! The store as a whole, over real files. Owners, devices and trusted attributes want root.

mod kinds;
mod lifetime;
mod unpacking;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{ManualClock, Timestamp};
use node::{Image, ImageError, ImageSummary, Images};

use crate::{ImageStore, Limits};

const LOADED_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A store in a folder that goes with it.
struct Fixture {
    folder: tempfile::TempDir,
    store: Arc<ImageStore>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), limits);
        Self { folder, store }
    }

    /// Closes the store and opens it again, as after a restart.
    fn reopen(self) -> Self {
        drop(self.store);
        Self { store: open(self.folder.path(), Limits::default()), folder: self.folder }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn write(&self, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join("archive");
        fs::write(&path, content).unwrap();
        path
    }

    async fn load(&self, content: &[u8], name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError> {
        self.store.load(&self.write(content), name).await
    }

    /// Loads a root file system as `app` and returns its only layer's folder.
    async fn load_layer(&self, tar: &[u8]) -> Result<PathBuf, ImageError> {
        self.load(tar, Some("app")).await?;
        Ok(self.pull("app").await.layers[0].clone())
    }

    async fn pull(&self, reference: &str) -> Arc<Image> {
        self.store.pull(reference).await.unwrap()
    }

    async fn references(&self) -> Vec<String> {
        self.store.list().await.unwrap().into_iter().map(|summary| summary.reference).collect()
    }

    /// Counts what is in the store: blobs, layers, and things half made.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |name: &str| fs::read_dir(self.dir().join(name)).unwrap().count();
        (count("blobs/sha256"), count("layers"), count("staging"))
    }
}

fn open(folder: &Path, limits: Limits) -> Arc<ImageStore> {
    ImageStore::open_with(&folder.join("store"), Arc::new(ManualClock::new(LOADED_AT)), limits).unwrap()
}

/// Returns what an archive is refused for.
fn why<T: std::fmt::Debug>(result: Result<T, ImageError>) -> String {
    match result {
        Err(ImageError::InvalidArchive { why }) => why,
        other => panic!("expected an invalid archive, found {other:?}"),
    }
}
