//! Which reference means which image: in memory, and in one file that is replaced whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base::Timestamp;
use node::{Image, ImageSummary};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Result, disk};
use crate::layers::{Layer, LayerFacts, Staging};
use crate::reference::Reference;

const FORMAT_VERSION: u32 = 1;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    version: u32,
    pub(crate) references: BTreeMap<String, Named>,
    pub(crate) layers: HashMap<Digest, LayerFacts>,
}

/// What a reference means.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The digest of the image's manifest.
    pub(crate) manifest: Digest,
    /// The digest of the index that the image was chosen from, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
    pub(crate) loaded_at: Timestamp,
}

impl Named {
    /// Says whether a reference with `digest` may mean this image.
    pub(crate) fn is(&self, digest: Digest) -> bool {
        self.manifest == digest || self.index == Some(digest)
    }
}

/// An image and what keeps its layers in place.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Handed out by `pull`: whoever holds it holds the image.
    pub(crate) image: Arc<Image>,
    pub(crate) config: Digest,
    /// The lowest first.
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) size_bytes: u64,
}

/// All that the store knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    /// By whole reference. A tagged image stands here without its digest.
    pub(crate) references: BTreeMap<String, Named>,
    pub(crate) images: HashMap<Digest, Stored>,
}

impl Catalogue {
    /// Finds what `reference` means. With a digest, any tag of the repository will do unless it names one.
    pub(crate) fn find(&self, reference: &Reference) -> Option<&Arc<Image>> {
        let named = match (reference.tagged(), reference.digest()) {
            (Some(tagged), None) => self.references.get(&tagged),
            (Some(tagged), Some(digest)) => self.references.get(&tagged).filter(|named| named.is(digest)),
            (None, Some(digest)) => {
                self.with_name(&reference.name()).map(|(_, named)| named).find(|named| named.is(digest))
            }
            (None, None) => None,
        };
        named.and_then(|named| self.images.get(&named.manifest)).map(|stored| &stored.image)
    }

    /// Finds the reference in the catalogue that `remove` means by `reference`.
    pub(crate) fn key(&self, reference: &Reference) -> Option<String> {
        let literal = reference.to_string();
        if self.references.contains_key(&literal) {
            return Some(literal);
        }
        let digest = reference.digest()?;
        let tagged = reference.tagged()?;
        self.references.get(&tagged).is_some_and(|named| named.is(digest)).then_some(tagged)
    }

    /// Lists the references.
    pub(crate) fn list(&self) -> Vec<ImageSummary> {
        self.references.iter().filter_map(|(reference, named)| self.summary(reference, named)).collect()
    }

    /// Describes one reference.
    pub(crate) fn summary(&self, reference: &str, named: &Named) -> Option<ImageSummary> {
        let stored = self.images.get(&named.manifest)?;
        Some(ImageSummary {
            reference: reference.to_owned(),
            digest: named.manifest.to_string(),
            size_bytes: stored.size_bytes,
            loaded_at: named.loaded_at,
            source: node::ImageSource::Loaded,
        })
    }

    /// Forgets the images that no reference means and nobody holds, and returns the blobs of those that are left.
    pub(crate) fn sweep(&mut self) -> HashSet<Digest> {
        let named = self.references.values().map(|named| named.manifest).collect::<HashSet<_>>();
        self.images.retain(|digest, stored| named.contains(digest) || Arc::strong_count(&stored.image) > 1);
        self.images.iter().flat_map(|(digest, stored)| [*digest, stored.config]).collect()
    }

    fn with_name(&self, name: &str) -> impl Iterator<Item = (&String, &Named)> {
        let follows = |rest: Option<&str>| rest.is_some_and(|rest| rest.starts_with([':', '@']));
        let name = name.to_owned();
        let start = name.clone();
        self.references
            .range(start..)
            .take_while({
                let name = name.clone();
                move |(reference, _)| reference.starts_with(&name)
            })
            .filter(move |(reference, _)| follows(reference.strip_prefix(&name)))
    }
}

impl Index {
    /// Makes the index of `references` to `images`.
    pub(crate) fn of(references: &BTreeMap<String, Named>, images: &HashMap<Digest, Stored>) -> Self {
        let meant = references.values().filter_map(|named| images.get(&named.manifest));
        let layers = meant.flat_map(|stored| &stored.layers);
        let layers = layers.filter_map(|layer| Some((layer.diff_id, layer.facts()?))).collect();
        Self { version: FORMAT_VERSION, references: references.clone(), layers }
    }

    /// Reads the file at `path`. A missing one is empty; one that cannot be understood is an error, because to go on
    /// would throw away every image.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: FORMAT_VERSION, references: BTreeMap::new(), layers: HashMap::new() });
            }
            Err(error) => return Err(disk("read", path)(error)),
        };
        let index = serde_json::from_slice::<Self>(&content).map_err(|error| disk("understand", path)(error.into()))?;
        match index.version {
            FORMAT_VERSION => Ok(index),
            other => Err(disk("understand", path)(io::Error::other(format!("format {other} is of a newer version")))),
        }
    }

    /// Replaces the file at `path`.
    pub(crate) fn write(&self, path: &Path, staging: &Staging) -> Result<()> {
        let content = serde_json::to_vec_pretty(self).expect("a map of strings is always JSON");
        staging.replace(path, &content)
    }
}
