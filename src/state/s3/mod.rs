//! The records of Amazon S3, and the store of its objects' bytes.
//!
//! Buckets have one name space for all accounts and regions, so every table here lies in one scope. Changes are made one
//! at a time: that an object is put into a bucket while it is being deleted, or under a condition that no longer holds,
//! cannot happen.

mod blobs;
mod content;
mod discard;
mod listing;
mod object;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base::{AccountId, Region, Scope};

pub use blobs::{BlobId, Blobs};
pub use content::{ReadError, WriteError};
use discard::Discarded;
pub use discard::Held;
pub use listing::{Entry, Listing, ListingRequest};
pub use object::{Bucket, Description, Object, ObjectChecksum, Part, Piece, Upload};

use crate::Table;
use crate::journal::{Journal, JournalError};

/// What names an object: bucket and key.
pub type ObjectName = (String, String);
/// What names an upload: bucket, key, and the id that was given to the client.
pub type UploadName = (String, String, String);

/// The tables of Amazon S3.
#[derive(Debug)]
pub struct S3 {
    buckets: Table<String, Bucket>,
    objects: Table<ObjectName, Object>,
    uploads: Table<UploadName, Upload>,
    parts: Table<(String, u32), Part>,
    blobs: Blobs,
    /// Held while something is changed.
    changing: Mutex<()>,
    discarded: Arc<Discarded>,
    journal: Option<Arc<Journal>>,
}

/// Why a change is not made.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// The bucket is not there.
    NoSuchBucket,
    /// The object or the upload is not there.
    NotFound,
    /// The bucket is not empty.
    NotEmpty,
    /// The caller's own condition does not hold.
    Other(E),
}

/// The one scope of all tables.
fn everywhere() -> &'static Scope {
    static SCOPE: OnceLock<Scope> = OnceLock::new();
    SCOPE.get_or_init(|| Scope::new(AccountId::DEFAULT, Region::default()))
}

