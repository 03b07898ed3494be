//! Unpacked layers by the digest of their tar (the *diff id*), shared by all images that have them.
//!
//! A layer is unpacked in the staging folder and renamed into place when its digest is found right: what is in place is
//! whole. Whoever holds an `Arc<Layer>` keeps the folder, and so do the containers of an earlier server, which hold
//! nothing in this one; [`Layers::sweep`] removes the others.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Result, disk};

/// How often who waits for a layer looks whether it is still to wait.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What is known of an unpacked layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerFacts {
    /// The bytes of its files.
    pub(crate) size_bytes: u64,
    /// The bytes of its tar, uncompressed.
    pub(crate) tar_bytes: u64,
}

/// A layer that is unpacked, or that somebody is about to unpack.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The digest of the uncompressed tar.
    pub(crate) diff_id: Digest,
    /// The folder, read-only for everybody.
    pub(crate) path: PathBuf,
    state: Mutex<State>,
    /// Told when somebody has done with unpacking it.
    changed: Condvar,
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    /// Somebody unpacks it.
    Unpacking,
    InPlace(LayerFacts),
}

/// The unpacking of a layer; it is absent again if this is dropped before it is in place.
struct Unpacking<'a> {
    layer: &'a Layer,
}

impl Layer {
    fn new(diff_id: Digest, path: PathBuf, facts: Option<LayerFacts>) -> Arc<Self> {
        let state = Mutex::new(facts.map_or(State::Absent, State::InPlace));
        Arc::new(Self { diff_id, path, state, changed: Condvar::new() })
    }

    /// Returns what is known of the layer if it is in place.
    pub(crate) fn facts(&self) -> Option<LayerFacts> {
        match *self.lock() {
            State::InPlace(facts) => Some(facts),
            State::Absent | State::Unpacking => None,
        }
    }

    /// Begins to unpack the layer, unless it is in place; while somebody else unpacks it, waits as long as `go_on` says.
    fn begin(&self, go_on: impl Fn() -> Result<()>) -> Result<Option<Unpacking<'_>>> {
        let mut state = self.lock();
        loop {
            match *state {
                State::InPlace(_) => return Ok(None),
                State::Absent => {
                    *state = State::Unpacking;
                    return Ok(Some(Unpacking { layer: self }));
                }
                State::Unpacking => {
                    go_on()?;
                    let woken = self.changed.wait_timeout(state, LOOK_AGAIN_AFTER);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unpacking<'_> {
    fn end(self, facts: LayerFacts) {
        *self.layer.lock() = State::InPlace(facts);
    }
}

impl Drop for Unpacking<'_> {
    fn drop(&mut self) {
        let mut state = self.layer.lock();
        if *state == State::Unpacking {
            *state = State::Absent;
        }
        self.layer.changed.notify_all();
    }
}

/// Tells which layers' folders are used by containers, whether or not this server has started them.
pub type LayersInUse = Arc<dyn Fn() -> io::Result<HashSet<PathBuf>> + Send + Sync>;

/// All layers of a store.
pub(crate) struct Layers {
    dir: PathBuf,
    in_use: LayersInUse,
    known: Mutex<HashMap<Digest, Arc<Layer>>>,
}

impl Layers {
    /// Opens the folder `dir` and removes from it all but the `known` layers and those in use.
    pub(crate) fn open(
        dir: PathBuf,
        known: &HashMap<Digest, LayerFacts>,
        in_use: LayersInUse,
        staging: &Staging,
    ) -> Result<Self> {
        // Only the owner may look inside: layers hold set-user-id programs.
        make_private_folder(&dir)?;
        let used = in_use().map_err(disk("find the containers that use", &dir))?;
        let mut found = HashMap::new();
        for entry in fs::read_dir(&dir).map_err(disk("list", &dir))? {
            let path = entry.map_err(disk("list", &dir))?.path();
            let diff_id = path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex);
            match diff_id.filter(|diff_id| known.contains_key(diff_id) || used.contains(&path)) {
                Some(diff_id) => {
                    // Nothing is known of one that is only in use, until an image brings it again.
                    found.insert(diff_id, Layer::new(diff_id, path, known.get(&diff_id).copied()));
                }
                None => staging.discard(&path)?,
            }
        }
        Ok(Self { dir, in_use, known: Mutex::new(found) })
    }

    /// Returns the layer if it is in place.
    pub(crate) fn get(&self, diff_id: Digest) -> Option<Arc<Layer>> {
        self.lock().get(&diff_id).filter(|layer| layer.facts().is_some()).cloned()
    }

    /// Returns the layer `diff_id`, and has it unpacked by `unpack` if it is not in place. Of several callers at once
    /// one unpacks and the others wait, as long as `go_on` does not fail: who unpacks may fetch from a slow registry.
    /// `unpack` must have checked that what it made is `diff_id`. Says also whether the layer was there already.
    pub(crate) fn get_or_unpack(
        &self,
        diff_id: Digest,
        go_on: impl Fn() -> Result<()>,
        unpack: impl FnOnce() -> Result<(Staged, LayerFacts)>,
    ) -> Result<(Arc<Layer>, bool)> {
        let layer = self.claim(diff_id);
        let Some(unpacking) = layer.begin(go_on)? else { return Ok((layer, true)) };
        let (staged, facts) = unpack()?;
        // The folder of a layer in use is there, and was whole when it was put in place; it is left to its user.
        if !layer.path.exists() {
            staged.rename_to(&layer.path)?;
        }
        unpacking.end(facts);
        Ok((layer, false))
    }

    /// Finds the folders of layers that containers use.
    pub(crate) fn in_use(&self) -> Result<HashSet<PathBuf>> {
        (self.in_use)().map_err(disk("find the containers that use", &self.dir))
    }

    /// Adds up the bytes of all layers that are in place.
    pub(crate) fn bytes(&self) -> u64 {
        let known = self.lock().values().cloned().collect::<Vec<_>>();
        known.iter().filter_map(|layer| layer.facts()).map(|facts| facts.size_bytes).sum()
    }

    /// Removes the layers that nobody holds and no container uses.
    pub(crate) fn sweep(&self, staging: &Staging) -> Result<()> {
        // Containers that start from now on come with an image, and hold their layers by it.
        let used = self.in_use()?;
        let mut doomed = Vec::new();
        let mut known = self.lock();
        // A claim is made under the same lock: who is alone here stays alone.
        for (_, layer) in known.extract_if(|_, layer| Arc::strong_count(layer) == 1 && !used.contains(&layer.path)) {
            doomed.push(staging.move_in(&layer.path)?);
        }
        drop(known);
        doomed.into_iter().flatten().try_for_each(Staged::remove)
    }

    fn claim(&self, diff_id: Digest) -> Arc<Layer> {
        let new = || Layer::new(diff_id, self.dir.join(diff_id.hex()), None);
        Arc::clone(self.lock().entry(diff_id).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Layer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder where things are made before they are put in place, on the same file system. Emptied at open.
pub(crate) struct Staging {
    dir: PathBuf,
    next: AtomicU64,
}

impl Staging {
    /// Opens the folder `dir` and empties it.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk("empty", &dir)(error)),
            _ => make_private_folder(&dir)?,
        }
        Ok(Self { dir, next: AtomicU64::new(0) })
    }

    /// Returns the folder that everything is made in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes an empty folder with the mode of a root folder.
    pub(crate) fn folder(&self) -> Result<Staged> {
        let staged = self.reserve();
        fs::create_dir(&staged.path).map_err(disk("make", &staged.path))?;
        set_mode(&staged.path, 0o755)?;
        Ok(staged)
    }

    /// Reserves a name that nobody else gets.
    pub(crate) fn reserve(&self) -> Staged {
        Staged { path: self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string()), is_left: false }
    }

    /// Puts a file with `content` at `path`, at once and whole.
    pub(crate) fn replace(&self, path: &Path, content: &[u8]) -> Result<()> {
        let staged = self.reserve();
        fs::write(&staged.path, content).map_err(disk("write", &staged.path))?;
        staged.rename_to(path)
    }

    /// Takes what is at `path` out of its place at once, and then removes it.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        self.move_in(path)?.map_or(Ok(()), Staged::remove)
    }

