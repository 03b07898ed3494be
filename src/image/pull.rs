//! Fetches an image from where it comes from, layer by layer, and proves what came.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node::{Image, ImageError, PullProgress, PullStage, RegistryFault};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::archive::{Content, Documents, Found, LayerSource};
use crate::catalogue::Source;
use crate::compression::Decoder;
use crate::config;
use crate::digest::Digest;
use crate::error::{Result, disk, unreadable};
use crate::layers::{LayerFacts, Staged};
use crate::metered::Metered;
use crate::origin::{Asked, Blob, Origin};
use crate::progress_log::told_while;
use crate::room::Room;
use crate::store::Inner;

/// How many layers of one image are fetched at once.
const LAYERS_FETCHED_AT_ONCE_MAX: usize = 4;
/// How often content is fetched that turns out to be other content.
const WRONG_CONTENT_TRIES_MAX: u32 = 3;
/// How deep indexes may nest.
const INDEX_DEPTH_MAX: usize = 4;

/// A pull that is under way.
pub(crate) struct Pull {
    pub(crate) origin: Arc<dyn Origin>,
    /// Where it takes its place.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) asked: Asked,
    pub(crate) progress: watch::Sender<PullProgress>,
}

/// A layer that is still where it comes from.
pub(crate) struct OriginLayer {
    pull: Arc<Pull>,
    blob: Blob,
    runtime: Handle,
    /// Why it could not be read to its end.
    fault: Mutex<Option<ImageError>>,
    /// The bytes that have come, which the progress counts.
    counted: Mutex<u64>,
}

/// The manifest of an image, proven.
struct Located {
    content: Vec<u8>,
    digest: Digest,
    index: Option<Digest>,
    manifest: ImageManifest,
}

