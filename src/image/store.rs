//! The store of images: loads archives, finds images by reference, removes what nobody needs.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use base::Clock;
use node::{Image, ImageDetail, ImageError, ImageSummary, Images, Platform, Pruned, PullRequest};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::archive::{self, Content, Documents, Found, LayerSource};
use crate::blobs::Blobs;
use crate::catalogue::{Catalogue, Index, Named, Stored};
use crate::compression::Decoder;
use crate::config;
use crate::digest::Digest;
use crate::error::{Result, disk, invalid, unreadable, within};
use crate::layers::{Layer, LayerFacts, Layers, LayersInUse, Staged, Staging};
use crate::limits::Limits;
use crate::metered::Metered;
use crate::reference::Reference;
use crate::{pack, unpack};

/// How many layers of one archive are unpacked at once, where there are as many processors.
const LAYERS_AT_ONCE_MAX: usize = 4;
/// How often it is tried to lock the folder.
const LOCK_ATTEMPTS_MAX: u32 = 20;
/// How long to wait before trying again.
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Images in a folder of this machine.
///
/// The folder has `index.json` (which reference means which image), `blobs/sha256/` (manifests and configurations),
/// `layers/` (unpacked, by diff id), `staging/` (what is being made) and `lock`. What `index.json` does not reach is
/// removed when the store is opened, except layers in use. `pull` reads memory only.
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    index_path: PathBuf,
    limits: Limits,
    platform: Platform,
    clock: Arc<dyn Clock>,
    staging: Staging,
    blobs: Blobs,
    layers: Layers,
    catalogue: RwLock<Catalogue>,
    /// Held by whoever changes the catalogue, the file and the blobs.
    changing: Mutex<()>,
    /// Keeps a second server away from the folder for as long as the store lives.
    _lock: File,
}

impl ImageStore {
    /// Opens the store in the folder `dir`, which is made if need be, and removes what an earlier server left half
    /// done. Layers in use stay, also those of images that were removed. Fails if another store has the folder open.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>, in_use: LayersInUse) -> Result<Arc<Self>, ImageError> {
        Self::open_with(dir, clock, in_use, Limits::default())
    }

    /// Opens the store with other bounds than the default ones.
    pub fn open_with(
        dir: &Path,
        clock: Arc<dyn Clock>,
        in_use: LayersInUse,
        limits: Limits,
    ) -> Result<Arc<Self>, ImageError> {
        fs::create_dir_all(dir).map_err(disk("make", dir))?;
        let dir = fs::canonicalize(dir).map_err(disk("open", dir))?;
        let lock = lock(&dir.join("lock"))?;
        let staging = Staging::open(dir.join("staging"))?;
        let blobs = Blobs::open(dir.join("blobs").join("sha256"))?;
        let index_path = dir.join("index.json");
        let mut index = Index::read(&index_path)?;
        let layers = Layers::open(dir.join("layers"), &index.layers, in_use, &staging)?;
        let catalogue = restore(&mut index.references, &blobs, &layers)?;
        let inner = Inner {
            index_path,
            limits,
            platform: Platform::host(),
            clock,
            staging,
            blobs,
            layers,
            catalogue: RwLock::new(catalogue),
            changing: Mutex::default(),
            _lock: lock,
        };
        inner.sweep(&inner.change())?;
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(cause) => panic::resume_unwind(cause),
                // Only a runtime that is being shut down cancels blocking work.
                Err(_) => Err(disk("finish work in", &self.inner.index_path)(io::ErrorKind::Interrupted.into())),
            },
        }
    }
}

#[async_trait]
impl Images for ImageStore {
    async fn pull(&self, request: &PullRequest) -> Result<Arc<Image>, ImageError> {
        let reference = Reference::parse(&request.reference)?;
        let image = self.inner.read().find(&reference).cloned();
        image.ok_or_else(|| ImageError::NotFound { reference: reference.to_string() })
    }

    async fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError> {
        let name = name.map(Reference::parse).transpose()?;
        let archive = archive.to_owned();
        self.blocking(move |inner| {
            let loaded = inner.load(&archive, name);
            if loaded.is_err() {
                // What was unpacked before the mistake was found goes again.
                inner.sweep(&inner.change())?;
            }
            loaded
        })
        .await
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        Ok(self.inner.read().list())
    }

