//! The store of images: loads archives, finds images by reference, removes what nobody needs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Timestamp};
use node::{
    Image, ImageDetail, ImageError, ImageSummary, Images, Platform, Pruned, PullBehavior, PullRequest, RegistryFault,
};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::archive::{self, Content, Documents, Found, LayerSource};
use crate::blobs::Blobs;
use crate::catalogue::{Catalogue, Index, Named, Source, Stored};
use crate::compression::Decoder;
use crate::config;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::{Result, disk, invalid, unreadable, within};
use crate::flight::{FlightKey, Flights};
use crate::layers::{Layer, LayerFacts, Layers, LayersInUse, Staged, Staging};
use crate::limits::Limits;
use crate::metered::Metered;
use crate::origin::{Asked, Origin};
use crate::pull::Pull;
use crate::reference::Reference;
use crate::remote::KnownLogin;
use crate::{pack, unpack};

/// How many layers of one archive are unpacked at once, where there are as many processors.
const LAYERS_AT_ONCE_MAX: usize = 4;
/// How many images are fetched and unpacked at once from elsewhere, and as many from this machine.
const PULLS_AT_ONCE_MAX: usize = 8;
/// How often it is tried to lock the folder.
const LOCK_ATTEMPTS_MAX: u32 = 20;
/// How long to wait before trying again.
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Images in a folder of this machine.
///
/// The folder has `index.json` (which reference means which image), `blobs/sha256/` (manifests and configurations),
/// `layers/` (unpacked, by diff id), `staging/` (what is being made) and `lock`. What `index.json` does not reach is
/// removed when the store is opened, except layers in use.
pub struct ImageStore {
    pub(crate) inner: Arc<Inner>,
    flights: Arc<Flights>,
    /// The registry of this server itself.
    own: OnceLock<Arc<dyn Origin>>,
    /// The registries elsewhere; none are asked without.
    registries: Option<Arc<dyn Origin>>,
    engine: Option<Engine>,
}

/// How a store works.
#[derive(Default)]
pub struct Options {
    /// The bounds on what it takes.
    pub limits: Limits,
    /// The registries elsewhere; without them only what is here is found.
    pub registries: Option<Arc<dyn Origin>>,
    /// A container engine on this machine, whose images serve as well.
    pub engine: Option<Engine>,
    /// The bytes of layers from which on images go that can be pulled again.
    pub layer_bytes_max: Option<u64>,
}

pub(crate) struct Inner {
    pub(crate) index_path: PathBuf,
    pub(crate) limits: Limits,
    platform: Platform,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) staging: Staging,
    pub(crate) blobs: Blobs,
    pub(crate) layers: Layers,
    catalogue: RwLock<Catalogue>,
    /// When references were last asked for, where that is later than the file says.
    pub(crate) used: Mutex<HashMap<String, Timestamp>>,
    pub(crate) layer_bytes_max: Option<u64>,
    /// Places for pulls from elsewhere, which may take as long as a registry likes.
    pub(crate) far_pulls: Arc<Semaphore>,
    /// Places for pulls from this machine: this server's registry and the container engine.
    pub(crate) near_pulls: Arc<Semaphore>,
    /// Held by whoever changes the catalogue, the file and the blobs.
    changing: Mutex<()>,
    /// Keeps a second server away from the folder for as long as the store lives.
    _lock: File,
}

