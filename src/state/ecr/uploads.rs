//! Layers on their way in: begun, received bit by bit, and completed once their digest is right.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Ids, Scope, Timestamp};
use sha2::{Digest as _, Sha256};

use super::blobs::Room;
use super::{Digest, Ecr, Layer, Upload, UploadName, UploadSender, blobs};

/// How many uploads there may be of one kind of sender that are not completed, in all registries.
const UPLOADS_MAX: usize = 2_048;
/// How many of these may be for one repository: more than clients have at once, by far.
const UPLOADS_PER_REPOSITORY_MAX: usize = 256;
/// How much of a file is read at a time for its digest.
const READ_BYTES: usize = 256 * 1024;

/// What is known of the files of uploads. Of one that is not here its file must be read first.
pub(super) type Receiving = Mutex<HashMap<(Scope, UploadName), Progress>>;

#[derive(Debug)]
pub(super) enum Progress {
    /// Somebody writes.
    Busy,
    /// Nobody writes: the digest and the number of the bytes so far.
    Paused(Sha256, u64),
}

/// Why an upload is not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The repository is not there.
    #[error("the repository does not exist")]
    RepositoryNotFound,
    /// There are too many already.
    #[error("there are {UPLOADS_MAX} uploads already")]
    TooMany,
    /// There are too many already to this repository.
    #[error("there are {UPLOADS_PER_REPOSITORY_MAX} uploads to the repository already")]
    TooManyToRepository,
    /// Its file cannot be made.
    #[error("cannot make a file for an upload")]
    Io(#[from] io::Error),
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It is not there: it was completed, cancelled, left for too long, or never begun.
    #[error("the upload does not exist")]
    NotFound,
    /// Somebody else is sending bytes to it.
    #[error("the upload is being written")]
    Busy,
    /// Its file cannot be read.
    #[error("cannot read the file of an upload")]
    Io(#[from] io::Error),
}

/// Why an upload is not completed.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// It was cancelled meanwhile, or its repository is gone.
    #[error("the upload does not exist")]
    NotFound,
    /// Its bytes have another digest. It stays.
    #[error("the bytes have the digest {calculated}")]
    DigestMismatch {
        /// The digest they have.
        calculated: Digest,
    },
    /// Its file cannot be moved.
    #[error("cannot keep the file of an upload")]
    Io(#[from] io::Error),
}

/// A layer that has been received.
#[derive(Clone, Debug)]
pub struct Completed {
    /// The layer.
    pub layer: Arc<Layer>,
    /// Whether the repository did not have it.
    pub is_new: bool,
}

/// The end of an upload, where bytes are put. Only one can be had at a time; dropping it gives it back.
#[derive(Debug)]
pub struct Writing {
    receiving: Arc<Receiving>,
    scope: Scope,
    name: UploadName,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    room: Room,
    /// Whether the file may have bytes that the digest has not.
    is_torn: bool,
}

/// A place in an upload.
#[derive(Clone, Debug)]
pub struct Mark(Sha256, u64);

impl Writing {
    /// Returns how many bytes there are so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Puts some bytes at the end. Blocks on the disk.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.room.take(bytes.len() as u64)?;
        self.is_torn = true;
        self.file.write_all_at(bytes, self.length)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.is_torn = false;
        Ok(())
    }

    /// Returns what [`Writing::rewind`] comes back to.
    pub fn mark(&self) -> Mark {
        Mark(self.hasher.clone(), self.length)
    }

    /// Takes back what was put there after a mark. Blocks on the disk.
    pub fn rewind(mut self, mark: Mark) {
        let Mark(hasher, length) = mark;
        self.hasher = hasher;
        self.length = length;
        // The bytes after its end go as the file is given back.
        self.is_torn = true;
    }

    /// Returns the digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        Digest::finish(self.hasher.clone())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // The bytes of a write that failed are no part of it.
        self.is_torn = self.is_torn && self.file.set_len(self.length).is_err();
        let key = (self.scope.clone(), self.name.clone());
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        // It is gone if the upload was cancelled or completed.
        if receiving.remove(&key).is_some() && !self.is_torn {
            receiving.insert(key, Progress::Paused(self.hasher.clone(), self.length));
        }
    }
}

impl Ecr {
    /// How long an upload stays to which no bytes come.
    pub const UPLOAD_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