    async fn inspect(&self, reference: &str) -> Result<ImageDetail, ImageError> {
        let reference = Reference::parse(reference)?;
        Err(ImageError::NotFound { reference: reference.to_string() })
    }

    async fn prune(&self, _all: bool) -> Result<Pruned, ImageError> {
        Ok(Pruned::default())
    }

    async fn remove(&self, reference: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(reference)?;
        self.blocking(move |inner| inner.remove(&reference)).await
    }
}

/// An image that is unpacked, with the names it is to have.
struct Loaded {
    names: Vec<Reference>,
    index: Option<Digest>,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layers: Vec<Arc<Layer>>,
}

impl Inner {
    fn load(&self, archive: &Path, name: Option<Reference>) -> Result<Vec<ImageSummary>> {
        let mut found = archive::find(archive, &self.staging, &self.limits, self.platform)?;
        if let Some(name) = name {
            let [only] = found.as_mut_slice() else {
                return Err(invalid(format!("a name was given for one image, but there are {}", found.len())));
            };
            only.names = vec![name];
        }
        for image in &found {
            if image.names.is_empty() {
                return Err(invalid("it does not say what the image is called, and no name was given"));
            }
            if image.layers.len() > self.limits.image_layers_max {
                return Err(invalid(format!("an image has more than {} layers", self.limits.image_layers_max)));
            }
        }
        let layers = self.unpack_all(&found)?;
        let loaded = found.into_iter().zip(layers).map(|(found, layers)| self.complete(found, layers));
        self.publish(loaded.collect::<Result<_>>()?)
    }

