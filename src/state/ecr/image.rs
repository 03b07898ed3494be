//! The rows of what is in a repository.

use std::collections::BTreeMap;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;
use crate::{Label, Record};

/// What names an image or a layer: repository and digest.
pub type ContentName = (String, Digest);

/// An image, or another artifact: what its manifest says. Its tags are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The repository that it is in.
    pub repository: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The type of its manifest.
    pub media_type: String,
    /// What it is, if its manifest says so itself.
    pub artifact_type: Option<String>,
    /// How many bytes its manifest has.
    pub manifest_size: u64,
    /// Its configuration; none of an index.
    pub config: Option<Descriptor>,
    /// Its layers, the lowest first; none of an index.
    pub layers: Vec<Descriptor>,
    /// The manifests that an index names.
    pub children: Vec<Descriptor>,
    /// What it is about: a signature's image. It need not be there.
    pub subject: Option<Digest>,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// How many indexes there are below an index at most, one in another.
    #[serde(default)]
    pub nesting: u32,
    /// How many bytes its layers and its configuration have; of an index, the largest of its images.
    pub size_bytes: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled.
    pub last_pulled_at: Option<Timestamp>,
    /// When a scan of it was asked for.
    pub scanned_at: Option<Timestamp>,
}

/// What a manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// A tag of an image. Its key is the repository and the tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTag {
    /// The repository.
    pub repository: String,
    /// The image that it is on.
    pub image: Digest,
    /// When it was put on it.
    pub put_at: Timestamp,
}

/// A layer in a repository. The same bytes in another repository are another row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// How many bytes it has.
    pub size: u64,
    /// When somebody who may be about to push an image last asked for it: it does not go before a while after that.
    pub wanted_at: Timestamp,
}

/// Who sends layers. Each has a share of the uploads there may be, so that none can use up what the others need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadSender {
    /// The user, or a program of theirs, to the registry.
    #[default]
    User,
    /// A task, to the registry.
    Task,
    /// Whoever uses the operations of the API instead.
    Api,
    /// This server, for a cache of another registry.
    Cache,
}

/// An upload that has not been completed. Its bytes are in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Who sends it.
    #[serde(default)]
    pub sender: UploadSender,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When bytes last came.
    pub touched_at: Timestamp,
}

/// What an image is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// Its digest.
    Digest(Digest),
    /// One of its tags.
    Tag(String),
}

impl Reference {
    /// Reads what follows the name of an image: a digest, or a tag, which has no colon.
    pub fn parse(text: &str) -> Option<Self> {
        match Digest::parse(text) {
            Some(digest) => Some(Self::Digest(digest)),
            None => is_tag(text).then(|| Self::Tag(text.to_owned())),
        }
    }
}

/// Tells whether a text can be a tag.
pub fn is_tag(text: &str) -> bool {
    const LENGTH_MAX: usize = 300;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_rest = |byte: u8| is_word(byte) || byte == b'.' || byte == b'-';
    text.len() <= LENGTH_MAX && text.bytes().next().is_some_and(is_word) && text.bytes().all(is_rest)
}

impl Image {
    /// Returns what its referrers' list says it is.
    pub fn kind(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
    }

    /// Returns whether it is an index or a list of manifests.
    pub fn is_index(&self) -> bool {
        self.config.is_none()
    }

    /// Returns what must be in the repository as a layer.
    pub fn needed_layers(&self) -> impl Iterator<Item = &Descriptor> {
        // Layers that must not be distributed stay where their vendor has them.
        let is_here = |layer: &&Descriptor| {
            !(layer.media_type.contains("foreign") || layer.media_type.contains("nondistributable"))
        };
        self.layers.iter().filter(is_here).chain(&self.config)
    }
}

impl Record for Image {
    fn labels(&self) -> Vec<Label> {
        let names = self.layers.iter().chain(&self.config).chain(&self.children);
        let named = names.map(|named| label_of_named(&self.repository, &named.digest));
        let subject = self.subject.iter().map(|subject| label_of_subject(&self.repository, subject));
        let mut labels = named.chain(subject).collect::<Vec<_>>();
        // A manifest may name a layer twice.
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

impl Record for ImageTag {
    fn labels(&self) -> Vec<Label> {
        vec![label_of_image(&self.repository, &self.image)]
    }
}

impl Record for Layer {}
impl Record for Upload {}

/// The label under which the tags of an image are found.
pub(super) fn label_of_image(repository: &str, image: &Digest) -> Label {
    Label::new(&[repository, &image.hex()])
}

/// The label under which the manifests are found that name a layer, a configuration or a manifest.
pub(super) fn label_of_named(repository: &str, named: &Digest) -> Label {
    Label::new(&["names", repository, &named.hex()])
}

/// The label under which the manifests are found that are about another one.
pub(super) fn label_of_subject(repository: &str, subject: &Digest) -> Label {
    Label::new(&["subject", repository, &subject.hex()])
}
