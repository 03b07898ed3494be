//! Which images stay: what is known of each, and what goes when there is no room.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use node::{ImageDetail, ImageError, Platform, Pruned};

use crate::catalogue::{Catalogue, Index, Named, Source, Stored};
use crate::digest::Digest;
use crate::error::Result;
use crate::reference::Reference;
use crate::store::Inner;

impl Inner {
    /// Tells all that is known of an image.
    pub(crate) fn inspect(&self, reference: &Reference) -> Result<ImageDetail> {
        let in_use = self.layers.in_use()?;
        let catalogue = self.read();
        let not_found = || ImageError::NotFound { reference: reference.to_string() };
        let known = [Platform::host(), Platform::LinuxAmd64, Platform::LinuxArm64];
        let known = known.into_iter().find_map(|platform| catalogue.find(reference, platform)).ok_or_else(not_found)?;
        let summary = catalogue.summary(known.key, known.named).ok_or_else(not_found)?;
        let layer = |layer: &Arc<crate::layers::Layer>| {
            (layer.diff_id.to_string(), layer.facts().map_or(0, |facts| facts.size_bytes))
        };
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ImageDetail {
            summary,
            index_digest: known.named.index.map(|index| index.to_string()),
            platform: known.stored.platform.clone(),
            config: known.stored.image.config.clone(),
            layers: known.stored.layers.iter().map(layer).collect(),
            used_at: used.get(known.key).copied().or(known.named.used_at),
            is_in_use: is_in_use(known.stored, &in_use, 1),
        })
    }

    /// Removes the images that no container uses, those that were loaded only with `all`.
    pub(crate) fn prune(&self, all: bool) -> Result<Pruned> {
        let changing = self.change();
        let in_use = self.layers.in_use()?;
        let mut next = self.read().clone();
        let doomed = next.references.iter().filter(|(_, named)| all || named.source != Source::Loaded);
        let doomed = doomed.filter(|(_, named)| !is_any_in_use(&next, named, &in_use));
        let references = doomed.map(|(key, _)| key.clone()).collect::<Vec<_>>();
        next.references.retain(|key, _| !references.contains(key));
        self.note_use(&mut next, std::iter::empty());
        Index::of(&next.references, &next.images).write(&self.index_path, &self.staging)?;
        let before = self.layers.bytes();
        *self.write() = next;
        self.sweep(&changing)?;
        Ok(Pruned { references, freed_bytes: before.saturating_sub(self.layers.bytes()) })
    }

    /// Writes down when references were last asked for; `now` are those that are being asked for.
    pub(crate) fn note_use<'a>(&self, next: &mut Catalogue, now: impl Iterator<Item = &'a String>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.extend(now.map(|key| (key.clone(), self.clock.now())));
        used.retain(|key, _| next.references.contains_key(key));
        for (key, at) in used.iter() {
            if let Some(named) = next.references.get_mut(key) {
                named.used_at = Some(*at);
            }
        }
    }

    /// Takes out of the catalogue what was not asked for the longest, until the layers of the rest have room. What was
    /// loaded stays, what a container uses, and what is just being `published`.
    pub(crate) fn shrink(&self, next: &mut Catalogue, published: &BTreeMap<String, Named>) -> Result<()> {
        let Some(bytes_max) = self.layer_bytes_max else { return Ok(()) };
        if bytes(next) <= bytes_max {
            return Ok(());
        }
        let in_use = self.layers.in_use()?;
        let candidates = next.references.iter().filter(|(key, named)| {
            named.source != Source::Loaded && !published.contains_key(*key) && !is_any_in_use(next, named, &in_use)
        });
        let mut candidates = candidates.map(|(key, named)| (named.used_at, key.clone())).collect::<Vec<_>>();
        candidates.sort();
        for (_, key) in candidates {
            if bytes(next) <= bytes_max {
                break;
            }
            tracing::info!(image = key, "removed, because the images need more room than they may have");
            next.references.remove(&key);
        }
        Ok(())
    }
}

/// Adds up the layers that references need, each once.
fn bytes(catalogue: &Catalogue) -> u64 {
    let images = catalogue.references.values().flat_map(Named::manifests);
    let layers = images.filter_map(|manifest| catalogue.images.get(&manifest)).flat_map(|stored| &stored.layers);
    let sizes = layers.filter_map(|layer| Some((layer.diff_id, layer.facts()?.size_bytes)));
    sizes.collect::<HashMap<Digest, u64>>().values().sum()
}

fn is_any_in_use(catalogue: &Catalogue, named: &Named, in_use: &HashSet<PathBuf>) -> bool {
    let mut images = named.manifests().filter_map(|manifest| catalogue.images.get(&manifest));
    // The one that holds, and the one that is being made.
    images.any(|stored| is_in_use(stored, in_use, 2))
}

/// Says whether a container uses the image, or is about to. One that shares all its layers with an image in use counts
/// too: nothing would be won by its going. `catalogues` is how many catalogues hold the image here.
fn is_in_use(stored: &Stored, in_use: &HashSet<PathBuf>, catalogues: usize) -> bool {
    let is_held = Arc::strong_count(&stored.image) > catalogues;
    let is_used = !stored.layers.is_empty() && stored.layers.iter().all(|layer| in_use.contains(&layer.path));
    is_held || is_used
}