    fn move_in(&self, path: &Path) -> Result<Option<Staged>> {
        let mut staged = self.reserve();
        match fs::rename(path, &staged.path) {
            Ok(()) => Ok(Some(staged)),
            Err(error) => {
                staged.is_left = true;
                if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(disk("remove", path)(error)) }
            }
        }
    }
}

/// Something in the staging folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    is_left: bool,
}

impl Staged {
    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn rename_to(mut self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path).map_err(disk("put in place", path))?;
        self.is_left = true;
        Ok(())
    }

    fn remove(mut self) -> Result<()> {
        self.is_left = true;
        remove_any(&self.path).map_err(disk("remove", &self.path))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_left
            && let Err(error) = remove_any(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "left something in the staging folder");
        }
    }
}

fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn make_private_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(disk("make", path))?;
    set_mode(path, 0o700)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(path, permissions).map_err(disk("set the mode of", path))
}

#[cfg(test)]
mod tests {
    use node::ImageError;

    use super::*;

    #[test]
    fn waiting_for_a_layer_that_somebody_unpacks_ends_when_nobody_wants_it_or_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path().join("staging")).unwrap();
        let in_use: LayersInUse = Arc::new(|| Ok(HashSet::new()));
        let layers = Layers::open(folder.path().join("layers"), &HashMap::new(), in_use, &staging).unwrap();
        let diff_id = Digest::of(b"layer");
        let facts = LayerFacts { size_bytes: 1, tar_bytes: 2 };
        let cancelled = || ImageError::Cancelled { reference: String::new() };
        let layers = &layers;
        std::thread::scope(|scope| {
            let (tell, reached) = std::sync::mpsc::channel();
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let slow = scope.spawn(move || {
                let fail = || {
                    tell.send(()).unwrap();
                    ended.recv().unwrap();
                    Err(cancelled())
                };
                layers.get_or_unpack(diff_id, || Ok(()), fail).unwrap_err()
            });
            reached.recv().unwrap();
            let unwanted = layers.get_or_unpack(diff_id, || Err(cancelled()), || unreachable!("somebody does it"));
            assert!(matches!(unwanted, Err(ImageError::Cancelled { .. })));
            assert!(layers.get(diff_id).is_none(), "it is not in place");
            let patient = scope.spawn(|| layers.get_or_unpack(diff_id, || Ok(()), || Ok((staging.folder()?, facts))));
            end.send(()).unwrap();
            slow.join().unwrap();
            let (layer, was_there) = patient.join().unwrap().unwrap();
            assert_eq!((layer.facts(), was_there, layer.path.is_dir()), (Some(facts), false, true));
        });
        let again = layers.get_or_unpack(diff_id, || Ok(()), || unreachable!("it is there"));
        assert!(again.unwrap().1);
    }
}
