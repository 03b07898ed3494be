//! The store as a whole, over real files. Owners, devices and trusted attributes want root.

mod engine;
mod kinds;
mod lifetime;
mod pulling;
mod unpacking;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{ManualClock, Timestamp};
use node::{Image, ImageError, ImageSummary, Images, PullRequest};

use crate::{ImageStore, Limits, Options};

const LOADED_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A store in a folder that goes with it.
struct Fixture {
    folder: tempfile::TempDir,
    store: Arc<ImageStore>,
    /// What containers use.
    in_use: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let in_use = Arc::default();
        let store = open(folder.path(), &in_use, limits);
        Self { folder, store, in_use }
    }

    /// Closes the store and opens it again, as after a restart.
    fn reopen(self) -> Self {
        drop(self.store);
        Self { store: open(self.folder.path(), &self.in_use, Limits::default()), ..self }
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
        self.store.pull(&PullRequest::new(reference)).await.unwrap()
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

fn open(folder: &Path, in_use: &Arc<Mutex<HashSet<PathBuf>>>, limits: Limits) -> Arc<ImageStore> {
    let in_use = Arc::clone(in_use);
    let in_use = Arc::new(move || Ok(in_use.lock().unwrap().clone()));
    let options = Options { limits, ..Options::default() };
    ImageStore::open(&folder.join("store"), Arc::new(ManualClock::new(LOADED_AT)), in_use, options).unwrap()
}

/// Returns what an archive is refused for.
fn why<T: std::fmt::Debug>(result: Result<T, ImageError>) -> String {
    match result {
        Err(ImageError::InvalidArchive { why }) => why,
        other => panic!("expected an invalid archive, found {other:?}"),
    }
}
