//! Copying a folder of the image into a volume that is empty: contents, owners, modes, attributes and times.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// The most files and folders that are copied.
const ENTRIES_MAX: u64 = 1_000_000;
/// The most bytes that are copied.
const BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// The deepest folder.
const DEPTH_MAX: usize = 128;
/// The most files with several names that are remembered; further ones become files of their own.
const LINKED_MAX: usize = 1_000;
/// The longest list of attribute names, and the longest value; the kernel's own limits.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;
/// Attributes that are the overlay's own.
const PRIVATE_ATTRIBUTES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Copies what is in the folder `from`, and its own owner and mode, to the folder `to`. What was copied before a failure
/// stays.
pub(crate) fn tree(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let mut copy = Copy { entries: 0, bytes: 0, linked: HashMap::new() };
    copy.folder(from.as_fd(), to.as_fd(), 0)?;
    keep_attributes(from.as_fd(), to.as_fd(), &rustix::fs::fstat(from)?)
}

/// Returns whether there is nothing in a folder.
pub(crate) fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        if !is_self_or_parent(entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Copy {
    entries: u64,
    bytes: u64,
    /// The first copy of a file that has several names, held open to be linked to.
    linked: HashMap<(u64, u64), OwnedFd>,
}

impl Copy {
    fn folder(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("its folders are more than {DEPTH_MAX} deep")));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_self_or_parent(name) {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} files")));
            }
            self.entry(from, to, name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |at: BorrowedFd<'_>, flags| {
            rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from(0o600))
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from(0o700))?;
                let (source, target) =
                    (open(from, OFlags::RDONLY | OFlags::DIRECTORY)?, open(to, OFlags::RDONLY | OFlags::DIRECTORY)?);
                self.folder(source.as_fd(), target.as_fd(), depth + 1)?;
                keep_attributes(source.as_fd(), target.as_fd(), &stat)
            }
            FileType::RegularFile => {
                let key = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.linked.get(&key) {
                    return Ok(rustix::fs::linkat(first, c"", to, name, AtFlags::EMPTY_PATH)?);
                }
                let source = open(from, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let target = open(to, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
                let target = self.content(source.try_clone()?, target)?;
                keep_attributes(source.as_fd(), target.as_fd(), &stat)?;
                if stat.st_nlink > 1 && self.linked.len() < LINKED_MAX {
                    self.linked.insert(key, target.into());
                }
                Ok(())
            }
            FileType::Symlink => {
                let pointed: CString = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&pointed, to, name)?;
                Ok(chown(to, name, &stat)?)
            }
            kind @ (FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice) => {
                // Its mode is given with its name: a later chmod(2) would follow a link that a container of the same task,
                // which sees this folder already, has put in its place.
                let mask = rustix::process::umask(Mode::empty());
                let made = rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev);
                rustix::process::umask(mask);
                made?;
                Ok(chown(to, name, &stat)?)
            }
            // Nobody listens at an image's socket.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn content(&mut self, from: OwnedFd, to: OwnedFd) -> io::Result<File> {
        let mut to = File::from(to);
        let left = BYTES_MAX - self.bytes;
        self.bytes += io::copy(&mut File::from(from).take(left), &mut to)?;
        if self.bytes >= BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
        }
        Ok(to)
    }
}

fn is_self_or_parent(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn chown(folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(folder, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

/// Gives a copy the owner, the mode, the extended attributes and the times of its original. The owner comes first: a change
/// of it takes bits of the mode, and capabilities, away.
fn keep_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut value = Vec::new();
    for name in
        names[..length].split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
    {
        if PRIVATE_ATTRIBUTES.iter().any(|private| name.to_bytes().starts_with(private)) {
            continue;
        }
        value.resize(ATTRIBUTE_BYTES_MAX, 0);
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // Another file system need not have all that the image's has.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let time = |tv_sec, tv_nsec: u64| Timespec { tv_sec, tv_nsec: tv_nsec.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    #[test]
    fn a_copy_has_contents_modes_links_and_times() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/file"), "text").unwrap();
        fs::hard_link(from.join("a/file"), from.join("a/b/same")).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        fs::set_permissions(from.join("a/file"), PermissionsExt::from_mode(0o4751)).unwrap();
        fs::set_permissions(&from, PermissionsExt::from_mode(0o1770)).unwrap();
        assert!(is_empty(&open(&to)).unwrap());
        tree(&open(&from), &open(&to)).unwrap();
        assert!(!is_empty(&open(&to)).unwrap());
        let (before, after) = (from.join("a/file").metadata().unwrap(), to.join("a/file").metadata().unwrap());
        assert_eq!(fs::read_to_string(to.join("a/file")).unwrap(), "text");
        assert_eq!((after.mode(), after.mtime_nsec()), (before.mode(), before.mtime_nsec()));
        assert_eq!(to.join("a/b/same").metadata().unwrap().ino(), after.ino(), "two names of one file stay so");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(to.metadata().unwrap().mode() & 0o7777, 0o1770);
    }

    #[test]
    fn folders_beyond_the_limit_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("d/".repeat(DEPTH_MAX + 2))).unwrap();
        fs::create_dir(&to).unwrap();
        assert!(tree(&open(&from), &open(&to)).is_err());
    }
}
