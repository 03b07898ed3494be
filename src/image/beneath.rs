//! A folder that paths from strangers cannot leave.
//!
//! Every path is resolved by the kernel as if the folder were `/` (`openat2` with `RESOLVE_IN_ROOT`): symbolic links that
//! the archive itself has made are followed as they would be in the container, absolute ones and `..` included, and
//! none leads outside. This is how docker's own unpacking, in a chroot, sees them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The mode of folders that an archive uses but does not describe.
const FOLDER_MODE: u32 = 0o755;
/// How often the kernel may be asked again when renames elsewhere on the machine disturb a look-up.
const RESOLVE_TRIES: usize = 1_000;

/// A folder as the root of everything below it.
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Opens the folder at `path`, which is trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?))
    }

    /// Opens the folder at `path` beneath the root; the empty path is the root itself.
    pub(crate) fn folder(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.resolve(path, FOLDER)
    }

    /// Opens the folder at `path` beneath the root and makes what is missing of it.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let mut at = self.folder(Path::new(""))?;
        let mut done = PathBuf::new();
        for component in path {
            done.push(component);
            at = match self.folder(&done) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&at, component, Mode::from_raw_mode(FOLDER_MODE))?;
                    self.folder(&done)?
                }
                found => found?,
            };
        }
        Ok(at)
    }

    /// Opens the regular file at `path` beneath the root for reading.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        // Not blocking, so that a pipe in the place of a file is seen instead of waited for.
        let file = File::from(self.resolve(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("not a regular file")),
        }
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) if tries < RESOLVE_TRIES => {}
                result => return result,
            }
        }
    }
}

/// Removes `name` from `folder` with all that is below it, following no link. What is not there is no error.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        result => return result,
    }
    let inner = rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    for entry in Dir::read_from(&inner)? {
        let entry = entry?;
        let entry_name = entry.file_name();
        if entry_name != c"." && entry_name != c".." {
            remove(inner.as_fd(), std::os::unix::ffi::OsStrExt::from_bytes(entry_name.to_bytes()))?;
        }
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

/// Returns the kind of what `name` is in `folder`, following no link.
pub(crate) fn kind(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
