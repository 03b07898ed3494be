//! Documents of images by digest: manifests and configurations.
//!
//! A blob is written beside its place and renamed into it, so that after `kill -9` it is there whole or not at all.
//! Nothing is synced: a power cut may damage the store, which is a cache of archives that can be loaded again, and a
//! damaged document is seen by its digest. Layers are not kept as blobs but unpacked (`layers`).

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::{Result, disk};
use crate::layers::Staging;

/// The folder of blobs.
pub(crate) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    /// Opens the folder `dir`, which is made if need be.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(disk("make", &dir))?;
        Ok(Self { dir })
    }

    /// Stores `content` and returns its digest.
    pub(crate) fn put(&self, content: &[u8], staging: &Staging) -> Result<Digest> {
        let digest = Digest::of(content);
        staging.replace(&self.dir.join(digest.hex()), content)?;
        Ok(digest)
    }

    /// Returns the content of `digest`, or nothing if it is missing or is no longer what it was.
    pub(crate) fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(digest.hex());
        match fs::read(&path) {
            Ok(content) => Ok((Digest::of(&content) == digest).then_some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk("read", &path)(error)),
        }
    }

    /// Removes every blob that is not in `kept`.
    pub(crate) fn retain(&self, kept: &HashSet<Digest>) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(disk("list", &self.dir))? {
            let entry = entry.map_err(disk("list", &self.dir))?;
            let digest = entry.file_name().to_str().and_then(Digest::from_hex);
            if !digest.is_some_and(|digest| kept.contains(&digest)) {
                fs::remove_file(entry.path()).map_err(disk("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}
