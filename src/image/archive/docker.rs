//! What `docker save`, podman and skopeo write as docker-archive: `manifest.json` names configurations and layers.

use node::Platform;
use serde::Deserialize;

use crate::archive::members::{document, json};
use crate::archive::{Content, Documents, Found, LayerSource, Members, name};
use crate::config;
use crate::digest::Digest;
use crate::error::{Result, invalid, within};
use crate::limits::Limits;

const MANIFEST: &str = "manifest.json";
const BLOBS: &str = "blobs/sha256/";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the images, or nothing if this is no docker-archive.
pub(crate) fn find(members: &Members, limits: &Limits, platform: Platform) -> Result<Option<Vec<Found>>> {
    let Some(manifest) = members.get(MANIFEST)? else { return Ok(None) };
    // A root file system may have a file of this name. It is docker's only if it looks like it.
    let Ok(images) = document(manifest, MANIFEST, limits).and_then(|content| json::<Vec<Image>>(&content, MANIFEST))
    else {
        return Ok(None);
    };
    if images.len() > limits.images_max {
        return Err(invalid(format!("more than {} images", limits.images_max)));
    }
    images.iter().map(|image| describe(image, members, limits, platform)).collect::<Result<_>>().map(Some)
}

fn describe(image: &Image, members: &Members, limits: &Limits, platform: Platform) -> Result<Found> {
    let names = image.repo_tags.iter().flatten().map(|tag| name(tag)).collect::<Result<Vec<_>>>()?;
    let document = document(members.require(&image.config)?, &image.config, limits)?;
    if let Some(digest) = digest_in_name(&image.config)
        && Digest::of(&document) != digest
    {
        return Err(invalid(format!("`{}` does not have the digest it is named by", image.config)));
    }
    let config = config::parse(&document).map_err(|error| within(&image.config, error))?;
    if !config::is_for(platform, config.os(), config.architecture()) {
        let reference = names.first().map_or_else(|| image.config.clone(), ToString::to_string);
        return Err(node::ImageError::NoPlatform { reference, platform });
    }
    let diff_ids = config::diff_ids(&config)?;
    if diff_ids.len() != image.layers.len() {
        return Err(invalid(format!(
            "{} layers, but `{}` tells of {}",
            image.layers.len(),
            image.config,
            diff_ids.len()
        )));
    }
    let layers = image.layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
        let blob = layer.strip_prefix(BLOBS).and_then(Digest::from_hex).map(|digest| (digest, None));
        Ok(LayerSource { content: Content::Tar(members.require(layer)?), diff_id: Some(diff_id), blob })
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(Found { names, index: None, documents: Documents::Config(document), layers })
}

/// Returns the digest that a configuration is named by: `<digest>.json`, or a blob's path.
fn digest_in_name(name: &str) -> Option<Digest> {
    name.strip_suffix(".json").or_else(|| name.strip_prefix(BLOBS)).and_then(Digest::from_hex)
}
