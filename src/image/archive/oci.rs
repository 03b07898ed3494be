//! The OCI image layout, in a tar or a folder: `index.json` leads to manifests, blobs lie under their digests.

use std::collections::BTreeMap;

use node::Platform;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use crate::archive::members::{document, json};
use crate::archive::{Content, Documents, Found, LayerSource, Members, name};
use crate::config;
use crate::digest::Digest;
use crate::error::{Result, invalid};
use crate::limits::Limits;
use crate::reference::Reference;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
/// The annotation that containerd and docker write: a whole reference.
const FULL_NAME: &str = "io.containerd.image.name";
/// The layout's own annotation: a whole reference with skopeo, a bare tag with umoci and buildkit.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Marks what is no image but speaks of one: provenance, bills of materials.
const ATTESTATION: &str = "vnd.docker.reference.type";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// How deep indexes may nest.
const INDEX_DEPTH_MAX: usize = 4;

/// Finds the images, or nothing if this is no OCI layout.
pub(crate) fn find(members: &Members, limits: &Limits, platform: Platform) -> Result<Option<Vec<Found>>> {
    let (Some(_), Some(index)) = (members.get(LAYOUT)?, members.get(INDEX)?) else { return Ok(None) };
    let index = json::<ImageIndex>(&document(index, INDEX, limits)?, INDEX)?;
    // One name may stand at several manifests, one a platform; and one manifest may have several names.
    let mut by_name = BTreeMap::<Option<&str>, Vec<&Descriptor>>::new();
    for descriptor in index.manifests().iter().filter(|descriptor| is_image(descriptor)) {
        by_name.entry(name_of(descriptor)).or_default().push(descriptor);
    }
    let source = Source { members, limits, platform };
    let mut images = BTreeMap::<Digest, Found>::new();
    for (name, descriptors) in by_name {
        let shown = name.unwrap_or(INDEX);
        let chosen = source.choose(&descriptors, shown, INDEX_DEPTH_MAX)?;
        let names = name.map(full_name).transpose()?.flatten();
        match images.get_mut(&chosen.digest) {
            Some(image) => image.names.extend(names),
            None => {
                images.insert(chosen.digest, source.describe(chosen, shown, names.into_iter().collect())?);
            }
        }
        if images.len() > limits.images_max {
            return Err(invalid(format!("more than {} images", limits.images_max)));
        }
    }
    match images.is_empty() {
        true => Err(invalid("its index names no image")),
        false => Ok(Some(images.into_values().collect())),
    }
}

/// A manifest that was chosen.
struct Chosen {
    digest: Digest,
    bytes: u64,
    index: Option<Digest>,
}

struct Source<'a> {
    members: &'a Members,
    limits: &'a Limits,
    platform: Platform,
}

impl Source<'_> {
    /// Chooses among descriptors the one for this platform, and goes into indexes.
    fn choose(&self, descriptors: &[&Descriptor], shown: &str, depth: usize) -> Result<Chosen> {
        let none = || node::ImageError::NoPlatform { reference: shown.to_owned(), platform: self.platform };
        let fits = |descriptor: &&&Descriptor| {
            descriptor
                .platform()
                .as_ref()
                .is_some_and(|platform| config::is_for(self.platform, platform.os(), platform.architecture()))
        };
        let chosen = match descriptors {
            [only] if only.platform().is_none() => only,
            _ => descriptors
                .iter()
                .find(fits)
                .or_else(|| descriptors.iter().find(|descriptor| descriptor.platform().is_none()))
                .ok_or_else(none)?,
        };
        let digest = digest(chosen)?;
        match chosen.media_type() {
            MediaType::ImageManifest => Ok(Chosen { digest, bytes: chosen.size(), index: None }),
            MediaType::Other(other) if other == DOCKER_MANIFEST => {
                Ok(Chosen { digest, bytes: chosen.size(), index: None })
            }
            kind if is_index(kind) => {
                if depth == 0 {
                    return Err(invalid(format!("indexes nest deeper than {INDEX_DEPTH_MAX}")));
                }
                let inner = json::<ImageIndex>(&self.blob(digest, chosen.size())?, "index")?;
                let inner = inner.manifests().iter().filter(|descriptor| is_image(descriptor)).collect::<Vec<_>>();
                let found = self.choose(&inner, shown, depth - 1)?;
                Ok(Chosen { index: Some(digest), ..found })
            }
            other => Err(invalid(format!("`{digest}` is a `{other}`, and no image"))),
        }
    }

    fn describe(&self, chosen: Chosen, shown: &str, names: Vec<Reference>) -> Result<Found> {
        let document = self.blob(chosen.digest, chosen.bytes)?;
        let manifest = json::<ImageManifest>(&document, "manifest")?;
        let config_digest = digest(manifest.config())?;
        let config_document = self.blob(config_digest, manifest.config().size())?;
        let config = config::parse(&config_document)?;
        if !config::is_for(self.platform, config.os(), config.architecture()) {
            let (reference, platform) = (shown.to_owned(), self.platform);
            return Err(node::ImageError::NoPlatform { reference, platform });
        }
        let diff_ids = config::diff_ids(&config)?;
        if diff_ids.len() != manifest.layers().len() {
            return Err(invalid(format!(
                "the manifest has {} layers, but the configuration tells of {}",
                manifest.layers().len(),
                diff_ids.len()
            )));
        }
        let layers = manifest.layers().iter().zip(diff_ids).map(|(layer, diff_id)| {
            let blob = digest(layer)?;
            let content = Content::Tar(self.members.require(&blob_path(blob))?);
            Ok(LayerSource { content, diff_id: Some(diff_id), blob: Some((blob, Some(layer.size()))) })
        });
        let layers = layers.collect::<Result<_>>()?;
        let documents = Documents::Whole { manifest: document, config: config_document };
        Ok(Found { names, index: chosen.index, documents, layers })
    }

    /// Reads a document and checks that it is what it is called.
    fn blob(&self, digest: Digest, bytes: u64) -> Result<Vec<u8>> {
        let path = blob_path(digest);
        let content = document(self.members.require(&path)?, &path, self.limits)?;
        if content.len() as u64 != bytes {
            return Err(invalid(format!("`{path}` has {} bytes instead of {bytes}", content.len())));
        }
        if Digest::of(&content) != digest {
            return Err(invalid(format!("`{path}` does not have the digest it is named by")));
        }
        Ok(content)
    }
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn digest(descriptor: &Descriptor) -> Result<Digest> {
    let text = descriptor.digest().as_ref();
    Digest::parse(text).ok_or_else(|| invalid(format!("`{text}` is no sha256 digest")))
}

fn is_index(kind: &MediaType) -> bool {
    *kind == MediaType::ImageIndex || kind.as_ref() == DOCKER_INDEX
}

fn is_image(descriptor: &Descriptor) -> bool {
    let is_manifest = is_index(descriptor.media_type())
        || *descriptor.media_type() == MediaType::ImageManifest
        || descriptor.media_type().as_ref() == DOCKER_MANIFEST;
    is_manifest && !descriptor.annotations().as_ref().is_some_and(|notes| notes.contains_key(ATTESTATION))
}

fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let notes = descriptor.annotations().as_ref()?;
    notes.get(FULL_NAME).or_else(|| notes.get(REF_NAME)).map(String::as_str)
}

/// Reads a name from an annotation. A bare word is a tag without a repository, and so names nothing.
fn full_name(text: &str) -> Result<Option<Reference>> {
    if text.contains(['/', ':']) { name(text).map(Some) } else { Ok(None) }
}
