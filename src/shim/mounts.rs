//! What is mounted in the container: volumes, folders of the host, file systems in memory.
//!
//! All of it is mounted before libcontainer comes, in the root file system as the launcher sees it, because libcontainer
//! takes that with everything below. Only what lies in /dev and /sys has to wait, since libcontainer covers these.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use shim_protocol::{Disk, Mount, MountSource, Request, Tmpfs};

use crate::error::{self, ShimError};
use crate::root::{Root, absolute};
use crate::user::User;
use crate::{copy, idmap, memory};

/// The mode of a volume that the image says nothing about, as Docker has it.
const VOLUME_MODE: u32 = 0o755;
/// Where in the scratch folder stands what libcontainer is to bind.
const STAGED: &str = "mounts";

/// A mount, and the place for it.
struct Planned<'a> {
    destination: PathBuf,
    what: What<'a>,
}

enum What<'a> {
    /// A mount in no namespace yet.
    Folder(OwnedFd),
    Memory(&'a Tmpfs),
}

/// Puts disks where the request wants them, in this mount namespace.
pub(crate) fn attach_disks(disks: &[Disk], mounted: Vec<OwnedFd>) -> Result<(), ShimError> {
    for (disk, mounted) in disks.iter().zip(mounted) {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&mounted, c"", CWD, &disk.mount_point, flags)
            .map_err(ShimError::path("mount a disk at", &disk.mount_point))?;
    }
    Ok(())
}

