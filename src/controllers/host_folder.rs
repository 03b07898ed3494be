//! Folders of the host that tasks on instances may mount.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A folder of the host that tasks on instances may mount, with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFolder {
    /// As it was named: absolute, without `.` and `..`.
    named: PathBuf,
    /// Where it really is.
    real: PathBuf,
}

impl HostFolder {
    /// Finds a folder.
    ///
    /// # Errors
    ///
    /// If the path is not absolute, or there is no folder.
    pub fn find(path: &Path) -> io::Result<Self> {
        let named = plain(path).ok_or_else(|| invalid("the path must be absolute, and without `..`"))?;
        let real = std::fs::canonicalize(path)?;
        if real.is_dir() { Ok(Self { named, real }) } else { Err(invalid("it is no folder")) }
    }

    /// Returns where a path of the host lies, if that is in this folder: the folder, and the path below it. What links in
    /// the folder lead out of it is for whoever opens the path to see.
    pub(crate) fn place(&self, path: &str) -> Option<(PathBuf, PathBuf)> {
        let path = plain(Path::new(path))?;
        let below = [&self.named, &self.real].into_iter().find_map(|folder| path.strip_prefix(folder).ok())?;
        Some((self.real.clone(), below.to_owned()))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Returns an absolute path without `.`; none if it is not absolute, or goes up anywhere.
fn plain(path: &Path) -> Option<PathBuf> {
    let goes_up = path.components().any(|component| component == Component::ParentDir);
    (path.is_absolute() && !goes_up).then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_is_found_by_either_of_its_names() {
        let outside = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(outside.path()).unwrap();
        let data = real.join("data");
        std::fs::create_dir(&data).unwrap();
        let link = real.join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let folder = HostFolder::find(&link).unwrap();
        let place = |path: &Path| folder.place(path.to_str().unwrap());
        let found = |below: &str| Some((data.clone(), PathBuf::from(below)));
        assert_eq!(place(&link.join("a/./b")), found("a/b"));
        assert_eq!(place(&data.join("a")), found("a"));
        assert_eq!(place(&data), found(""));
        for other in [real.clone(), real.join("data2"), data.join("../x"), data.join("a/../b"), "data".into()] {
            assert_eq!(place(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_folder_must_be_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/no/such/folder"), Path::new("tmp"), Path::new("/tmp/..")] {
            assert!(HostFolder::find(path).is_err(), "{path:?}");
        }
    }
}
