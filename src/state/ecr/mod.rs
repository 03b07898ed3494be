//! The records of Amazon ECR, and the store of its layers and manifests.
//!
//! An image or a layer is in a repository; the bytes of it are one file, however many repositories have it. Changes of what
//! is in repositories are made one at a time: that a layer goes while the image is put that names it cannot happen.

mod blobs;
mod digest;
mod image;
mod images;
mod layers;
pub mod lifecycle;
mod manifest;
mod registry_settings;
mod replication;
mod repository;
mod templates;
mod tidying;
mod token;
mod uploads;

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Scope, Timestamp};

pub use digest::Digest;
pub use image::{ContentName, Descriptor, Image, ImageTag, Layer, Reference, Upload, UploadSender, is_tag};
pub use images::{Change, DeleteImageError, Deleted, Push, Pushed, PutImageError};
pub use layers::{DeleteLayerError, MountError};
pub use manifest::{DOCKER_LIST, DOCKER_MANIFEST, ManifestError, OCI_INDEX, OCI_MANIFEST, read_manifest};
pub use registry_settings::*;
pub use repository::*;
pub use templates::MadeFor;
pub use token::{TokenClaims, Tokens, USER};
pub use uploads::{BeginError, CompleteError, Completed, Mark, ResumeError, Writing};

use blobs::Blobs;
use tidying::Watcher;
use uploads::Receiving;

use crate::Table;
use crate::journal::{Journal, JournalError};

/// What names an upload: repository, and the id that was given to the client.
pub type UploadName = (String, String);

/// The tables of Amazon ECR and ECR Public.
#[derive(Debug)]
pub struct Ecr {
    /// Repositories, by name. They are made and removed with [`Ecr::create_repository`] and [`Ecr::delete_repository`].
    pub repositories: Table<String, Repository>,
    /// Public repositories, by name.
    pub public_repositories: Table<String, Repository>,
    /// What is chosen for a whole registry, under [`RegistrySettings::KEY`].
    pub settings: Table<String, RegistrySettings>,
    /// Rules of pull-through caches, by prefix.
    pub pull_through_cache_rules: Table<String, PullThroughCacheRule>,
    /// Templates of repositories, by prefix.
    pub creation_templates: Table<String, RepositoryCreationTemplate>,
    images: Table<ContentName, Image>,
    /// By repository and tag.
    tags: Table<(String, String), ImageTag>,
    layers: Table<ContentName, Layer>,
    uploads: Table<UploadName, Upload>,
    /// Makes and checks the passwords with which clients log in.
    pub tokens: Tokens,
    blobs: Blobs,
    /// Held while something is changed.
    files: Mutex<Files>,
    receiving: Arc<Receiving>,
    watcher: Watcher,
    journal: Option<Arc<Journal>>,
}

/// Which files are named by rows.
#[derive(Debug, Default)]
struct Files {
    /// How many rows name a file.
    named: HashMap<Digest, usize>,
    /// Files that no row names any more, each with the moment of the journal that must be kept before it may go: a server
    /// that is killed earlier comes back with the row.
    discarded: HashMap<Digest, u64>,
    /// When uploads and layers that nobody wants were last looked for.
    expired_at: Option<Timestamp>,
}

/// Why a repository is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRepositoryError {
    /// It is not there.
    NotFound,
    /// There are images in it.
    NotEmpty,
}

