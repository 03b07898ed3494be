//! Where the bytes of layers and manifests are: a file each, under its digest, whoever's it is.
//!
//! Bytes are received into `incoming/`, and moved to `blobs/` once their digest is known to be right; only then a row names
//! them. A row goes before its file. So whenever the server is killed, no row names a file that is not whole, and what is
//! left over is files that no row names; opening the store removes them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Digest;
use crate::folder::{Folder, entries, make_folder, new_name};

/// The files of all registries.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: Folder,
    /// How many bytes of the disk must stay free.
    free_bytes_min: Arc<AtomicU64>,
}

/// How many bytes of the disk are left to the records of this server, unless [`super::Ecr::require_free`] says otherwise.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// After how many bytes of an upload it is looked again how many are left.
const LOOK_AGAIN_AFTER_BYTES: u64 = 16 * 1024 * 1024;

/// Room on the disk for bytes that come in.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    free_bytes_min: Arc<AtomicU64>,
    taken_bytes: u64,
}

impl Room {
    /// Notes that `bytes` are about to be written. Fails as a full disk does, if too few were left when it was last looked.
    pub(super) fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.taken_bytes < LOOK_AGAIN_AFTER_BYTES {
            return Ok(());
        }
        self.look()?;
        self.taken_bytes = 0;
        Ok(())
    }

    fn look(&self) -> io::Result<()> {
        let found = rustix::fs::statvfs(&self.folder)?;
        match found.f_bavail.saturating_mul(found.f_frsize) < self.free_bytes_min.load(Ordering::Relaxed) {
            true => Err(rustix::io::Errno::NOSPC.into()),
            false => Ok(()),
        }
    }
}

impl Default for Blobs {
    fn default() -> Self {
        Self { folder: Folder::new("ecr"), free_bytes_min: Arc::new(AtomicU64::new(FREE_BYTES_MIN)) }
    }
}

impl Blobs {
    /// Keeps files in a folder, which is made when it is needed.
    pub(super) fn keep_in(&mut self, folder: PathBuf) {
        self.folder.keep_in(folder);
    }

    pub(super) fn require_free(&self, bytes: u64) {
        self.free_bytes_min.store(bytes, Ordering::Relaxed);
    }

    /// Looks whether there is room for bytes. Blocks on the disk.
    pub(super) fn room(&self) -> io::Result<Room> {
        let folder = self.folder.path()?.join("incoming");
        make_folder(&folder)?;
        let room = Room { folder, free_bytes_min: Arc::clone(&self.free_bytes_min), taken_bytes: 0 };
        room.look()?;
        Ok(room)
    }

    /// Returns where the file of an upload is.
    pub(super) fn incoming(&self, id: &str) -> io::Result<PathBuf> {
        let folder = self.folder.path()?.join("incoming");
        make_folder(&folder)?;
        Ok(folder.join(id))
    }

    /// Writes some bytes into a file that nobody else knows; it is to be given to [`Blobs::keep`].
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        self.room()?;
        let path = self.incoming(&new_name())?;
        let written = File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        written.inspect_err(|_| remove(&path))?;
        Ok(path)
    }

    /// Takes over a file whose bytes have a digest.
    pub(super) fn keep(&self, received: &Path, digest: &Digest) -> io::Result<()> {
        let path = self.path(digest)?;
        path.parent().map_or(Ok(()), make_folder)?;
        fs::rename(received, path)
    }

    /// Returns where the file of a digest is.
    pub(super) fn path(&self, digest: &Digest) -> io::Result<PathBuf> {
        let name = digest.hex();
        Ok(self.folder.path()?.join("blobs").join(&name[..2]).join(name))
    }

    /// Removes a file; one that is gone already is no error.
    pub(super) fn remove(&self, digest: &Digest) {
        match self.path(digest) {
            Ok(path) => remove(&path),
            Err(error) => tracing::warn!(%error, %digest, "the file of a layer or manifest is not removed"),
        }
    }

    /// Returns how many bytes each file has.
    pub(super) fn sizes(&self) -> io::Result<HashMap<Digest, u64>> {
        let mut sizes = HashMap::new();
        for path in self.files()? {
            let metadata = fs::symlink_metadata(&path)?;
            if let Some(digest) = digest_of(&path)
                && metadata.is_file()
                && self.path(&digest)? == path
            {
                sizes.insert(digest, metadata.len());
            }
        }
        Ok(sizes)
    }

    /// Removes the files that no row names.
    pub(super) fn sweep(&self, is_blob: impl Fn(&Digest) -> bool, is_upload: impl Fn(&str) -> bool) -> io::Result<()> {
        let Some(folder) = self.folder.kept() else { return Ok(()) };
        for path in entries(&folder.join("incoming"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_upload(name) {
                remove(&path);
            }
        }
        for path in self.files()? {
            let is_named = digest_of(&path)
                .is_some_and(|digest| is_blob(&digest) && self.path(&digest).is_ok_and(|known| known == path));
            if !is_named {
                remove(&path);
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let Some(folder) = self.folder.kept() else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for group in entries(&folder.join("blobs"))? {
            if group.is_dir() {
                files.extend(entries(&group)?);
            } else {
                files.push(group);
            }
        }
        Ok(files)
    }
}

/// Removes a file that no row names; one that is gone already is no error.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file of a registry is not removed");
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    Digest::from_hex(path.file_name()?.to_str()?)
}
