//! What is in a file or folder that is to be loaded: told by its content, never by its name.

mod docker;
mod members;
mod oci;

use std::fs;
use std::path::{Path, PathBuf};

use node::Platform;

use crate::archive::members::Opened;
pub(crate) use crate::archive::members::{Member, Members};
use crate::digest::Digest;
use crate::error::{Result, disk, invalid};
use crate::layers::Staging;
use crate::limits::Limits;
use crate::pull::OriginLayer;
use crate::reference::Reference;

/// An image in an archive, described but not yet unpacked.
pub(crate) struct Found {
    /// The names that the archive gives it.
    pub(crate) names: Vec<Reference>,
    /// The digest of the index that the image was chosen from, by which it may be asked for as well.
    pub(crate) index: Option<Digest>,
    pub(crate) documents: Documents,
    /// The lowest first.
    pub(crate) layers: Vec<LayerSource>,
}

/// The documents that an image comes with. What is missing is made from the layers.
pub(crate) enum Documents {
    /// A manifest and a configuration, both checked against their digests.
    Whole { manifest: Vec<u8>, config: Vec<u8> },
    /// A docker-archive's image has no manifest.
    Config(Vec<u8>),
    /// A root file system has neither.
    Nothing,
}

/// Where a layer comes from and what it must prove to be.
pub(crate) struct LayerSource {
    pub(crate) content: Content,
    /// The digest of the tar, if it is known beforehand.
    pub(crate) diff_id: Option<Digest>,
    /// The digest and size of the layer as it is stored, if they are known beforehand.
    pub(crate) blob: Option<(Digest, Option<u64>)>,
}

/// The bytes of a layer.
pub(crate) enum Content {
    /// A tar, perhaps compressed.
    Tar(Member),
    /// A folder that is still to be packed.
    Folder(PathBuf),
    /// A layer that is fetched as it is unpacked.
    Origin(OriginLayer),
}

/// Finds the images in the file or folder at `path`.
pub(crate) fn find(path: &Path, staging: &Staging, limits: &Limits, platform: Platform) -> Result<Vec<Found>> {
    let metadata = fs::metadata(path).map_err(disk("open", path))?;
    let (members, root) = if metadata.is_dir() {
        (Members::of_folder(path)?, Content::Folder(path.to_owned()))
    } else if metadata.is_file() {
        let Opened { members, whole } = Members::of_file(path, staging, limits)?;
        (members, Content::Tar(whole))
    } else {
        return Err(invalid(format!("{} is neither a file nor a folder", path.display())));
    };
    // Docker writes both kinds of description since version 25; OCI's is the one that has manifests.
    if let Some(found) = oci::find(&members, limits, platform)? {
        return Ok(found);
    }
    if let Some(found) = docker::find(&members, limits, platform)? {
        return Ok(found);
    }
    let layer = LayerSource { content: root, diff_id: None, blob: None };
    Ok(vec![Found { names: Vec::new(), index: None, documents: Documents::Nothing, layers: vec![layer] }])
}

/// Reads the name that an archive gives to an image.
fn name(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(|error| invalid(format!("it names an image {error}")))
}
