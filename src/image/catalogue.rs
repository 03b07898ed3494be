//! Which reference means which image: in memory, and in one file that is replaced whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base::Timestamp;
use node::{Image, ImageSource, ImageSummary, Platform};
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
    /// Where it came from; in files of old versions everything was loaded.
    #[serde(default)]
    pub(crate) source: Source,
    /// When it was last asked for, as far as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used_at: Option<Timestamp>,
    /// The manifests of the same index for other platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<Digest>,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A file.
    #[default]
    Loaded,
    /// A registry.
    Pulled,
    /// A container engine on this machine.
    Engine,
}

impl From<Source> for ImageSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Loaded => Self::Loaded,
            Source::Pulled => Self::Pulled,
            Source::Engine => Self::Engine,
        }
    }
}

impl Named {
    /// Says whether a reference with `digest` may mean this image.
    pub(crate) fn is(&self, digest: Digest) -> bool {
        self.manifest == digest || self.index == Some(digest)
    }

    /// Lists the manifests that a reference goes on to keep when it comes to mean `next`: those of the same index.
    pub(crate) fn others_beside(&self, next: &Self) -> Vec<Digest> {
        let is_same = next.index.is_some() && self.index == next.index && next.source == Source::Pulled;
        self.manifests().filter(|manifest| is_same && *manifest != next.manifest).collect()
    }

    /// Lists all manifests that the reference keeps.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = Digest> {
        std::iter::once(self.manifest).chain(self.others.iter().copied())
    }
}

/// An image and what keeps its layers in place.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Handed out by `pull`: whoever holds it holds the image.
    pub(crate) image: Arc<Image>,
    pub(crate) config: Digest,
    /// What the image says that it is made for: `linux/amd64`.
    pub(crate) platform: String,
    /// The lowest first.
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) size_bytes: u64,
}

impl Stored {
    /// Says whether the image is made for `platform`. Some tools do not say what theirs is made for.
    pub(crate) fn is_for(&self, platform: &str) -> bool {
        self.platform == platform || self.platform == "/"
    }
}

/// An image that was found by a reference.
pub(crate) struct Known<'a> {
    /// The reference in the catalogue.
    pub(crate) key: &'a str,
    pub(crate) named: &'a Named,
    pub(crate) stored: &'a Stored,
}

/// All that the store knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    /// By whole reference. A tagged image stands here without its digest.
    pub(crate) references: BTreeMap<String, Named>,
    pub(crate) images: HashMap<Digest, Stored>,
}

impl Catalogue {
    /// Finds what `reference` means on `platform`. With a digest, any tag of the repository will do unless it names one.
    /// What was loaded from a file is for every platform: whoever loaded it wants it to run.
    pub(crate) fn find(&self, reference: &Reference, platform: Platform) -> Option<Known<'_>> {
        let exact = |key: &str| self.references.get_key_value(key);
        let found = match (reference.tagged(), reference.digest()) {
            (Some(tagged), None) => exact(&tagged),
            (Some(tagged), Some(digest)) => {
                exact(&tagged).filter(|(_, named)| named.is(digest)).or_else(|| exact(&reference.pinned()?))
            }
            (None, Some(digest)) => self.with_name(&reference.name()).find(|(_, named)| named.is(digest)),
            (None, None) => None,
        };
        let (key, named) = found?;
        let wanted = platform.to_string();
        let mut stored = named.manifests().filter_map(|manifest| self.images.get(&manifest));
        let stored = stored.find(|stored| named.source != Source::Pulled || stored.is_for(&wanted))?;
        Some(Known { key, named, stored })
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
            source: named.source.into(),
        })
    }

    /// Forgets the images that no reference means and nobody holds, and returns the blobs of those that are left.
    pub(crate) fn sweep(&mut self) -> HashSet<Digest> {
        let named = self.references.values().flat_map(Named::manifests).collect::<HashSet<_>>();
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
        let meant = references.values().flat_map(Named::manifests).filter_map(|manifest| images.get(&manifest));
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