impl ImageStore {
    /// Opens the store in the folder `dir`, which is made if need be, and removes what an earlier server left half
    /// done. Layers in use stay, also those of images that were removed. Fails if another store has the folder open.
    pub fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        in_use: LayersInUse,
        options: Options,
    ) -> Result<Arc<Self>, ImageError> {
        let Options { limits, registries, engine, layer_bytes_max } = options;
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
            used: Mutex::default(),
            layer_bytes_max,
            far_pulls: Arc::new(Semaphore::new(PULLS_AT_ONCE_MAX)),
            near_pulls: Arc::new(Semaphore::new(PULLS_AT_ONCE_MAX)),
            changing: Mutex::default(),
            _lock: lock,
        };
        inner.sweep(&inner.change())?;
        let (inner, flights, own) = (Arc::new(inner), Arc::default(), OnceLock::new());
        Ok(Arc::new(Self { inner, flights, own, registries, engine }))
    }

    /// Says which registry is this server's own. Only the first one counts.
    pub fn use_registry(&self, own: Arc<dyn Origin>) {
        _ = self.own.set(own);
    }

    /// Waits for an image from `origin`.
    async fn fetch(
        &self,
        from: &'static str,
        places: &Arc<Semaphore>,
        origin: &Arc<dyn Origin>,
        reference: &Reference,
        request: &PullRequest,
    ) -> Result<Arc<Image>> {
        let is_forced = request.behavior == PullBehavior::Always;
        let (platform, credentials) = (request.platform, request.credentials.clone());
        let key = FlightKey { from, reference: reference.clone(), platform, credentials: credentials.clone() };
        let begin = |waiting, progress| {
            let login = KnownLogin::default();
            let asked = Asked { reference: reference.clone(), platform, credentials, login, waiting };
            let pull = Pull { origin: Arc::clone(origin), places: Arc::clone(places), asked, progress };
            Arc::clone(&self.inner).fetch(Arc::new(pull), is_forced)
        };
        self.flights.join(key, request.progress.as_ref(), begin).await
    }

    /// Waits for an image from the container engine; none if it has no such image, or there is no engine.
    async fn fetch_from_engine(&self, reference: &Reference, request: &PullRequest) -> Result<Option<Arc<Image>>> {
        let Some(engine) = self.engine.clone() else { return Ok(None) };
        let (platform, credentials) = (request.platform, None);
        let key = FlightKey { from: "engine", reference: reference.clone(), platform, credentials };
        let (inner, wanted) = (Arc::clone(&self.inner), reference.clone());
        let begin = |_, _| async move { inner.fetch_from_engine(&engine, &wanted, platform).await };
        match self.flights.join(key, None, begin).await {
            Ok(image) => Ok(Some(image)),
            Err(ImageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner), &self.inner.index_path).await
    }
}

/// Runs `work` where it may block; `path` is what it works in.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
    path: &Path,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(cause) => panic::resume_unwind(cause),
            // Only a runtime that is being shut down cancels blocking work.
            Err(_) => Err(disk("finish work in", path)(io::ErrorKind::Interrupted.into())),
        },
    }
}

#[async_trait]
impl Images for ImageStore {
    /// Asks in this order: this server's own registry for its names, the store for what was loaded, the container
    /// engine, the registry that the name tells.
    async fn pull(&self, request: &PullRequest) -> Result<Arc<Image>, ImageError> {
        let reference = Reference::parse(&request.reference)?;
        let known = self.inner.known(&reference, request.platform);
        let own = self.own.get().filter(|own| own.serves(&reference));
        let is_cached_enough = matches!(request.behavior, PullBehavior::PreferCached | PullBehavior::Once);
        if let Some((image, source)) = &known {
            let serves = match source {
                Source::Loaded => request.behavior != PullBehavior::Always && (own.is_none() || is_cached_enough),
                Source::Pulled | Source::Engine => is_cached_enough,
            };
            if serves {
                return Ok(Arc::clone(image));
            }
        }
        let not_found = || ImageError::NotFound { reference: reference.to_string() };
        let mut answer = match own {
            Some(own) => self.fetch("own", &self.inner.near_pulls, own, &reference, request).await,
            None => Err(not_found()),
        };
        let is_missing = |answer: &Result<_>| matches!(answer, Err(ImageError::NotFound { .. }));
        // A name of the own registry may have been given to what was loaded from a file.
        if is_missing(&answer) && own.is_some() && request.behavior != PullBehavior::Always {
            answer = match &known {
                Some((image, Source::Loaded)) => Ok(Arc::clone(image)),
                Some(_) | None => answer,
            };
        }
        if is_missing(&answer)
            && let Some(image) = self.fetch_from_engine(&reference, request).await?
        {
            answer = Ok(image);
        }
        if is_missing(&answer)
            && own.is_none()
            && let Some(registries) = self.registries.as_ref().filter(|registries| registries.serves(&reference))
        {
            answer = self.fetch("registry", &self.inner.far_pulls, registries, &reference, request).await;
        }
        match (answer, known) {
            (Err(error), Some((image, _))) if request.behavior == PullBehavior::Default && is_passing(&error) => {
                tracing::warn!(image = %reference, %error, "the registry cannot be asked; the image that is here serves");
                Ok(image)
            }
            (answer, _) => answer,
        }
    }