    /// Unpacks the layers of all images, several at once, and returns them image by image.
    fn unpack_all(&self, found: &[Found]) -> Result<Vec<Vec<Arc<Layer>>>> {
        let sources = found.iter().flat_map(|image| &image.layers).collect::<Vec<_>>();
        let results = sources.iter().map(|_| Mutex::new(None)).collect::<Vec<_>>();
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !has_failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(source), Some(slot)) = (sources.get(at), results.get(at)) else { break };
                let place = format!("layer {} of {}", at + 1, sources.len());
                let result = self.unpack(source).map_err(|error| within(&place, error));
                has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        };
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 1..processors.min(LAYERS_AT_ONCE_MAX).min(sources.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut layers = Vec::with_capacity(results.len());
        let mut failure = None;
        for result in results {
            match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(Ok(layer)) => layers.push(layer),
                Some(Err(error)) => failure = failure.or(Some(error)),
                // Not begun, because another one had failed.
                None => {}
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let mut layers = layers.into_iter();
        Ok(found.iter().map(|image| layers.by_ref().take(image.layers.len()).collect()).collect())
    }

    /// Returns the layer that `source` is, unpacked and proven.
    fn unpack(&self, source: &LayerSource) -> Result<Arc<Layer>> {
        let (layer, was_there) = match source.diff_id {
            Some(diff_id) => self.layers.get_or_unpack(diff_id, || {
                let (staged, found, facts) = self.unpack_staged(source)?;
                match found == diff_id {
                    true => Ok((staged, facts)),
                    false => Err(invalid(format!("its content has digest {found} instead of {diff_id}"))),
                }
            })?,
            None => {
                let (staged, found, facts) = self.unpack_staged(source)?;
                return Ok(self.layers.get_or_unpack(found, || Ok((staged, facts)))?.0);
            }
        };
        if was_there {
            // The layer is known to be right; that this archive has it right is still to be seen.
            self.verify_stored(source)?;
        }
        Ok(layer)
    }

    fn unpack_staged(&self, source: &LayerSource) -> Result<(Staged, Digest, LayerFacts)> {
        match &source.content {
            Content::Tar(member) => {
                let mut stored = Metered::new(member.clone(), self.limits.blob_bytes_max);
                let decoder = Decoder::new(&mut stored).map_err(|error| unreadable("the layer", &error))?;
                let unpacked = self.unpack_tar(decoder)?;
                check_stored(source, stored)?;
                Ok(unpacked)
            }
            Content::Folder(path) => self.unpack_folder(path),
        }
    }

    fn unpack_tar(&self, tar: impl io::Read) -> Result<(Staged, Digest, LayerFacts)> {
        let staged = self.staging.folder()?;
        let mut tar = Metered::new(tar, self.limits.unpacked_bytes_max);
        let unpacked = unpack::unpack(&mut tar, staged.path(), &self.limits)?;
        let (digest, tar_bytes) = tar.finish().map_err(|error| unreadable("the tar", &error))?;
        tracing::debug!(%digest, entries = unpacked.entries, devices_left_out = unpacked.devices, "unpacked a layer");
        Ok((staged, digest, LayerFacts { size_bytes: unpacked.size_bytes, tar_bytes }))
    }

    /// Packs the folder into a pipe and unpacks what comes out: one way into the store for everything.
    fn unpack_folder(&self, path: &Path) -> Result<(Staged, Digest, LayerFacts)> {
        let (reader, writer) = io::pipe().map_err(disk("pack", path))?;
        thread::scope(|scope| {
            let packing = scope.spawn(move || pack::pack(path, io::BufWriter::with_capacity(PIPE_BYTES, writer)));
            let unpacked = self.unpack_tar(io::BufReader::with_capacity(PIPE_BYTES, reader));
            let packed = packing.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            match packed {
                // When unpacking fails, packing finds the pipe closed: that is no cause.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(disk("pack", path)(error)),
                _ => unpacked,
            }
        })
    }

    fn verify_stored(&self, source: &LayerSource) -> Result<()> {
        match &source.content {
            Content::Tar(member) if source.blob.is_some() => {
                check_stored(source, Metered::new(member.clone(), self.limits.blob_bytes_max))
            }
            Content::Tar(_) | Content::Folder(_) => Ok(()),
        }
    }

    /// Gives the image the documents that it lacks.
    fn complete(&self, found: Found, layers: Vec<Arc<Layer>>) -> Result<Loaded> {
        let made = |config: &[u8]| {
            let tar_bytes = |layer: &Arc<Layer>| layer.facts().map_or(0, |facts| facts.tar_bytes);
            let layers = layers.iter().map(|layer| (layer.diff_id, tar_bytes(layer))).collect::<Vec<_>>();
            config::manifest(config, &layers)
        };
        let (manifest, config) = match found.documents {
            Documents::Whole { manifest, config } => (manifest, config),
            Documents::Config(config) => (made(&config), config),
            Documents::Nothing => {
                let layer = layers.first().ok_or_else(|| invalid("it holds no root file system"))?;
                let config = config::for_root_file_system(layer.diff_id, self.platform);
                (made(&config), config)
            }
        };
        Ok(Loaded { names: found.names, index: found.index, manifest, config, layers })
    }

    /// Makes the images known, all of them or none.
    fn publish(&self, loaded: Vec<Loaded>) -> Result<Vec<ImageSummary>> {
        let loaded_at = self.clock.now();
        let changing = self.change();
        let mut next = self.read().clone();
        let mut published = BTreeMap::new();
        for image in loaded {
            let manifest = Digest::of(&image.manifest);
            let named = Named { manifest, index: image.index, loaded_at };
            for name in &image.names {
                if name.digest().is_some_and(|digest| !named.is(digest)) {
                    return Err(invalid(format!("it is to be called {name}, but its digest is {manifest}")));
                }
                published.insert(name.tagged().unwrap_or_else(|| name.to_string()), named.clone());
            }
            self.blobs.put(&image.manifest, &self.staging)?;
            let config = self.blobs.put(&image.config, &self.staging)?;
            // An image that is known keeps its record: containers may hold it.
            if let Entry::Vacant(place) = next.images.entry(manifest) {
                place.insert(stored(manifest, config, &config::parse(&image.config)?, image.layers));
            }
        }
        next.references.extend(published.clone());
        Index::of(&next.references, &next.images).write(&self.index_path, &self.staging)?;
        let summaries = published.iter().filter_map(|(name, named)| next.summary(name, named)).collect();
        *self.write() = next;
        // The images are there, whatever becomes of those that they replaced.
        if let Err(error) = self.sweep(&changing) {
            tracing::warn!(%error, "could not remove what is no longer needed");
        }
        Ok(summaries)
    }

    fn remove(&self, reference: &Reference) -> Result<()> {
        let changing = self.change();
        let mut next = self.read().clone();
        let key = next.key(reference).ok_or_else(|| ImageError::NotFound { reference: reference.to_string() })?;
        next.references.remove(&key);
        Index::of(&next.references, &next.images).write(&self.index_path, &self.staging)?;
        *self.write() = next;
        self.sweep(&changing)
    }

    /// Removes images, blobs and layers that nothing needs.
    fn sweep(&self, _changing: &MutexGuard<'_, ()>) -> Result<()> {
        let blobs = self.write().sweep();
        self.blobs.retain(&blobs)?;
        self.layers.sweep(&self.staging)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Catalogue> {
        self.catalogue.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pipe holds on Linux.
const PIPE_BYTES: usize = 64 * 1024;

/// Takes the lock, or fails if another process has it for longer than a moment: a child that a killed server was just
/// starting holds it until it has executed its program.
fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(disk("open", path))?;
    let mut attempt = 1;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if attempt < LOCK_ATTEMPTS_MAX => thread::park_timeout(LOCK_AGAIN_AFTER),
            Err(error) => return Err(disk("lock", path)(error.into())),
        }
        attempt += 1;
    }
}

