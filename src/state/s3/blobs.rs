//! Where the bytes of objects are: a file each, under a name that nobody chose.
//!
//! A file is written under `incoming/`, moved to `blobs/`, and only then named by a row; a row goes before its file. So
//! whenever the server is killed, what is left over is files that no row names, and opening the store removes them.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::{Entropy, SystemEntropy};
use serde::{Deserialize, Serialize};

/// Only the server's user may look into the folder.
const FOLDER_MODE: u32 = 0o700;
/// How the names of temporary folders begin.
const TEMPORARY_PREFIX: &str = "neargate-objects-";
/// How often a name for a temporary folder is drawn before giving up.
const TEMPORARY_TRIES: usize = 8;

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
#[derive(Debug, Default)]
pub struct Blobs {
    folder: Option<PathBuf>,
    /// The folder of a state that is not kept, from its first file on.
    temporary: Mutex<Option<Temporary>>,
}

#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    /// Held locked for as long as this process uses the folder; others remove folders that nobody holds.
    _lock: File,
}

impl Blobs {
    /// Keeps files in a folder, which is made when it is needed.
    pub(crate) fn keep_in(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    /// Makes a file for a body that is to be received. Who makes it moves it with [`Blobs::keep`] or removes it.
    pub fn create(&self) -> io::Result<(PathBuf, File)> {
        let folder = self.folder()?.join("incoming");
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
        Ok(self.folder()?.join("blobs").join(id.0.get(..2).unwrap_or_default()))
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
        let Some(folder) = &self.folder else { return Ok(()) };
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

    fn folder(&self) -> io::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let mut temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*temporary {
            return Ok(made.path.clone());
        }
        let made = Temporary::make(&std::env::temp_dir())?;
        Ok(temporary.insert(made).path.clone())
    }
}

impl Temporary {
    /// Makes a folder, and removes those of processes that were killed.
    fn make(parent: &Path) -> io::Result<Self> {
        for path in entries(parent)? {
            let is_ours =
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
            let is_left = is_ours && open_folder(&path).is_ok_and(|folder| folder.try_lock().is_ok());
            if is_left && let Err(error) = fs::remove_dir_all(&path) {
                tracing::debug!(%error, path = %path.display(), "a folder of a former server stays");
            }
        }
        for _ in 0..TEMPORARY_TRIES {
            let path = parent.join(format!("{TEMPORARY_PREFIX}{}", new_name()));
            DirBuilder::new().mode(FOLDER_MODE).create(&path)?;
            let lock = open_folder(&path)?;
            // Somebody who tidies up may have been faster.
            if lock.try_lock().is_ok() && path.exists() {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other("no temporary folder can be locked"))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "a temporary folder stays");
        }
    }
}

/// Opens a folder where anybody may make files: what is none is not waited for, and no link is followed.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Lists a folder; one that is not there has nothing in it.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Names of files must differ from those of earlier runs, so they are never the predictable ones of a test.
fn new_name() -> String {
    format!("{:032x}", SystemEntropy.next())
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

    #[test]
    fn temporary_folders_go_with_their_process_and_those_left_by_others_too() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(format!("{TEMPORARY_PREFIX}left"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("x"), "x").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = parent.path().join(format!("{TEMPORARY_PREFIX}link"));
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        let pipe = parent.path().join(format!("{TEMPORARY_PREFIX}pipe"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let first = Temporary::make(parent.path()).unwrap();
        let second = Temporary::make(parent.path()).unwrap();
        assert!(!left.exists() && first.path.exists() && second.path.exists());
        drop(first);
        for other in [&link, &pipe] {
            fs::remove_file(other).expect("what is no folder is nobody's");
        }
        assert!(elsewhere.path().exists());
        assert_eq!(entries(parent.path()).unwrap(), std::slice::from_ref(&second.path));
    }
}