impl S3 {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            buckets: Table::new("s3.buckets", journal),
            objects: Table::new("s3.objects", journal),
            uploads: Table::new("s3.uploads", journal),
            parts: Table::new("s3.parts", journal),
            blobs: Blobs::default(),
            changing: Mutex::default(),
            discarded: Arc::default(),
            journal: journal.cloned(),
        }
    }

    /// Reads the tables, and removes the files of `folder` that none of their rows names.
    pub(crate) fn load(&mut self, journal: &Journal, folder: std::path::PathBuf) -> Result<(), JournalError> {
        self.buckets.load(journal)?;
        self.objects.load(journal)?;
        self.uploads.load(journal)?;
        self.parts.load(journal)?;
        self.blobs.keep_in(folder);
        let named = self.pieces().into_iter().map(|piece| piece.blob).collect::<HashSet<_>>();
        if let Err(error) = self.blobs.sweep(&named) {
            tracing::warn!(%error, "files of objects that are gone stay");
        }
        Ok(())
    }

    pub(crate) fn clear(&self) {
        let _changing = self.change();
        let pieces = self.pieces();
        self.parts.clear();
        self.uploads.clear();
        self.objects.clear();
        self.buckets.clear();
        self.discard(&pieces);
    }

    /// Returns every piece that a row names.
    fn pieces(&self) -> Vec<Piece> {
        let objects = self.objects.walk(everywhere(), None).flat_map(|(_, object)| object.pieces.clone());
        let parts = self.parts.walk(everywhere(), None).flat_map(|(_, part)| part.pieces.clone());
        objects.chain(parts).collect()
    }

    /// Returns the store of bytes.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Returns a bucket.
    pub fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        self.buckets.get(everywhere(), &name.to_owned())
    }

    /// Returns the buckets of an account, in the order of their names, from the one after `after` on.
    pub fn buckets_of(&self, owner: AccountId, after: Option<String>) -> impl Iterator<Item = (String, Arc<Bucket>)> {
        self.buckets.walk(everywhere(), after).filter(move |(_, bucket)| bucket.owner == owner)
    }

    /// Makes a bucket, or returns the one that has the name.
    pub fn create_bucket(&self, name: &str, bucket: Bucket) -> Result<(), Arc<Bucket>> {
        let _changing = self.change();
        let (found, is_new) = self.buckets.get_or_insert_with(everywhere(), &name.to_owned(), || bucket);
        if is_new { Ok(()) } else { Err(found) }
    }

    /// Removes a bucket that has no objects; uploads that were never completed go with it.
    pub fn delete_bucket(&self, name: &str) -> Result<(), Refusal<std::convert::Infallible>> {
        let _changing = self.change();
        let name = name.to_owned();
        if self.buckets.get(everywhere(), &name).is_none() {
            return Err(Refusal::NoSuchBucket);
        }
        let mut objects = self.objects.walk_from(everywhere(), (name.clone(), String::new()));
        if objects.next().is_some_and(|((bucket, _), _)| bucket == name) {
            return Err(Refusal::NotEmpty);
        }
        let uploads = self.uploads_of(&name, None).map(|(upload, _)| upload).collect::<Vec<_>>();
        for upload in uploads {
            self.forget_upload(&upload, &HashSet::new());
        }
        self.buckets.remove(everywhere(), &name);
        Ok(())
    }

    /// Returns an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.objects.get(everywhere(), &(bucket.to_owned(), key.to_owned()))
    }

    /// Puts an object in, replacing one that is there, if `condition` agrees to what is there. The bytes of an object that
    /// is refused are discarded.
    pub fn put_object<E>(
        &self,
        bucket: &str,
        key: &str,
        object: Object,
        condition: impl FnOnce(Option<&Object>) -> Result<(), E>,
    ) -> Result<(), Refusal<E>> {
        let _changing = self.change();
        let name = (bucket.to_owned(), key.to_owned());
        let replaced = self.objects.get(everywhere(), &name);
        let refusal = match self.bucket(bucket) {
            None => Some(Refusal::NoSuchBucket),
            Some(_) => condition(replaced.as_deref()).err().map(Refusal::Other),
        };
        if let Some(refusal) = refusal {
            self.discard(&object.pieces);
            return Err(refusal);
        }
        self.objects.insert(everywhere(), &name, object);
        if let Some(replaced) = replaced {
            self.discard(&replaced.pieces);
        }
        Ok(())
    }

    /// Changes what is said about an object, not its bytes. None if there is no such object.
    pub fn update_object(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Object)) -> Option<Arc<Object>> {
        let _changing = self.change();
        self.objects.update(everywhere(), &(bucket.to_owned(), key.to_owned()), change)
    }

    /// Removes an object if `condition` agrees to it; one that is not there is no error, and no condition is asked.
    pub fn delete_object<E>(
        &self,
        bucket: &str,
        key: &str,
        condition: impl FnOnce(&Object) -> Result<(), E>,
    ) -> Result<(), Refusal<E>> {
        let _changing = self.change();
        if self.bucket(bucket).is_none() {
            return Err(Refusal::NoSuchBucket);
        }
        let name = (bucket.to_owned(), key.to_owned());
        let Some(object) = self.objects.get(everywhere(), &name) else { return Ok(()) };
        condition(&object).map_err(Refusal::Other)?;
        self.objects.remove(everywhere(), &name);
        self.discard(&object.pieces);
        Ok(())
    }

    /// Begins an upload.
    pub fn create_upload(&self, name: &UploadName, upload: Upload) -> Result<(), Refusal<std::convert::Infallible>> {
        let _changing = self.change();
        self.bucket(&name.0).ok_or(Refusal::NoSuchBucket)?;
        self.uploads.insert(everywhere(), name, upload);
        Ok(())
    }

    /// Returns an upload.
    pub fn upload(&self, name: &UploadName) -> Option<Arc<Upload>> {
        self.uploads.get(everywhere(), name)
    }

    /// Returns the uploads of a bucket, by key and id, from the one after `after` (key and id) on.
    pub fn uploads_of(
        &self,
        bucket: &str,
        after: Option<(String, String)>,
    ) -> impl Iterator<Item = (UploadName, Arc<Upload>)> + use<'_> {
        let bucket = bucket.to_owned();
        let (key, id) = after.clone().unwrap_or_default();
        let walk = self.uploads.walk_from(everywhere(), (bucket.clone(), key, id));
        let walk = walk.take_while(move |((of, _, _), _)| *of == bucket);
        walk.filter(move |((_, key, id), _)| after.as_ref().is_none_or(|after| (key, id) != (&after.0, &after.1)))
    }

    /// Puts a part into an upload, replacing one of the same number. A part of no upload is discarded.
    pub fn put_part(
        &self,
        name: &UploadName,
        number: u32,
        part: Part,
    ) -> Result<(), Refusal<std::convert::Infallible>> {
        let _changing = self.change();
        if self.upload(name).is_none() {
            self.discard(&part.pieces);
            return Err(Refusal::NotFound);
        }
        let key = (name.2.clone(), number);
        let replaced = self.parts.get(everywhere(), &key);
        self.parts.insert(everywhere(), &key, part);
        if let Some(replaced) = replaced {
            self.discard(&replaced.pieces);
        }
        Ok(())
    }

    /// Returns the parts of an upload, by their numbers, from the one after `after` on.
    pub fn parts_of(&self, upload_id: &str, after: u32) -> impl Iterator<Item = (u32, Arc<Part>)> + use<'_> {
        let upload_id = upload_id.to_owned();
        let walk = self.parts.walk(everywhere(), Some((upload_id.clone(), after)));
        walk.take_while(move |((of, _), _)| *of == upload_id).map(|((_, number), part)| (number, part))
    }

    /// Makes an object of an upload: `join` is given the upload, its parts and what has the object's name so far, and
    /// returns the object. Parts that are not in it are discarded. The journal keeps all of this or nothing.
    pub fn complete_upload<E>(
        &self,
        name: &UploadName,
        join: impl FnOnce(&Upload, &[(u32, Arc<Part>)], Option<&Object>) -> Result<Object, E>,
    ) -> Result<Arc<Object>, Refusal<E>> {
        let _changing = self.change();
        let _together = self.journal.as_ref().map(|journal| journal.hold());
        let upload = self.upload(name).ok_or(Refusal::NotFound)?;
        let parts = self.parts_of(&name.2, 0).collect::<Vec<_>>();
        let object_name = (name.0.clone(), name.1.clone());
        let replaced = self.objects.get(everywhere(), &object_name);
        let object = join(&upload, &parts, replaced.as_deref()).map_err(Refusal::Other)?;
        let object = self.objects.insert(everywhere(), &object_name, object);
        let used = object.pieces.iter().map(|piece| &piece.blob).collect();
        self.forget_upload(name, &used);
        if let Some(replaced) = replaced {
            self.discard(&replaced.pieces);
        }
        Ok(object)
    }

    /// Gives an upload up.
    pub fn abort_upload(&self, name: &UploadName) -> Result<(), Refusal<std::convert::Infallible>> {
        let _changing = self.change();
        self.upload(name).ok_or(Refusal::NotFound)?;
        self.forget_upload(name, &HashSet::new());
        Ok(())
    }

    fn forget_upload(&self, name: &UploadName, used: &HashSet<&BlobId>) {
        for (number, part) in self.parts_of(&name.2, 0).collect::<Vec<_>>() {
            self.parts.remove(everywhere(), &(name.2.clone(), number));
            let unused = part.pieces.iter().filter(|piece| !used.contains(&piece.blob)).cloned().collect::<Vec<_>>();
            self.discard(&unused);
        }
        self.uploads.remove(everywhere(), name);
    }

    /// Lets nobody else change anything.
    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
