//! The program that is executed as a shim, out of the reach of containers.
//!
//! Processes of ours run inside of containers for a while, or for as long as they do: an init, and what is executed in
//! them. Their program is to be found there as `/proc/<pid>/exe`, and is the host's own file. It is executed from a mount
//! that nobody can write to, which is in no namespace and goes with the last process that runs from it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;

/// A program that can be executed.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    _mount: Option<OwnedFd>,
}

impl Program {
    /// Finds the program at a path. Where the kernel makes no such mount, with a warning, it is executed from where it is:
    /// then what keeps a container from writing to it is that it is being executed.
    pub(crate) fn open(path: &Path) -> Self {
        match read_only(path) {
            Ok(mount) => Self { path: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(), _mount: Some(mount) },
            Err(error) => {
                tracing::warn!(%error, "shims are executed from a file that can be written to");
                Self { path: path.to_owned(), _mount: None }
            }
        }
    }

    /// Returns where it is executed from, for as long as this exists.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn read_only(path: &Path) -> io::Result<OwnedFd> {
    let mount = rustix::mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let wanted = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the kernel reads the path and the structure, which live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(mount) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_is_executed_from_where_nobody_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("program");
        fs::copy("/bin/sleep", &copy).unwrap();
        let program = Program::open(&copy);
        let mut running = Command::new(program.path()).arg("600").spawn().unwrap();
        // As a container may: found while it is executed, and written to when nobody executes it any more.
        let found = fs::File::open(format!("/proc/{}/exe", running.id())).unwrap();
        drop(program);
        running.kill().unwrap();
        running.wait().unwrap();
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        let refused = fs::OpenOptions::new().write(true).open(again).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
        fs::OpenOptions::new().write(true).open(&copy).unwrap();
    }

    #[test]
    fn what_is_missing_is_said_by_whoever_executes_it() {
        let program = Program::open(Path::new("/no/such/program"));
        assert_eq!(Command::new(program.path()).spawn().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