    /// Begins an upload and returns its id.
    pub fn begin_upload(
        &self,
        scope: &Scope,
        repository: &str,
        sender: UploadSender,
        now: Timestamp,
        ids: &Ids,
    ) -> Result<String, BeginError> {
        let mut files = self.change();
        self.expire_if_due(&mut files, now);
        self.repository(scope, repository).ok_or(BeginError::RepositoryNotFound)?;
        let is_theirs = |upload: &Arc<Upload>| upload.sender == sender;
        let mut uploads = self.uploads.keys();
        uploads.retain(|(of, name)| self.uploads.get(of, name).as_ref().is_some_and(is_theirs));
        if uploads.len() >= UPLOADS_MAX {
            return Err(BeginError::TooMany);
        }
        if uploads.iter().filter(|(of, name)| of == scope && name.0 == repository).count() >= UPLOADS_PER_REPOSITORY_MAX
        {
            return Err(BeginError::TooManyToRepository);
        }
        self.blobs.room()?;
        let id = ids.uuid();
        // The ids of tests are predictable, and files may be left of a former process: what was there is gone.
        File::create(self.blobs.incoming(&id)?)?;
        let name = (repository.to_owned(), id.clone());
        self.receiving().insert((scope.clone(), name.clone()), Progress::Paused(Sha256::new(), 0));
        self.uploads.insert(scope, &name, Upload { sender, begun_at: now, touched_at: now });
        self.watcher.wake();
        Ok(id)
    }

    /// Returns how many bytes of an upload are there; none if it is not.
    pub fn upload_length(&self, scope: &Scope, repository: &str, id: &str) -> io::Result<Option<u64>> {
        let name = (repository.to_owned(), id.to_owned());
        if self.uploads.get(scope, &name).is_none() {
            return Ok(None);
        }
        if let Some(Progress::Paused(_, length)) = self.receiving().get(&(scope.clone(), name)) {
            return Ok(Some(*length));
        }
        match std::fs::metadata(self.blobs.incoming(id)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on with an upload. Blocks on the disk: of an upload from before a restart all bytes are read.
    pub fn resume_upload(
        &self,
        scope: &Scope,
        repository: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Writing, ResumeError> {
        let name = (repository.to_owned(), id.to_owned());
        let upload = self.uploads.update(scope, &name, |upload| upload.touched_at = now);
        upload.ok_or(ResumeError::NotFound)?;
        let room = self.blobs.room()?;
        let key = (scope.clone(), name.clone());
        let known = match self.receiving().insert(key.clone(), Progress::Busy) {
            Some(Progress::Busy) => return Err(ResumeError::Busy),
            Some(Progress::Paused(hasher, length)) => Some((hasher, length)),
            None => None,
        };
        let path = self.blobs.incoming(id)?;
        let opened = File::options().read(true).write(true).open(&path).and_then(|file| match known {
            Some((hasher, length)) => Ok((file, hasher, length)),
            None => read(&file).map(|(hasher, length)| (file, hasher, length)),
        });
        let (file, hasher, length) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.receiving().remove(&key);
                let is_gone = error.kind() == io::ErrorKind::NotFound;
                return Err(if is_gone { ResumeError::NotFound } else { ResumeError::Io(error) });
            }
        };
        let receiving = Arc::clone(&self.receiving);
        Ok(Writing { receiving, scope: scope.clone(), name, path, file, hasher, length, room, is_torn: false })
    }

    /// Makes a layer of an upload if its bytes have the digest.
    pub fn complete_upload(
        &self,
        writing: Writing,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Completed, CompleteError> {
        let calculated = writing.digest();
        if calculated != *digest {
            return Err(CompleteError::DigestMismatch { calculated });
        }
        let mut files = self.change();
        let _together = self.journal.as_ref().map(|journal| journal.hold());
        let (repository, _) = &writing.name;
        // With its repository an upload goes too.
        self.uploads.get(&writing.scope, &writing.name).ok_or(CompleteError::NotFound)?;
        let found = self.want_layer(&writing.scope, repository, digest, now);
        let is_new = found.is_none();
        let layer = match found {
            Some(found) => found,
            None => {
                self.blobs.keep(&writing.path, digest)?;
                let layer = Layer { size: writing.length, wanted_at: now };
                self.insert_layer(&mut files, &writing.scope, repository, digest, layer)
            }
        };
        self.forget_upload(&writing.scope, &writing.name);
        Ok(Completed { layer, is_new })
    }

    /// Gives an upload up. Tells whether there was one.
    pub fn cancel_upload(&self, scope: &Scope, repository: &str, id: &str) -> bool {
        let _changing = self.change();
        let name = (repository.to_owned(), id.to_owned());
        let is_there = self.uploads.get(scope, &name).is_some();
        if is_there {
            self.forget_upload(scope, &name);
        }
        is_there
    }

    pub(super) fn forget_upload(&self, scope: &Scope, name: &UploadName) {
        self.uploads.remove(scope, name);
        self.receiving().remove(&(scope.clone(), name.clone()));
        match self.blobs.incoming(&name.1) {
            Ok(path) => blobs::remove(&path),
            Err(error) => tracing::warn!(%error, "the file of an upload is not removed"),
        }
    }

    fn receiving(&self) -> std::sync::MutexGuard<'_, HashMap<(Scope, UploadName), Progress>> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file for its digest.
fn read(file: &File) -> io::Result<(Sha256, u64)> {
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut reader = io::BufReader::with_capacity(READ_BYTES, file);
    let mut piece = vec![0; READ_BYTES];
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            return Ok((hasher, length));
        }
        hasher.update(&piece[..count]);
        length += count as u64;
    }
}
