//! What is done with layers: they are found, mounted from other repositories, and removed when no image wants them.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Scope, Timestamp};

use super::image::label_of_named;
use super::{Digest, Ecr, Files, Layer};

/// How long a layer that no image names stays after somebody asked for it who may be about to push such an image.
const UNNAMED_LAYER_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long such a layer stays when the last image goes that named it.
const DROPPED_LAYER_KEPT: Duration = Duration::from_secs(60 * 60);
/// How often it is looked for uploads and layers that nobody wants any more.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// How exactly it is known when somebody last asked for a layer: each time more would be a row for the journal.
const WANTED_PRECISION: Duration = Duration::from_secs(10 * 60);

/// Why a layer is not mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// The repository that it is mounted into is not there.
    RepositoryNotFound,
    /// The layer is not where it is mounted from.
    NotFound,
}

/// Why a layer is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteLayerError {
    /// The repository is not there.
    RepositoryNotFound,
    /// The layer is not there.
    NotFound,
    /// An image names it.
    InUse,
}

impl Ecr {
    /// Returns a layer.
    pub fn layer(&self, scope: &Scope, repository: &str, digest: &Digest) -> Option<Arc<Layer>> {
        self.layers.get(scope, &(repository.to_owned(), *digest))
    }

    /// Returns a layer to somebody who may be about to push an image that names it.
    pub fn want_layer(&self, scope: &Scope, repository: &str, digest: &Digest, now: Timestamp) -> Option<Arc<Layer>> {
        let layer = self.layer(scope, repository, digest)?;
        if now.since(layer.wanted_at) < WANTED_PRECISION {
            return Some(layer);
        }
        self.layers.update(scope, &(repository.to_owned(), *digest), |layer| layer.wanted_at = now)
    }

    /// Returns where the bytes of a layer or a manifest are that a row names. They may go with the row.
    pub fn path(&self, digest: &Digest) -> io::Result<PathBuf> {
        self.blobs.path(digest)
    }

    /// Opens a layer: it can be read to its end even if it goes meanwhile. None if it is not there. Blocks on the disk.
    pub fn open_layer(&self, scope: &Scope, repository: &str, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let Some(layer) = self.layer(scope, repository, digest) else { return Ok(None) };
        match File::open(self.blobs.path(digest)?) {
            Ok(file) => Ok(Some((file, layer.size))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the layers of a repository.
    pub fn layers_of(&self, scope: &Scope, repository: &str) -> impl Iterator<Item = (Digest, Arc<Layer>)> + use<'_> {
        let repository = repository.to_owned();
        let start = Bound::Included((repository.clone(), Digest::LEAST));
        let walk = self.layers.walk_between(scope, None, (start, Bound::Unbounded));
        walk.take_while(move |((of, _), _)| *of == repository).map(|((_, digest), layer)| (digest, layer))
    }

    /// Puts a layer of one repository into another: nothing is copied. From no repository in particular, any of the
    /// registry's will do.
    pub fn mount_layer(
        &self,
        scope: &Scope,
        from: Option<&str>,
        into: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Arc<Layer>, MountError> {
        let mut files = self.change();
        self.repository(scope, into).ok_or(MountError::RepositoryNotFound)?;
        if let Some(layer) = self.want_layer(scope, into, digest, now) {
            return Ok(layer);
        }
        let found = match from {
            Some(from) => self.layer(scope, from, digest),
            None if !files.named.contains_key(digest) => None,
            None => self.repositories.walk(scope, None).find_map(|(name, _)| self.layer(scope, &name, digest)),
        };
        let size = found.ok_or(MountError::NotFound)?.size;
        Ok(self.insert_layer(&mut files, scope, into, digest, Layer { size, wanted_at: now }))
    }

    /// Removes a layer that no image of its repository names.
    pub fn delete_layer(&self, scope: &Scope, repository: &str, digest: &Digest) -> Result<(), DeleteLayerError> {
        let mut files = self.change();
        self.repository(scope, repository).ok_or(DeleteLayerError::RepositoryNotFound)?;
        self.layer(scope, repository, digest).ok_or(DeleteLayerError::NotFound)?;
        if self.is_named(scope, repository, digest) {
            return Err(DeleteLayerError::InUse);
        }
        self.remove_layer(&mut files, scope, repository, digest);
        Ok(())
    }

    /// Removes what nobody wants any more: uploads that were left, and layers that no image names.
    pub fn expire(&self, now: Timestamp) {
        let mut files = self.change();
        self.expire_all(&mut files, now);
    }

    /// Looks for what nobody wants any more, now and then.
    pub(super) fn expire_if_due(&self, files: &mut Files, now: Timestamp) {
        if files.expired_at.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
            self.expire_all(files, now);
        }
    }

    fn expire_all(&self, files: &mut Files, now: Timestamp) {
        files.expired_at = Some(now);
        for (scope, key) in self.uploads.keys() {
            let Some(upload) = self.uploads.get(&scope, &key) else { continue };
            if now.since(upload.touched_at) >= Self::UPLOAD_KEPT {
                self.forget_upload(&scope, &key);
            }
        }
        for (scope, (repository, digest)) in self.layers.keys() {
            let layer = self.layer(&scope, &repository, &digest);
            if layer.is_some_and(|layer| now.since(layer.wanted_at) >= UNNAMED_LAYER_KEPT)
                && !self.is_named(&scope, &repository, &digest)
            {
                self.remove_layer(files, &scope, &repository, &digest);
            }
        }
    }

    pub(super) fn insert_layer(
        &self,
        files: &mut Files,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
        layer: Layer,
    ) -> Arc<Layer> {
        files.name(digest);
        self.watcher.wake();
        self.layers.insert(scope, &(repository.to_owned(), *digest), layer)
    }

    pub(super) fn remove_layer(&self, files: &mut Files, scope: &Scope, repository: &str, digest: &Digest) {
        if self.layers.remove(scope, &(repository.to_owned(), *digest)).is_some() {
            self.unname(files, digest);
        }
    }

    /// Removes a layer of an image that went, unless another image names it or somebody may be pushing one.
    pub(super) fn drop_layer_unless_wanted(
        &self,
        files: &mut Files,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
        now: Timestamp,
    ) {
        let layer = self.layer(scope, repository, digest);
        let is_old = layer.is_some_and(|layer| now.since(layer.wanted_at) >= DROPPED_LAYER_KEPT);
        if is_old && !self.is_named(scope, repository, digest) {
            self.remove_layer(files, scope, repository, digest);
        }
    }

    /// Tells whether a manifest of the repository names a layer.
    fn is_named(&self, scope: &Scope, repository: &str, digest: &Digest) -> bool {
        let label = label_of_named(repository, digest);
        self.images.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded)).next().is_some()
    }
}
