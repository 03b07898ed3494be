//! Making images.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

/// The smallest disk, in bytes: what ext4 needs for itself, and something to write to.
pub const SIZE_BYTES_MIN: u64 = 1024 * 1024;
/// Where e2fsprogs puts it; a server's PATH is not always root's.
const PROGRAMS: [&str; 3] = ["mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"];
/// No journal: nobody needs these disks after the machine has failed. No blocks kept for root: a container's user may be
/// it. The tables are left as the holes that they are.
const OPTIONS: [&str; 8] = ["-q", "-F", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"];

/// Makes an image of that size at `path`, which it comes to be at only when it is whole. It takes the disk's space only as
/// it is written to.
///
/// # Errors
///
/// If there is no `mkfs.ext4`, or the file cannot be made.
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
    Err(io::Error::new(ErrorKind::NotFound, "there is no mkfs.ext4 (install e2fsprogs)"))
}