    async fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<ImageSummary>, ImageError> {
        let name = name.map(Reference::parse).transpose()?;
        let archive = archive.to_owned();
        Ok(self.blocking(move |inner| inner.load(&archive, name, Source::Loaded)).await?.summaries)
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        Ok(self.inner.read().list())
    }

    async fn inspect(&self, reference: &str) -> Result<ImageDetail, ImageError> {
        let reference = Reference::parse(reference)?;
        self.blocking(move |inner| inner.inspect(&reference)).await
    }

    async fn remove(&self, reference: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(reference)?;
        self.blocking(move |inner| inner.remove(&reference)).await
    }

    async fn prune(&self, all: bool) -> Result<Pruned, ImageError> {
        self.blocking(move |inner| inner.prune(all)).await
    }
}

/// Says whether an image that is here may serve after such a failure: not if the registry said that there is none, or not
/// for this user, because Fargate would have none to fall back on.
fn is_passing(error: &ImageError) -> bool {
    let ImageError::Registry { fault, .. } = error else { return false };
    match fault {
        RegistryFault::Unreachable { .. } | RegistryFault::Status { .. } => true,
        RegistryFault::NoCredentials { .. }
        | RegistryFault::Denied { .. }
        | RegistryFault::WrongContent { .. }
        | RegistryFault::Broken(_) => false,
    }
}

/// An image that is unpacked, with the names it is to have.
pub(crate) struct Loaded {
    names: Vec<Reference>,
    index: Option<Digest>,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layers: Vec<Arc<Layer>>,
}

/// Images that were just made known.
pub(crate) struct Published {
    pub(crate) summaries: Vec<ImageSummary>,
    /// In the order in which they were given. Whoever holds one keeps it.
    pub(crate) images: Vec<Arc<Image>>,
}

impl Published {
    /// Returns the image of one that was published alone.
    pub(crate) fn only(self) -> Arc<Image> {
        self.images.into_iter().next().expect("each image that is given is published")
    }
}

impl Inner {
    /// Returns what the store has under the reference, and notes that it was asked for.
    fn known(&self, reference: &Reference, platform: Platform) -> Option<(Arc<Image>, Source)> {
        let catalogue = self.read();
        let known = catalogue.find(reference, platform)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(known.key) {
            Some(used_at) => *used_at = self.clock.now(),
            None => _ = used.insert(known.key.to_owned(), self.clock.now()),
        }
        Some((Arc::clone(&known.stored.image), known.named.source))
    }

    /// Loads an archive.
    pub(crate) fn load(&self, archive: &Path, name: Option<Reference>, source: Source) -> Result<Published> {
        let loaded = self.load_all(archive, name, source);
        if loaded.is_err() {
            // What was unpacked before the mistake was found goes again.
            self.sweep(&self.change())?;
        }
        loaded
    }

    fn load_all(&self, archive: &Path, name: Option<Reference>, source: Source) -> Result<Published> {
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
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let layers = self.unpack_all(&found, processors.min(LAYERS_AT_ONCE_MAX))?;
        let loaded = found.into_iter().zip(layers).map(|(found, layers)| self.complete(found, layers));
        self.publish(loaded.collect::<Result<_>>()?, source)
    }