/// What tells an index from a manifest.
#[derive(Deserialize)]
struct Kind {
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Inner {
    /// Fetches what of the image is not here, and makes it known.
    pub(crate) async fn fetch(self: Arc<Self>, pull: Arc<Pull>, is_forced: bool) -> Result<Arc<Image>> {
        let asked = &pull.asked;
        let resolved = match asked.reference.digest() {
            Some(digest) => Some(digest),
            None => pull.origin.resolve(asked).await?,
        };
        let is_pinned = asked.reference.digest().is_some();
        if let Some(digest) = resolved
            && !(is_forced && is_pinned)
            && let Some(image) = self.pulled(asked, digest)
        {
            return Ok(image);
        }
        // Manifests are long: no more of them are held than can be used.
        let place = Arc::clone(&pull.places).acquire_owned().await.expect("it is never closed");
        let mut located = pull.locate(resolved).await?;
        if self.read().images.contains_key(&located.digest) {
            let (inner, pull_) = (Arc::clone(&self), Arc::clone(&pull));
            let adopted = crate::store::blocking(move || inner.adopt(&pull_, located), &self.index_path).await?;
            match adopted {
                Ok(image) => return Ok(image),
                // It went meanwhile.
                Err(again) => located = again,
            }
        }
        let began = self.clock.now();
        tracing::info!(image = %asked.reference, digest = %located.digest, "pulling");
        let (inner, pull_) = (Arc::clone(&self), Arc::clone(&pull));
        let runtime = Handle::current();
        let take_in = move || {
            // Who is cancelled leaves the thread at work, and the place is the thread's.
            let _place = place;
            inner.take_in(&pull_, located, &runtime)
        };
        let take_in = crate::store::blocking(take_in, &self.index_path);
        let tell = |progress: &PullProgress| {
            let PullProgress { layers, layers_done, bytes, bytes_done } = *progress;
            tracing::info!(image = %asked.reference, layers_done, layers, bytes_done, bytes, "still pulling");
        };
        let image = told_while(take_in, || *pull.progress.borrow(), tell).await?;
        let PullProgress { bytes_done, layers, .. } = *pull.progress.borrow();
        let seconds = self.clock.now().since(began).as_secs_f64();
        tracing::info!(image = %asked.reference, digest = %image.digest, layers, bytes = bytes_done, seconds, "pulled");
        Ok(image)
    }

    /// Returns the image if what the reference stands for was pulled before.
    fn pulled(&self, asked: &Asked, digest: Digest) -> Option<Arc<Image>> {
        let catalogue = self.read();
        let known = catalogue.find(&asked.reference, asked.platform)?;
        (known.named.source == Source::Pulled && known.named.is(digest)).then(|| Arc::clone(&known.stored.image))
    }

    /// Gives an image that is here by another name this one as well. What was located comes back if the image is not here.
    fn adopt(&self, pull: &Pull, located: Located) -> Result<Result<Arc<Image>, Located>> {
        let Some(stored) = self.read().images.get(&located.digest).cloned() else { return Ok(Err(located)) };
        if !stored.is_for(&pull.asked.platform.to_string()) {
            return Err(pull.no_platform());
        }
        let layers = stored.layers.clone();
        let Some(config) = self.blobs.get(stored.config)? else { return Ok(Err(located)) };
        let found = Found {
            names: vec![pull.asked.reference.clone()],
            index: located.index,
            documents: Documents::Whole { manifest: located.content, config },
            layers: Vec::new(),
        };
        Ok(Ok(self.publish(vec![self.complete(found, layers)?], Source::Pulled)?.only()))
    }

    /// Fetches configuration and layers; blocks.
    fn take_in(&self, pull: &Arc<Pull>, located: Located, runtime: &Handle) -> Result<Arc<Image>> {
        let image = self.take_in_all(pull, located, runtime);
        if image.is_err() {
            // What was unpacked before it failed goes again.
            self.sweep(&self.change())?;
        }
        image
    }

    fn take_in_all(&self, pull: &Arc<Pull>, located: Located, runtime: &Handle) -> Result<Arc<Image>> {
        Room::find(self.staging.dir(), self.limits.free_bytes_min)?;
        let Located { content, index, manifest, .. } = located;
        let config = pull.config(manifest.config(), self.limits.document_bytes_max, runtime)?;
        let parsed = config::parse(&config).map_err(|_| pull.broken("its configuration is not one of an image"))?;
        if !config::is_for(pull.asked.platform, parsed.os(), parsed.architecture()) {
            return Err(pull.no_platform());
        }
        let diff_ids = config::diff_ids(&parsed)?;
        if diff_ids.len() != manifest.layers().len() {
            return Err(pull.broken("manifest and configuration tell of different layers"));
        }
        if diff_ids.len() > self.limits.image_layers_max {
            return Err(pull.broken(&format!("it has more than {} layers", self.limits.image_layers_max)));
        }
        let layers = manifest.layers().iter().zip(diff_ids).map(|(layer, diff_id)| {
            let blob = pull.blob(layer)?;
            if blob.size_bytes > self.limits.blob_bytes_max {
                return Err(pull.broken(&format!("a layer has more than {} bytes", self.limits.blob_bytes_max)));
            }
            let layer = OriginLayer {
                pull: Arc::clone(pull),
                blob,
                runtime: runtime.clone(),
                fault: Mutex::default(),
                counted: Mutex::default(),
            };
            let blob = Some((blob.digest, Some(blob.size_bytes)));
            Ok(LayerSource { content: Content::Origin(layer), diff_id: Some(diff_id), blob })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let missing = layers.iter().filter(|layer| layer.diff_id.is_none_or(|id| self.layers.get(id).is_none()));
        let bytes = missing.filter_map(|layer| layer.blob?.1).sum();
        pull.progress.send_modify(|progress| {
            *progress = PullProgress { layers: layers.len(), bytes, ..PullProgress::default() };
        });
        let names = vec![pull.asked.reference.clone()];
        let documents = Documents::Whole { manifest: content, config };
        let found = [Found { names, index, documents, layers }];
        let unpacked = self.unpack_all(&found, LAYERS_FETCHED_AT_ONCE_MAX)?;
        let loaded = found.into_iter().zip(unpacked).map(|(found, layers)| self.complete(found, layers));
        Ok(self.publish(loaded.collect::<Result<_>>()?, Source::Pulled)?.only())
    }

    /// Unpacks a layer as it comes, and again if other content came than was asked for.
    pub(crate) fn unpack_fetched(&self, layer: &OriginLayer) -> Result<(Staged, Digest, LayerFacts)> {
        let mut tries = 0;
        loop {
            tries += 1;
            layer.begin_again();
            let mut stored = Metered::new(layer.open()?, layer.blob.size_bytes);
            let decoder = Decoder::new(&mut stored).map_err(|error| unreadable("the layer", &error));
            let unpacked = decoder.and_then(|decoder| self.unpack_tar(decoder));
            let proven = stored.finish();
            if let Some(fault) = layer.take_fault() {
                return Err(fault);
            }
            match proven {
                // That what is right in itself cannot be unpacked is the image's fault, and will not change.
                Ok((found, _)) if found == layer.blob.digest => return unpacked,
                Ok((found, _)) if tries >= WRONG_CONTENT_TRIES_MAX => {
                    return Err(layer.pull.wrong(PullStage::Layer, tries, layer.blob.digest, &found.to_string()));
                }
                Err(_) if tries >= WRONG_CONTENT_TRIES_MAX => {
                    return Err(layer.pull.wrong(PullStage::Layer, tries, layer.blob.digest, "of something longer"));
                }
                Ok(_) | Err(_) => {
                    tracing::debug!(blob = %layer.blob.digest, "other content came; fetching it again");
                }
            }
        }
    }
}

impl Pull {
    /// Finds the manifest for the platform, through indexes.
    async fn locate(&self, resolved: Option<Digest>) -> Result<Located> {
        let (mut wanted, mut index) = (resolved, None);
        for _ in 0..=INDEX_DEPTH_MAX {
            let (content, digest) = self.document(wanted).await?;
            let kind = serde_json::from_slice::<Kind>(&content).map_err(|_| self.broken("its manifest is no JSON"))?;
            if kind.manifests.is_none() && kind.layers.is_some() {
                let manifest = serde_json::from_slice(&content);
                let manifest = manifest.map_err(|_| self.broken("its manifest is not one of an image"))?;
                return Ok(Located { content, digest, index, manifest });
            }
            let parsed = serde_json::from_slice::<ImageIndex>(&content);
            let parsed = parsed.map_err(|_| self.broken("its manifest is not one of an image"))?;
            let is_wanted = |descriptor: &&Descriptor| {
                let platform = descriptor.platform().as_ref();
                platform.is_some_and(|found| config::is_for(self.asked.platform, found.os(), found.architecture()))
            };
            let chosen = parsed.manifests().iter().find(is_wanted).ok_or_else(|| self.no_platform())?;
            index = index.or(Some(digest));
            wanted = Some(self.blob(chosen)?.digest);
        }
        Err(self.broken(&format!("its indexes nest deeper than {INDEX_DEPTH_MAX}")))
    }

    /// Fetches a manifest or an index, and proves it.
    async fn document(&self, wanted: Option<Digest>) -> Result<(Vec<u8>, Digest)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let content = self.origin.manifest(&self.asked, wanted).await?.content;
            let found = Digest::of(&content);
            match wanted {
                Some(wanted) if wanted != found && tries >= WRONG_CONTENT_TRIES_MAX => {
                    return Err(self.wrong(PullStage::Manifest, tries, wanted, &found.to_string()));
                }
                Some(wanted) if wanted != found => {}
                _ => return Ok((content, found)),
            }
        }
    }

    /// Fetches the configuration, and proves it; blocks.
    fn config(&self, descriptor: &Descriptor, bytes_max: u64, runtime: &Handle) -> Result<Vec<u8>> {
        let blob = self.blob(descriptor)?;
        if blob.size_bytes > bytes_max {
            return Err(self.broken(&format!("its configuration has more than {bytes_max} bytes")));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let reader = runtime.block_on(self.origin.blob(&self.asked, blob, PullStage::Config))?;
            let mut content = Vec::new();
            // One byte more shows that it is too long.
            reader.take(blob.size_bytes + 1).read_to_end(&mut content).map_err(|error| self.cause(error))?;
            let found = Digest::of(&content);
            if found == blob.digest {
                return Ok(content);
            }
            if tries >= WRONG_CONTENT_TRIES_MAX {
                return Err(self.wrong(PullStage::Config, tries, blob.digest, &found.to_string()));
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = Digest::parse(descriptor.digest().as_ref());
        let digest = digest.ok_or_else(|| self.broken("it names content by a digest that is not sha256"))?;
        Ok(Blob { digest, size_bytes: descriptor.size() })
    }

    /// Finds out why reading failed.
    fn cause(&self, error: io::Error) -> ImageError {
        let reference = || self.asked.reference.to_string();
        if self.asked.waiting.is_over() {
            return ImageError::Cancelled { reference: reference() };
        }
        match error.downcast::<ImageError>() {
            Ok(fault) => fault,
            Err(error) => disk("read what was fetched of", std::path::Path::new(&reference()))(error),
        }
    }

    fn no_platform(&self) -> ImageError {
        ImageError::NoPlatform { reference: self.asked.reference.to_string(), platform: self.asked.platform }
    }

    fn broken(&self, why: &str) -> ImageError {
        self.registry(PullStage::Manifest, 1, RegistryFault::Broken(why.to_owned()))
    }

    fn wrong(&self, stage: PullStage, tries: u32, wanted: Digest, found: &str) -> ImageError {
        let (wanted, found) = (wanted.to_string(), found.to_owned());
        self.registry(stage, tries, RegistryFault::WrongContent { wanted, found })
    }

    fn registry(&self, stage: PullStage, tries: u32, fault: RegistryFault) -> ImageError {
        ImageError::Registry { reference: self.asked.reference.to_string(), stage, tries, fault }
    }
}

impl OriginLayer {
    /// Opens the layer for reading, which the progress shows; blocks.
    fn open(&self) -> Result<Counted<'_>> {
        let opened = self.pull.origin.blob(&self.pull.asked, self.blob, PullStage::Layer);
        Ok(Counted { reader: self.runtime.block_on(opened)?, layer: self })
    }

    /// Fails if nobody waits for the layer any more.
    pub(crate) fn is_wanted(&self) -> Result<()> {
        let asked = &self.pull.asked;
        match asked.waiting.is_over() {
            true => Err(ImageError::Cancelled { reference: asked.reference.to_string() }),
            false => Ok(()),
        }
    }

    /// Says that the layer is here.
    pub(crate) fn done(&self) {
        self.pull.progress.send_modify(|progress| progress.layers_done += 1);
    }

    fn begin_again(&self) {
        let counted = std::mem::take(&mut *lock(&self.counted));
        if counted > 0 {
            self.pull.progress.send_modify(|progress| progress.bytes_done -= counted);
        }
    }

    fn take_fault(&self) -> Option<ImageError> {
        lock(&self.fault).take()
    }
}

/// Reads a layer and notes what comes of it.
struct Counted<'a> {
    reader: Box<dyn Read + Send>,
    layer: &'a OriginLayer,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pull = &self.layer.pull;
        let read = match pull.asked.waiting.is_over() {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => self.reader.read(buffer),
        };
        match read {
            Ok(read) => {
                *lock(&self.layer.counted) += read as u64;
                pull.progress.send_modify(|progress| progress.bytes_done += read as u64);
                Ok(read)
            }
            Err(error) => {
                let mut fault = lock(&self.layer.fault);
                // The first is the cause of those that follow.
                fault.get_or_insert_with(|| pull.cause(error));
                Err(io::Error::other("the layer did not come to its end"))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