/// Reads what is left of the layer as it is stored and checks digest and size.
fn check_stored<R: io::Read>(source: &LayerSource, stored: Metered<R>) -> Result<()> {
    let (found, bytes) = stored.finish().map_err(|error| unreadable("the layer", &error))?;
    match source.blob {
        Some((_, Some(wanted))) if bytes != wanted => Err(invalid(format!("it has {bytes} bytes instead of {wanted}"))),
        Some((wanted, _)) if found != wanted => Err(invalid(format!("it has digest {found} instead of {wanted}"))),
        _ => Ok(()),
    }
}

fn stored(
    manifest: Digest,
    config: Digest,
    parsed: &oci_spec::image::ImageConfiguration,
    layers: Vec<Arc<Layer>>,
) -> Stored {
    let image = Image {
        digest: manifest.to_string(),
        config: config::process(parsed),
        layers: layers.iter().rev().map(|layer| layer.path.clone()).collect(),
    };
    let size_bytes = layers.iter().filter_map(|layer| layer.facts()).map(|facts| facts.size_bytes).sum();
    Stored { image: Arc::new(image), config, layers, size_bytes }
}

/// Builds the catalogue that the file describes. A reference whose image is damaged is dropped: it can be loaded again.
fn restore(references: &mut BTreeMap<String, Named>, blobs: &Blobs, layers: &Layers) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    for (reference, named) in std::mem::take(references) {
        if let Entry::Vacant(place) = catalogue.images.entry(named.manifest) {
            let Some(found) = restore_image(named.manifest, blobs, layers)? else {
                tracing::warn!(reference, digest = %named.manifest, "dropped an image that is no longer whole");
                continue;
            };
            place.insert(found);
        }
        catalogue.references.insert(reference, named);
    }
    Ok(catalogue)
}

fn restore_image(manifest: Digest, blobs: &Blobs, layers: &Layers) -> Result<Option<Stored>> {
    let Some(document) = blobs.get(manifest)? else { return Ok(None) };
    let Ok(parsed) = serde_json::from_slice::<oci_spec::image::ImageManifest>(&document) else { return Ok(None) };
    let Some(config) = Digest::parse(parsed.config().digest().as_ref()) else { return Ok(None) };
    let Some(document) = blobs.get(config)? else { return Ok(None) };
    let Ok(parsed) = config::parse(&document) else { return Ok(None) };
    let found = config::diff_ids(&parsed)?.into_iter().map(|diff_id| layers.get(diff_id)).collect::<Option<Vec<_>>>();
    Ok(found.map(|found| stored(manifest, config, &parsed, found)))
}
