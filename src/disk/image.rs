//! Making images.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, RenameFlags, SeekFrom};
use rustix::io::Errno;

use crate::unsupported::unsupported_if;

/// The smallest disk, in bytes: what ext4 needs for itself, and something to write to.
pub const SIZE_BYTES_MIN: u64 = 1024 * 1024;
/// Where e2fsprogs puts it; a server's PATH is not always root's.
const PROGRAMS: [&str; 3] = ["mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"];
/// No journal: nobody needs these disks after the machine has failed. Nothing kept for growing, which they never do, or for
/// root, which a container's user may be. The tables are left as the holes that they are.
const OPTIONS: [&str; 8] =
    ["-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"];
/// The most that an empty image of any size takes. A file system that cannot tell holes from data says that it is all.
const EMPTY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Makes an image of that size at `path`, which it comes to be at only when it is whole. It takes the disk's space only as
/// it is written to.
///
/// # Errors
///
/// If there is no `mkfs.ext4` (`Unsupported`), or the file cannot be made.
pub fn make(path: &Path, size_bytes: u64) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let made = File::create(&unfinished)
        .and_then(|file| file.set_len(size_bytes.max(SIZE_BYTES_MIN)))
        .and_then(|()| format(&unfinished))
        .and_then(|()| fs::rename(&unfinished, path));
    made.inspect_err(|_| {
        // What matters is why it could not be made.
        let _ = fs::remove_file(&unfinished);
    })
}

/// Makes an image that is the same as an empty one, at `path` only when it is whole; what is there already stays. It is
/// made much faster so: `mkfs.ext4` waits for the disk.
///
/// # Errors
///
/// If a file cannot be read or made, or its file system cannot have images (`Unsupported`).
pub fn copy(empty: &Path, path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let copied = File::open(empty).and_then(|source| copy_data(&source, &File::create(&unfinished)?)).and_then(|()| {
        let renamed = rustix::fs::renameat_with(CWD, &unfinished, CWD, path, RenameFlags::NOREPLACE);
        renamed.map_err(|error| unsupported_if(&[Errno::INVAL], "rename the image")(error.into()))
    });
    copied.inspect_err(|_| {
        // What matters is why it could not be copied.
        let _ = fs::remove_file(&unfinished);
    })
}

fn copy_data(source: &File, target: &File) -> io::Result<()> {
    let size_bytes = source.metadata()?.len();
    target.set_len(size_bytes)?;
    let (mut end, mut copied) = (0, 0);
    while end < size_bytes {
        let start = match rustix::fs::seek(source, SeekFrom::Data(end)) {
            Ok(start) => start,
            // There is nothing but a hole.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        end = rustix::fs::seek(source, SeekFrom::Hole(start))?;
        copied += end - start;
        let length = usize::try_from(end - start).ok().filter(|_| copied <= EMPTY_BYTES_MAX);
        let no_holes = || io::Error::new(ErrorKind::Unsupported, "it is not empty, or its file system has no holes");
        let length = length.ok_or_else(no_holes)?;
        let mut bytes = vec![0; length];
        source.read_exact_at(&mut bytes, start)?;
        target.write_all_at(&bytes, start)?;
    }
    Ok(())
}

fn format(path: &Path) -> io::Result<()> {
    for program in PROGRAMS {
        let run = Command::new(program).args(OPTIONS).arg(path).stdin(Stdio::null()).output();
        return match run {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => Err(error),
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr);
                Err(io::Error::other(format!("mkfs.ext4: {}", said.trim())))
            }
        };
    }
    Err(io::Error::new(ErrorKind::Unsupported, "there is no mkfs.ext4 (install e2fsprogs)"))
}
