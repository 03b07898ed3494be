//! Images that do not exist: nearly every reference has one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Timestamp;

use super::SimulatedNode;
use super::reference::Reference;
use crate::{
    Image, ImageConfig, ImageDetail, ImageError, ImageSource, ImageSummary, Images, Platform, Pruned, PullRequest,
};

/// The registry of which no image exists, unless it was loaded.
pub const MISSING_REGISTRY: &str = "missing.invalid";

/// The images of a simulated node.
#[derive(Default)]
pub(super) struct Store {
    kept: BTreeMap<Reference, Kept>,
    missing: HashSet<Reference>,
    delays: HashMap<Reference, Duration>,
}

/// An image that was loaded or pulled.
struct Kept {
    image: Arc<Image>,
    loaded_at: Timestamp,
    source: ImageSource,
}

impl Store {
    pub(super) fn delay(&mut self, reference: Reference, by: Duration) {
        self.delays.insert(reference, by);
    }

    pub(super) fn forget(&mut self, reference: Reference) {
        self.kept.remove(&reference);
        self.missing.insert(reference);
    }

    fn pull(&mut self, reference: &Reference, now: Timestamp) -> Option<Arc<Image>> {
        if let Some(kept) = self.kept.get(reference) {
            return Some(Arc::clone(&kept.image));
        }
        let exists = reference.registry() != MISSING_REGISTRY && !self.missing.contains(reference);
        exists.then(|| self.keep(reference, ImageSource::Pulled, now))
    }

    fn keep(&mut self, reference: &Reference, source: ImageSource, now: Timestamp) -> Arc<Image> {
        let image = Arc::new(image(reference));
        self.kept.insert(reference.clone(), Kept { image: Arc::clone(&image), loaded_at: now, source });
        image
    }

    fn summaries(&self) -> impl Iterator<Item = ImageSummary> {
        self.kept.iter().map(|(reference, kept)| ImageSummary {
            reference: reference.as_str().to_owned(),
            digest: kept.image.digest.clone(),
            size_bytes: 0,
            loaded_at: kept.loaded_at,
            source: kept.source,
        })
    }
}

#[async_trait]
impl Images for SimulatedNode {
    async fn pull(&self, request: &PullRequest) -> Result<Arc<Image>, ImageError> {
        let reference = Reference::parse(&request.reference)?;
        let delay = self.world().store.delays.get(&reference).copied().unwrap_or_default();
        self.delay(delay).await;
        let image = self.world().store.pull(&reference, self.clock.now());
        image.ok_or_else(|| ImageError::NotFound { reference: reference.as_str().to_owned() })
    }

    /// Loads by name alone, the file's name without its ending if no other is given; the file is not read.
    async fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError> {
        let file_name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = file_name.split_once('.').map_or(file_name, |(stem, _)| stem);
        let reference = Reference::parse(name.unwrap_or(stem))?;
        let mut world = self.world();
        world.store.missing.remove(&reference);
        world.store.keep(&reference, ImageSource::Loaded, self.clock.now());
        Ok(world.store.summaries().filter(|summary| summary.reference == reference.as_str()).collect())
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        Ok(self.world().store.summaries().collect())
    }

    async fn inspect(&self, reference: &str) -> Result<ImageDetail, ImageError> {
        let reference = Reference::parse(reference)?;
        let world = self.world();
        let not_found = || ImageError::NotFound { reference: reference.as_str().to_owned() };
        let kept = world.store.kept.get(&reference).ok_or_else(not_found)?;
        let summary = world.store.summaries().find(|summary| summary.reference == reference.as_str());
        Ok(ImageDetail {
            summary: summary.ok_or_else(not_found)?,
            index_digest: None,
            platform: Platform::host().to_string(),
            config: kept.image.config.clone(),
            layers: Vec::new(),
            used_at: None,
            is_in_use: false,
        })
    }

    /// Forgets that the image was loaded or pulled. Another pull finds it again, unless it never existed.
    async fn remove(&self, reference: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(reference)?;
        let removed = self.world().store.kept.remove(&reference);
        removed.map(drop).ok_or_else(|| ImageError::NotFound { reference: reference.as_str().to_owned() })
    }

    /// Forgets every image that was pulled, and with `all` those that were loaded: no container holds files of them.
    async fn prune(&self, all: bool) -> Result<Pruned, ImageError> {
        let mut world = self.world();
        let doomed = world.store.kept.extract_if(.., |_, kept| all || kept.source == ImageSource::Pulled);
        let references = doomed.map(|(reference, _)| reference.as_str().to_owned()).collect();
        Ok(Pruned { references, freed_bytes: 0 })
    }
}

/// Makes the image of a reference: always the same, with a program to run.
fn image(reference: &Reference) -> Image {
    let digest = reference.digest().map_or_else(|| digest(reference.as_str()), str::to_owned);
    let config = ImageConfig {
        cmd: vec!["/simulated".to_owned()],
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        ..ImageConfig::default()
    };
    Image { digest, config, layers: Vec::new() }
}

/// Makes a digest of the right look: four 64-bit FNV-1a hashes of the text, each from another start. Not a SHA-256 of
/// anything, and no protection against anybody.
fn digest(text: &str) -> String {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash =
        |start: u64| text.bytes().fold(OFFSET_BASIS ^ start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let parts = [1, 2, 3, 4].map(|start: u64| format!("{:016x}", hash(start.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    format!("sha256:{}", parts.concat())
}