impl Ecr {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            repositories: Table::new("ecr.repositories", journal),
            public_repositories: Table::new("ecr.public_repositories", journal),
            settings: Table::new("ecr.settings", journal),
            pull_through_cache_rules: Table::new("ecr.pull_through_cache_rules", journal),
            creation_templates: Table::new("ecr.creation_templates", journal),
            images: Table::new("ecr.images", journal),
            tags: Table::new("ecr.tags", journal),
            layers: Table::new("ecr.layers", journal),
            uploads: Table::new("ecr.uploads", journal),
            tokens: Tokens::new(journal),
            blobs: Blobs::default(),
            files: Mutex::default(),
            receiving: Arc::default(),
            watcher: Watcher::default(),
            journal: journal.cloned(),
        }
    }

    /// Reads the tables, and removes the files of `folder` that none of their rows names, and the rows whose files are not
    /// whole: the machine lost its power, or somebody removed them.
    pub(crate) fn load(&mut self, journal: &Journal, folder: std::path::PathBuf) -> Result<(), JournalError> {
        self.repositories.load(journal)?;
        self.public_repositories.load(journal)?;
        self.settings.load(journal)?;
        self.pull_through_cache_rules.load(journal)?;
        self.creation_templates.load(journal)?;
        self.images.load(journal)?;
        self.tags.load(journal)?;
        self.layers.load(journal)?;
        self.uploads.load(journal)?;
        self.tokens.load(journal)?;
        self.blobs.keep_in(folder.clone());
        // Without knowing what names a file, a removal would take files that other rows name.
        self.match_files().map_err(|source| JournalError::Files { folder, source })
    }

    pub(crate) fn clear(&self) {
        let mut files = self.change();
        for (scope, name) in self.repositories.keys() {
            self.empty(&mut files, &scope, &name);
        }
        self.repositories.clear();
        self.public_repositories.clear();
        self.settings.clear();
        self.pull_through_cache_rules.clear();
        self.creation_templates.clear();
        self.tokens.clear();
        self.collect(&mut files);
    }

    /// Says how many bytes of the disk must stay free: with fewer, nothing is taken in.
    pub fn require_free(&self, bytes: u64) {
        self.blobs.require_free(bytes);
    }

    /// Makes a repository, or returns the one that has the name.
    pub fn create_repository(&self, scope: &Scope, repository: Repository) -> Result<(), Arc<Repository>> {
        let _changing = self.change();
        let name = repository.name.clone();
        let (found, is_new) = self.repositories.get_or_insert_with(scope, &name, || repository);
        if is_new { Ok(()) } else { Err(found) }
    }

    /// Removes a repository; with the images in it only if that is `forced`.
    pub fn delete_repository(
        &self,
        scope: &Scope,
        name: &str,
        forced: bool,
    ) -> Result<Arc<Repository>, DeleteRepositoryError> {
        let mut files = self.change();
        let _together = self.journal.as_ref().map(|journal| journal.hold());
        let repository = self.repository(scope, name).ok_or(DeleteRepositoryError::NotFound)?;
        if !forced && self.images_of(scope, name, None).next().is_some() {
            return Err(DeleteRepositoryError::NotEmpty);
        }
        self.empty(&mut files, scope, name);
        self.repositories.remove(scope, &name.to_owned());
        Ok(repository)
    }

    /// Returns a repository.
    pub fn repository(&self, scope: &Scope, name: &str) -> Option<Arc<Repository>> {
        self.repositories.get(scope, &name.to_owned())
    }

    /// Removes everything in a repository.
    fn empty(&self, files: &mut Files, scope: &Scope, name: &str) {
        let start = || Bound::Included((name.to_owned(), String::new()));
        let tags = self.tags.walk_between(scope, None, (start(), Bound::Unbounded));
        for (key, _) in tags.take_while(|((of, _), _)| of == name).collect::<Vec<_>>() {
            self.tags.remove(scope, &key);
        }
        for image in self.images_of(scope, name, None).collect::<Vec<_>>() {
            self.images.remove(scope, &(name.to_owned(), image.digest));
            self.unname(files, &image.digest);
        }
        for (digest, _) in self.layers_of(scope, name).collect::<Vec<_>>() {
            self.remove_layer(files, scope, name, &digest);
        }
        let uploads = self.uploads.walk_between(scope, None, (start(), Bound::Unbounded));
        for (key, _) in uploads.take_while(|((of, _), _)| of == name).collect::<Vec<_>>() {
            self.forget_upload(scope, &key);
        }
    }

    /// Finds rows and files that do not belong together, when the store is opened.
    fn match_files(&self) -> std::io::Result<()> {
        let sizes = self.blobs.sizes()?;
        let mut files = self.lock();
        for (scope, key) in self.images.keys() {
            let Some(image) = self.images.get(&scope, &key) else { continue };
            if sizes.get(&image.digest) == Some(&image.manifest_size) {
                files.name(&image.digest);
                continue;
            }
            tracing::warn!(repository = key.0, digest = %key.1, "the file of a manifest is not whole: its image is gone");
            for tag in self.tags_of_image(&scope, &key.0, &key.1) {
                self.tags.remove(&scope, &(key.0.clone(), tag));
            }
            self.images.remove(&scope, &key);
        }
        for (scope, key) in self.layers.keys() {
            let Some(layer) = self.layers.get(&scope, &key) else { continue };
            if sizes.get(&key.1) == Some(&layer.size) {
                files.name(&key.1);
                continue;
            }
            tracing::warn!(repository = key.0, digest = %key.1, "the file of a layer is not whole: it is gone");
            self.layers.remove(&scope, &key);
        }
        let uploads = self.uploads.keys();
        for (scope, key) in &uploads {
            if !self.blobs.incoming(&key.1)?.exists() {
                self.uploads.remove(scope, key);
            }
        }
        let ids = uploads.into_iter().map(|(_, (_, id))| id).collect::<std::collections::HashSet<_>>();
        self.blobs.sweep(|digest| files.named.contains_key(digest), |id| ids.contains(id))
    }

    /// Names a file in one more row.
    fn name(&self, files: &mut Files, digest: &Digest) {
        files.name(digest);
    }

    /// Names a file in one row less.
    fn unname(&self, files: &mut Files, digest: &Digest) {
        let Some(rows) = files.named.get_mut(digest) else { return };
        *rows -= 1;
        if *rows == 0 {
            files.named.remove(digest);
            let at = self.journal.as_ref().map_or(0, |journal| journal.submitted());
            files.discarded.insert(*digest, at);
            self.watcher.wake();
        }
    }

    /// Removes the files that no row has named for long enough.
    fn collect(&self, files: &mut Files) {
        let is_due = |at: u64| self.journal.as_ref().is_none_or(|journal| journal.has_written(at));
        let gone = files.discarded.extract_if(|_, at| is_due(*at)).map(|(digest, _)| digest).collect::<Vec<_>>();
        gone.iter().for_each(|digest| self.blobs.remove(digest));
    }

    /// Lets nobody else change anything; tidies up first.
    fn change(&self) -> MutexGuard<'_, Files> {
        let mut files = self.lock();
        self.collect(&mut files);
        files
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn name(&mut self, digest: &Digest) {
        *self.named.entry(*digest).or_default() += 1;
        self.discarded.remove(digest);
    }
}

#[cfg(test)]
mod tests;
