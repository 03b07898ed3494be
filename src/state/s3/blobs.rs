//! Where the bytes of objects are: a file each, under a name that nobody chose.
//!
//! A file is written under `incoming/`, moved to `blobs/`, and only then named by a row; a row goes before its file. So
//! whenever the server is killed, what is left over is files that no row names, and opening the store removes them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder::{Folder, entries, make_folder, new_name};

/// The name of a file: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(String);

impl std::fmt::Debug for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of all objects.
#[derive(Debug)]
pub struct Blobs {
    folder: Folder,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { folder: Folder::new("objects") }
    }
}

impl Blobs {
    /// Keeps files in a folder, which is made when it is needed.
    pub(crate) fn keep_in(&mut self, folder: PathBuf) {
        self.folder.keep_in(folder);
    }

    /// Makes a file for a body that is to be received. Who makes it moves it with [`Blobs::keep`] or removes it.
    pub fn create(&self) -> io::Result<(PathBuf, File)> {
        let folder = self.folder.path()?.join("incoming");
        make_folder(&folder)?;
        let path = folder.join(new_name());
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok((path, file))
    }

    /// Takes a received file over. It is removed the next time the store is opened unless a row names it by then.
    pub fn keep(&self, received: &Path) -> io::Result<BlobId> {
        let (id, path) = self.new_blob()?;
        fs::rename(received, path)?;
        Ok(id)
    }

    /// Gives a file a second name: a copy that costs nothing, as files never change.
    pub fn copy(&self, id: &BlobId) -> io::Result<BlobId> {
        let (copy, path) = self.new_blob()?;
        fs::hard_link(self.path(id)?, path)?;
        Ok(copy)
    }

    /// Returns where a file is.
    pub fn path(&self, id: &BlobId) -> io::Result<PathBuf> {
        Ok(self.group(id)?.join(&id.0))
    }

    /// Returns the folder of a file.
    fn group(&self, id: &BlobId) -> io::Result<PathBuf> {
        Ok(self.folder.path()?.join("blobs").join(id.0.get(..2).unwrap_or_default()))
    }

    /// Makes a name, and the folder for a file of it.
    fn new_blob(&self) -> io::Result<(BlobId, PathBuf)> {
        let id = BlobId(new_name());
        make_folder(&self.group(&id)?)?;
        let path = self.path(&id)?;
        Ok((id, path))
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) fn remove(&self, id: &BlobId) {
        let removed = self.path(id).and_then(fs::remove_file);
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, blob = ?id, "the file of an object is not removed");
        }
    }

    /// Removes the files that no row names.
    pub(crate) fn sweep(&self, named: &HashSet<BlobId>) -> io::Result<()> {
        let Some(folder) = self.folder.kept() else { return Ok(()) };
        let groups = entries(&folder.join("blobs"))?;
        let incoming = entries(&folder.join("incoming"))?;
        for path in incoming {
            fs::remove_file(path)?;
        }
        for group in groups {
            for path in entries(&group)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !named.contains(&BlobId(name.to_owned())) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn filled(blobs: &Blobs, text: &str) -> BlobId {
        let (path, mut file) = blobs.create().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        blobs.keep(&path).unwrap()
    }

    #[test]
    fn files_that_no_row_names_are_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::default();
        blobs.keep_in(folder.path().join("objects"));
        let (kept, lost) = (filled(&blobs, "a"), filled(&blobs, "b"));
        let copy = blobs.copy(&lost).unwrap();
        let (received, _) = blobs.create().unwrap();
        blobs.sweep(&HashSet::from([kept.clone(), copy.clone()])).unwrap();
        assert_eq!(fs::read_to_string(blobs.path(&kept).unwrap()).unwrap(), "a");
        assert_eq!(fs::read_to_string(blobs.path(&copy).unwrap()).unwrap(), "b");
        assert!(!blobs.path(&lost).unwrap().exists() && !received.exists());
        blobs.remove(&kept);
        blobs.remove(&kept);
        assert!(!blobs.path(&kept).unwrap().exists());
    }
}
