//! The root file system: layers under a writable layer, in the launcher's own mount namespace, and what is looked up in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use shim_protocol::layout;

use crate::error::ShimError;

/// The most that is read of a passwd or group file.
const ACCOUNT_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often a path is looked up that leads through `..` while somebody mounts or renames anything on this machine: then the
/// kernel cannot tell that it stays inside, and asks to be asked again.
const OPEN_TRIES: u32 = 1_000;

/// A mounted root file system. Paths in it are resolved as its own processes will: a symbolic link cannot lead out.
pub(crate) struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Mounts the layers and the writable layer in the folder `writable` at `<folder>/root`.
    pub(crate) fn mount(layers: &[PathBuf], writable: &Path, folder: &Path) -> Result<Self, ShimError> {
        let layers = layers.iter().map(|layer| open_directory(layer)).collect::<Result<Vec<_>, _>>()?;
        let upper = make_and_open(&writable.join(layout::UPPER))?;
        // What an earlier run of the container has left there would keep the kernel from mounting it again.
        let work = writable.join(layout::WORK);
        match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(ShimError::path("empty", &work)(error)),
            _ => {}
        }
        let work = make_and_open(&work)?;
        let target = folder.join(layout::ROOT);
        let options = overlay_options(&layers, &upper, &work);
        mount("overlay", &target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .map_err(ShimError::path("mount the layers at", &target))?;
        Ok(Self { directory: open_directory(&target)? })
    }

    /// Takes a folder for a root file system.
    pub(crate) fn of(directory: &Path) -> Result<Self, ShimError> {
        Ok(Self { directory: make_and_open(directory)? })
    }

    /// Reads a file of the image; an image without it has an empty one.
    pub(crate) fn read_account_file(&self, path: &str) -> Result<String, ShimError> {
        // Without NONBLOCK an image could hold the start up with a named pipe.
        let file = match self.open(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
            Err(error) => return Err(ShimError::path("open the image's", Path::new(path))(error)),
        };
        let mut bytes = Vec::new();
        match File::from(file).take(ACCOUNT_FILE_BYTES_MAX).read_to_end(&mut bytes) {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(String::new()),
            Err(error) => Err(ShimError::path("read the image's", Path::new(path))(error)),
        }
    }

    /// Opens a folder. Makes it and those above it, where they are missing: root's with mode 0755, and itself with the user
    /// id, group id and mode of `owner`.
    pub(crate) fn make_directory(&self, path: &Path, owner: Option<(u32, u32, u32)>) -> Result<OwnedFd, ShimError> {
        let at = ShimError::path::<Errno>;
        let names = normal_components(path);
        let mut done = PathBuf::new();
        for (index, name) in names.iter().enumerate() {
            let next = done.join(name);
            match self.open(&next, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    let parent = self.open(&done, OFlags::PATH | OFlags::DIRECTORY).map_err(at("open", &done))?;
                    match rustix::fs::mkdirat(&parent, *name, Mode::from(0o755)) {
                        // Another container may have made it at the same time.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(at("make the folder", path)(error)),
                    }
                    if let Some((uid, gid, mode)) = owner.filter(|_| index + 1 == names.len()) {
                        let made = self.open(&next, OFlags::RDONLY | OFlags::DIRECTORY).map_err(at("open", &next))?;
                        rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                            .and_then(|()| rustix::fs::fchmod(&made, Mode::from_raw_mode(mode)))
                            .map_err(at("give away the folder", path))?;
                    }
                }
                Err(error) => return Err(at("open the folder", path)(error)),
            }
            done = next;
        }
        self.open(&done, OFlags::RDONLY | OFlags::DIRECTORY).map_err(at("open the folder", path))
    }

    /// Opens what is at a path, which is looked up as the container's processes will.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN) if tries < OPEN_TRIES => {}
                result => return result,
            }
        }
    }
}

/// Makes a path absolute and takes `.` and `..` out of it.
pub(crate) fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(normal_components(Path::new(path)).into_iter().collect::<PathBuf>())
}

fn normal_components(path: &Path) -> Vec<&OsStr> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => {
                names.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}

fn make_and_open(path: &Path) -> Result<OwnedFd, ShimError> {
    std::fs::create_dir_all(path).map_err(ShimError::path("make the folder", path))?;
    open_directory(path)
}

fn open_directory(path: &Path) -> Result<OwnedFd, ShimError> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(ShimError::path("open the folder", path))
}

/// Names the folders by their descriptors: option strings are limited to a page, and no path has to be escaped.
fn overlay_options(layers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd) -> std::ffi::CString {
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower = layers.iter().map(name).collect::<Vec<_>>().join(":");
    // `volatile`: nobody needs the writable layer after a power cut, and without it unmounting syncs the whole disk.
    let options = format!("lowerdir={lower},upperdir={},workdir={},volatile", name(upper), name(work));
    std::ffi::CString::new(options).expect("numbers have no zero byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_of(directory: &Path) -> Root {
        Root { directory: open_directory(directory).unwrap() }
    }

    #[test]
    fn working_directories_become_absolute_and_plain() {
        for (given, expected) in
            [("", "/"), ("/", "/"), ("srv", "/srv"), ("/a/./b/../c", "/a/c"), ("/../../etc", "/etc")]
        {
            assert_eq!(absolute(given), Path::new(expected), "{given}");
        }
    }

    #[test]
    fn a_symbolic_link_does_not_lead_out_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("secret");
        std::fs::write(&outside, "root:x:0:0:outside:/:/bin/sh").unwrap();
        let image = folder.path().join("image");
        std::fs::create_dir_all(image.join("etc")).unwrap();
        std::os::unix::fs::symlink(&outside, image.join("etc/passwd")).unwrap();
        assert_eq!(root_of(&image).read_account_file("etc/passwd").unwrap(), "");
    }

    #[test]
    fn missing_folders_are_made_inside_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::create_dir_all(image.join("real")).unwrap();
        std::os::unix::fs::symlink("/real", image.join("link")).unwrap();
        let root = root_of(&image);
        root.make_directory(Path::new("/link/a/b"), None).unwrap();
        root.make_directory(Path::new("/link/a/b"), None).unwrap();
        assert!(image.join("real/a/b").is_dir());
    }

    #[test]
    fn a_file_in_the_way_of_the_working_directory_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("srv"), "").unwrap();
        assert!(root_of(folder.path()).make_directory(Path::new("/srv/app"), None).is_err());
    }
}
