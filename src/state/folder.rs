//! Where the files beside the journal are: in the data directory, or in a temporary folder of a state that is not kept.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::{Entropy, SystemEntropy};

/// Only the server's user may look into a folder.
const FOLDER_MODE: u32 = 0o700;
/// How often a name for a temporary folder is drawn before giving up.
const TEMPORARY_TRIES: usize = 8;

/// A folder for files of one kind.
#[derive(Debug)]
pub(crate) struct Folder {
    /// What its files are, as in the name of a temporary folder.
    kind: &'static str,
    kept: Option<PathBuf>,
    /// The folder of a state that is not kept, from its first file on.
    temporary: Mutex<Option<Temporary>>,
}

#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    /// Held locked for as long as this process uses the folder; others remove folders that nobody holds.
    _lock: File,
}

impl Folder {
    /// Makes a temporary folder once a file needs it, unless it is told where files are kept.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, kept: None, temporary: Mutex::default() }
    }

    /// Keeps files in a folder, which is made when it is needed.
    pub(crate) fn keep_in(&mut self, folder: PathBuf) {
        self.kept = Some(folder);
    }

    /// Returns where files are kept; none if they are not.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    /// Returns where files are put.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let mut temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*temporary {
            return Ok(made.path.clone());
        }
        let made = Temporary::make(&std::env::temp_dir(), &format!("neargate-{}-", self.kind))?;
        Ok(temporary.insert(made).path.clone())
    }
}

impl Temporary {
    /// Makes a folder, and removes those of processes that were killed.
    fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        for path in entries(parent)? {
            let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
            let is_left = is_ours && open_folder(&path).is_ok_and(|folder| folder.try_lock().is_ok());
            if is_left && let Err(error) = fs::remove_dir_all(&path) {
                tracing::debug!(%error, path = %path.display(), "a folder of a former server stays");
            }
        }
        for _ in 0..TEMPORARY_TRIES {
            let path = parent.join(format!("{prefix}{}", new_name()));
            DirBuilder::new().mode(FOLDER_MODE).create(&path)?;
            // Somebody who tidies up may have been faster.
            let lock = match open_folder(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
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

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Lists a folder; one that is not there has nothing in it.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Names of files must differ from those of earlier runs, so they are never the predictable ones of a test.
pub(crate) fn new_name() -> String {
    format!("{:032x}", SystemEntropy.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_folders_go_with_their_process_and_those_left_by_others_too() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("neargate-things-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("x"), "x").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = parent.path().join("neargate-things-link");
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        let pipe = parent.path().join("neargate-things-pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let first = Temporary::make(parent.path(), "neargate-things-").unwrap();
        let second = Temporary::make(parent.path(), "neargate-things-").unwrap();
        assert!(!left.exists() && first.path.exists() && second.path.exists());
        drop(first);
        for other in [&link, &pipe] {
            fs::remove_file(other).expect("what is no folder is nobody's");
        }
        assert!(elsewhere.path().exists());
        assert_eq!(entries(parent.path()).unwrap(), std::slice::from_ref(&second.path));
    }
}
