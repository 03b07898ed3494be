//! Manifests: what they say of themselves, and what they name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Digest;
use super::image::{Descriptor, Image};
use base::Timestamp;

/// A manifest of an image by Docker's schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A list of manifests by Docker's schema 2.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A manifest of an image, or of another artifact, by OCI.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index of manifests by OCI.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of the right form.
    #[error("{0}")]
    Malformed(String),
    /// It is of a kind that is not kept.
    #[error("manifests of type {0} are not supported")]
    Unsupported(String),
    /// It says another type than its sender.
    #[error("the manifest says that it is of type {said}, and was sent as {sent}")]
    OtherType {
        /// What the manifest says.
        said: String,
        /// What its sender said.
        sent: String,
    },
    /// It is an index of indexes of indexes.
    #[error("indexes may be {0} deep in one another")]
    TooDeep(u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<DocumentDescriptor>,
    layers: Option<Vec<DocumentDescriptor>>,
    manifests: Option<Vec<DocumentDescriptor>>,
    subject: Option<DocumentDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentDescriptor {
    media_type: String,
    digest: String,
    size: u64,
}

impl DocumentDescriptor {
    fn read(self) -> Result<Descriptor, ManifestError> {
        let digest = Digest::parse(&self.digest)
            .ok_or_else(|| ManifestError::Malformed(format!("{} is not a SHA-256 digest", self.digest)))?;
        Ok(Descriptor { media_type: self.media_type, digest, size: self.size })
    }
}

/// Reads a manifest that was sent as `sent`, if its sender said a type. The sizes of an index are those of the manifests
/// it names; whoever knows them corrects [`Image::size_bytes`] and [`Image::nesting`].
pub fn read_manifest(
    repository: &str,
    bytes: &[u8],
    sent: Option<&str>,
    now: Timestamp,
) -> Result<Image, ManifestError> {
    let document = serde_json::from_slice::<Document>(bytes).map_err(|e| ManifestError::Malformed(e.to_string()))?;
    if document.schema_version != 2 {
        return Err(ManifestError::Unsupported(format!("schema version {}", document.schema_version)));
    }
    let sent = sent.map(|sent| sent.split(';').next().unwrap_or_default().trim());
    if let (Some(said), Some(sent)) = (&document.media_type, sent)
        && said != sent
    {
        return Err(ManifestError::OtherType { said: said.clone(), sent: sent.to_owned() });
    }
    let guessed = if document.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = document.media_type.as_deref().or(sent).unwrap_or(guessed).to_owned();
    let read_all = |list: Option<Vec<DocumentDescriptor>>, member: &str| {
        let list = list.ok_or_else(|| ManifestError::Malformed(format!("missing field `{member}`")))?;
        list.into_iter().map(DocumentDescriptor::read).collect::<Result<Vec<_>, _>>()
    };
    let (config, layers, children) = match media_type.as_str() {
        DOCKER_MANIFEST | OCI_MANIFEST => {
            let config =
                document.config.ok_or_else(|| ManifestError::Malformed("missing field `config`".to_owned()))?;
            (Some(config.read()?), read_all(document.layers, "layers")?, Vec::new())
        }
        DOCKER_LIST | OCI_INDEX => (None, Vec::new(), read_all(document.manifests, "manifests")?),
        _ => return Err(ManifestError::Unsupported(media_type)),
    };
    // ECR counts what a client fetches besides the manifest (unverified for the configuration).
    let size_bytes = layers.iter().chain(&config).map(|descriptor| descriptor.size).fold(0, u64::saturating_add);
    Ok(Image {
        repository: repository.to_owned(),
        digest: Digest::of(bytes),
        media_type,
        artifact_type: document.artifact_type.filter(|kind| !kind.is_empty()),
        manifest_size: bytes.len() as u64,
        config,
        layers,
        children,
        subject: document.subject.map(DocumentDescriptor::read).transpose()?.map(|subject| subject.digest),
        annotations: document.annotations.unwrap_or_default(),
        nesting: 0,
        size_bytes,
        pushed_at: now,
        last_pulled_at: None,
        scanned_at: None,
    })
}