    /// Unpacks the layers of all images, `at_once` at a time, and returns them image by image.
    pub(crate) fn unpack_all(&self, found: &[Found], at_once: usize) -> Result<Vec<Vec<Arc<Layer>>>> {
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
        thread::scope(|scope| {
            for _ in 1..at_once.min(sources.len()) {
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
        let go_on = || match &source.content {
            Content::Origin(layer) => layer.is_wanted(),
            Content::Tar(_) | Content::Folder(_) => Ok(()),
        };
        let (layer, was_there) = match source.diff_id {
            Some(diff_id) => self.layers.get_or_unpack(diff_id, go_on, || {
                let (staged, found, facts) = self.unpack_staged(source)?;
                match found == diff_id {
                    true => Ok((staged, facts)),
                    false => Err(invalid(format!("its content has digest {found} instead of {diff_id}"))),
                }
            })?,
            None => {
                let (staged, found, facts) = self.unpack_staged(source)?;
                return Ok(self.layers.get_or_unpack(found, go_on, || Ok((staged, facts)))?.0);
            }
        };
        if let Content::Origin(layer) = &source.content {
            layer.done();
        } else if was_there {
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
            Content::Origin(layer) => self.unpack_fetched(layer),
        }
    }

    pub(crate) fn unpack_tar(&self, tar: impl io::Read) -> Result<(Staged, Digest, LayerFacts)> {
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
            Content::Tar(_) | Content::Folder(_) | Content::Origin(_) => Ok(()),
        }
    }

    /// Gives the image the documents that it lacks.
    pub(crate) fn complete(&self, found: Found, layers: Vec<Arc<Layer>>) -> Result<Loaded> {
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
    pub(crate) fn publish(&self, loaded: Vec<Loaded>, source: Source) -> Result<Published> {
        let loaded_at = self.clock.now();
        let changing = self.change();
        let mut next = self.read().clone();
        let mut published = BTreeMap::new();
        let mut images = Vec::with_capacity(loaded.len());
        for image in loaded {
            let manifest = Digest::of(&image.manifest);
            let named = Named { manifest, index: image.index, loaded_at, source, used_at: None, others: Vec::new() };
            for name in &image.names {
                if name.digest().is_some_and(|digest| !named.is(digest)) {
                    return Err(invalid(format!("it is to be called {name}, but its digest is {manifest}")));
                }
                // What is pulled by a digest says nothing of the tag.
                let pinned = name.pinned().filter(|_| source == Source::Pulled);
                let key = pinned.or_else(|| name.tagged()).unwrap_or_else(|| name.to_string());
                let others = next.references.get(&key).map_or_else(Vec::new, |known| known.others_beside(&named));
                published.insert(key, Named { others, ..named.clone() });
            }
            self.blobs.put(&image.manifest, &self.staging)?;
            let config = self.blobs.put(&image.config, &self.staging)?;
            // An image that is known keeps its record: containers may hold it.
            let stored = match next.images.entry(manifest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(stored(manifest, config, &config::parse(&image.config)?, image.layers))
                }
            };
            // Taken while nobody else may change anything: from here on it is held.
            images.push(Arc::clone(&stored.image));
        }
        next.references.extend(published.clone());
        self.note_use(&mut next, published.keys());
        self.shrink(&mut next, &published)?;
        Index::of(&next.references, &next.images).write(&self.index_path, &self.staging)?;
        let summaries = published.iter().filter_map(|(name, named)| next.summary(name, named)).collect();
        *self.write() = next;
        // The images are there, whatever becomes of those that they replaced.
        if let Err(error) = self.sweep(&changing) {
            tracing::warn!(%error, "could not remove what is no longer needed");
        }
        Ok(Published { summaries, images })
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
    pub(crate) fn sweep(&self, _changing: &MutexGuard<'_, ()>) -> Result<()> {
        let blobs = self.write().sweep();
        self.blobs.retain(&blobs)?;
        self.layers.sweep(&self.staging)
    }

    pub(crate) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Catalogue> {
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
    let platform = format!("{}/{}", parsed.os(), parsed.architecture());
    Stored { image: Arc::new(image), config, platform, layers, size_bytes }
}

/// Builds the catalogue that the file describes. A reference whose image is damaged is dropped: it can be loaded again.
fn restore(references: &mut BTreeMap<String, Named>, blobs: &Blobs, layers: &Layers) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    for (reference, mut named) in std::mem::take(references) {
        let mut is_whole = |manifest: Digest| -> Result<bool> {
            if let Entry::Vacant(place) = catalogue.images.entry(manifest) {
                let Some(found) = restore_image(manifest, blobs, layers)? else {
                    tracing::warn!(reference, digest = %manifest, "dropped an image that is no longer whole");
                    return Ok(false);
                };
                place.insert(found);
            }
            Ok(true)
        };
        if !is_whole(named.manifest)? {
            continue;
        }
        let others = std::mem::take(&mut named.others).into_iter();
        named.others = others
            .map(|other| Ok(is_whole(other)?.then_some(other)))
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?;
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