/// Mounts everything that the request names. Returns source and destination of what libcontainer has to bind.
pub(crate) fn mount_all(
    request: &Request,
    root: &Root,
    user: &User,
    scratch: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<(PathBuf, PathBuf)>, ShimError> {
    let mut planned = Vec::with_capacity(request.mounts.len() + request.tmpfs.len());
    // All volumes are filled before anything is mounted: from the image, not from what covers it.
    for mount in &request.mounts {
        let destination = checked(&mount.destination)?;
        let folder = prepare(mount, &destination, root, user, warnings)?;
        planned.push(Planned { destination, what: What::Folder(folder) });
    }
    for tmpfs in &request.tmpfs {
        planned.push(Planned { destination: checked(&tmpfs.destination)?, what: What::Memory(tmpfs) });
    }
    // What lies inside another one comes after it, in whatever order they were named.
    planned.sort_by_key(|planned| planned.destination.components().count());
    let mut staged = Vec::new();
    for Planned { destination, what } in planned {
        if is_covered_by_libcontainer(&destination) {
            let source = scratch.join(STAGED).join(staged.len().to_string());
            std::fs::create_dir_all(&source).map_err(ShimError::path("make", &source))?;
            let mounted = what.mounted(None)?;
            rustix::mount::move_mount(&mounted, c"", CWD, &source, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(ShimError::path("mount", &destination))?;
            staged.push((source, destination));
        } else {
            attach(root, &destination, what)?;
        }
    }
    Ok(staged)
}

impl What<'_> {
    /// Returns the mount; a file system in memory is made with the mode of the folder that it covers.
    fn mounted(self, mode: Option<u32>) -> Result<OwnedFd, ShimError> {
        match self {
            Self::Folder(mounted) => Ok(mounted),
            Self::Memory(tmpfs) => memory::make(tmpfs, mode),
        }
    }
}

fn checked(destination: &Path) -> Result<PathBuf, ShimError> {
    let destination = absolute(&destination.to_string_lossy());
    if destination == Path::new("/") {
        return Err(ShimError::create("invalid volume specification: destination can't be '/'"));
    }
    if destination.starts_with("/proc") {
        return Err(ShimError::create(format!("{destination:?} cannot be mounted because it is inside /proc")));
    }
    if ["/dev", "/sys"].map(Path::new).contains(&destination.as_path()) {
        return Err(ShimError::create(format!(
            "{destination:?} cannot be mounted because the container needs its own"
        )));
    }
    Ok(destination)
}

fn is_covered_by_libcontainer(destination: &Path) -> bool {
    destination.starts_with("/dev") || destination.starts_with("/sys")
}

/// Makes and fills what is behind a mount, and returns it as a mount in no namespace.
fn prepare(
    mount: &Mount,
    destination: &Path,
    root: &Root,
    user: &User,
    warnings: &mut Vec<String>,
) -> Result<OwnedFd, ShimError> {
    let (folder, squash) = match &mount.source {
        MountSource::Volume { folder } => (open_volume(folder, destination, root)?, None),
        MountSource::Directory { path, below, owner, squash } => (open_directory(path, below, *owner)?, *squash),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mounted =
        rustix::mount::open_tree(&folder, c"", flags).map_err(ShimError::path("mount the source of", destination))?;
    let mut attributes = libc::MOUNT_ATTR_NODEV;
    if mount.is_read_only {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    set_attributes(&mounted, attributes, None).map_err(ShimError::path("restrict the mount at", destination))?;
    if let Some(squash) = squash.filter(|squash| *squash != (user.uid, user.gid)) {
        let mapped = idmap::namespace(user, squash).and_then(|namespace| set_attributes(&mounted, 0, Some(&namespace)));
        if let Err(error) = mapped {
            let path = destination.display();
            warnings.push(format!("users are not mapped in {path}: the file system or the kernel cannot: {error}"));
        }
    }
    Ok(mounted)
}

/// Sets attributes of a mount, and the user namespace that its ids are seen through.
fn set_attributes(mounted: &OwnedFd, attributes: u64, ids: Option<&OwnedFd>) -> io::Result<()> {
    let mut wanted = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if let Some(ids) = ids {
        wanted.attr_set |= libc::MOUNT_ATTR_IDMAP;
        wanted.userns_fd = u64::from(ids.as_raw_fd().unsigned_abs());
    }
    // SAFETY: the kernel reads the path and the structure, which live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mounted.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens a volume. While it is empty, it takes what the image has at its destination. The lock is for another container that
/// mounts it at the same time.
fn open_volume(folder: &Path, destination: &Path, root: &Root) -> Result<OwnedFd, ShimError> {
    let at = |action| move |error: io::Error| ShimError::path(action, folder)(error);
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(ShimError::path("make", parent))?;
    }
    match rustix::fs::mkdirat(CWD, folder, Mode::from(VOLUME_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(at("make the volume")(error.into())),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let volume =
        rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(ShimError::path("open the volume", folder))?;
    rustix::fs::flock(&volume, FlockOperation::LockExclusive).map_err(ShimError::path("lock the volume", folder))?;
    if let Ok(content) = root.open(destination, OFlags::RDONLY | OFlags::DIRECTORY)
        && copy::is_empty(&volume).map_err(at("read the volume"))?
    {
        copy::tree(&content, &volume).inspect_err(|_| empty(folder)).map_err(|error| {
            ShimError::create(format!(
                "cannot copy the image's {} into the volume: {}",
                destination.display(),
                error::chain(&error)
            ))
        })?;
    }
    Ok(volume)
}

/// Takes out of a volume what an unfinished copy has left, so that the next one begins anew.
fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // As far as it goes: the start fails already, and for a reason that is more telling.
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
}

fn open_directory(path: &Path, below: &Path, owner: Option<(u32, u32, u32)>) -> Result<OwnedFd, ShimError> {
    let below = absolute(&below.to_string_lossy());
    let is_itself = below == Path::new("/");
    let parent = if is_itself { path.parent().unwrap_or(path) } else { path };
    std::fs::create_dir_all(parent).map_err(ShimError::path("make", parent))?;
    let (holder, inside) = match (is_itself, path.file_name()) {
        (true, Some(name)) => (parent, Path::new(name)),
        (true, None) | (false, _) => (path, below.as_path()),
    };
    Root::of(holder)?.make_directory(inside, owner)
}

/// Mounts at the destination, which is made where it is missing.
fn attach(root: &Root, destination: &Path, what: What<'_>) -> Result<(), ShimError> {
    let existing = root.open(destination, OFlags::PATH);
    let (place, mode) = match existing {
        Ok(place) => {
            let stat = rustix::fs::fstat(&place).map_err(ShimError::path("look at", destination))?;
            if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
                return Err(ShimError::create(format!(
                    "cannot mount at {destination:?}: not a directory: are you trying to mount a directory onto a file \
                     (or vice-versa)?"
                )));
            }
            (place, Some(stat.st_mode & 0o7777))
        }
        Err(Errno::NOENT) => (root.make_directory(destination, None)?, None),
        Err(error) => return Err(ShimError::path("open the mount point", destination)(error)),
    };
    let mounted = what.mounted(mode)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&mounted, c"", &place, c"", flags).map_err(ShimError::path("mount at", destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_the_container_needs_itself_are_refused() {
        for (given, place) in [("/data", "/data"), ("data/../x/", "/x"), ("/dev/shm", "/dev/shm")] {
            assert_eq!(checked(Path::new(given)).unwrap(), Path::new(place));
        }
        for given in ["/", "", "/..", "/proc", "/proc/sys", "/x/../proc", "/dev", "/sys/"] {
            assert!(checked(Path::new(given)).is_err(), "{given}");
        }
    }

    #[test]
    fn a_folder_is_looked_up_inside_the_one_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("efs");
        std::fs::create_dir(&held).unwrap();
        std::os::unix::fs::symlink(folder.path().join("outside"), held.join("link")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        assert!(open_directory(&held, Path::new("/link/made"), None).is_err(), "a link to nothing inside");
        assert!(!folder.path().join("outside/made").exists());
        open_directory(&held, Path::new("a/b"), Some((7, 8, 0o2750))).unwrap();
        let made = std::fs::metadata(held.join("a/b")).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (7, 8, 0o2750));
        assert_eq!(std::fs::metadata(held.join("a")).unwrap().mode() & 0o777, 0o755);
        open_directory(&held.join("new"), Path::new(""), Some((9, 9, 0o700))).unwrap();
        assert_eq!(std::fs::metadata(held.join("new")).unwrap().uid(), 9);
    }
}
