//! Network namespaces: files under `/run/netns`, as iproute2 has them, so that `ip netns` works on them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use base::{TaskId, VpcId};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

const DIRECTORY: &str = "/run/netns";
/// The network namespace of the thread that opens it.
const OWN: &str = "/proc/thread-self/ns/net";
const VPC_PREFIX: &str = "vpc-";
/// A file name that is longer is refused by the kernel; this leaves room for the prefix.
const ID_BYTES_MAX: usize = 128;
const INSTANCE_DIGITS: usize = 6;

/// Does something inside the network namespace, on a thread of its own, and returns what it returns. A socket that is
/// made there stays there.
///
/// # Errors
///
/// The namespace cannot be opened or entered, or no thread can be made.
pub fn within<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let file = File::open(namespace)?;
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("network".to_owned()).spawn_scoped(scope, move || {
            enter(file.as_fd())?;
            Ok(work())
        })?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into the namespace for good: only for threads that end soon.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// Opens the calling thread's namespace.
pub(crate) fn own() -> io::Result<File> {
    File::open(OWN)
}

/// Makes a namespace, names it `path` and moves the calling thread into it for good.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    prepare()?;
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
    let made = unshare(CloneFlags::CLONE_NEWNET)
        .and_then(|()| mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>))
        .map_err(io::Error::from)
        .and_then(|()| own());
    if made.is_err() {
        remove(path)?;
    }
    made
}

/// Takes the name away; the kernel takes the namespace and all interfaces in it, once nobody is in it, off the path. A
/// name that does not exist is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Killed between making the file and mounting: there is a file and no mount.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Locks the directory against other processes that choose names or link addresses; ends when dropped.
pub(crate) fn lock() -> io::Result<File> {
    prepare()?;
    let directory = File::open(DIRECTORY)?;
    directory.lock()?;
    Ok(directory)
}

/// Makes the directory a shared mount as iproute2 does, so that a name that one of the two takes away is gone for
/// everybody who has a copy of the mounts.
fn prepare() -> io::Result<()> {
    static PREPARED: OnceLock<()> = OnceLock::new();
    if PREPARED.get().is_some() {
        return Ok(());
    }
    fs::create_dir_all(DIRECTORY)?;
    let directory = File::open(DIRECTORY)?;
    directory.lock()?;
    let none = None::<&str>;
    let share = || mount(none, DIRECTORY, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none);
    match share() {
        Err(Errno::EINVAL) => {
            mount(Some(DIRECTORY), DIRECTORY, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
            share()?;
        }
        other => other?,
    }
    PREPARED.get_or_init(|| ());
    Ok(())
}

/// The names that one installation of Neargate gives its namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

/// An identifier that cannot be part of a name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot be part of a file name")]
pub(crate) struct Unusable(String);

impl Names {
    /// Takes the installation's name: six hexadecimal digits.
    pub(crate) fn new(instance: &str) -> Result<Self, Unusable> {
        if instance.len() != INSTANCE_DIGITS || !instance.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Unusable(instance.to_owned()));
        }
        Ok(Self { prefix: format!("neargate-{instance}-") })
    }

    /// Returns the file of a VPC's namespace.
    pub(crate) fn vpc(&self, vpc: &VpcId) -> Result<PathBuf, Unusable> {
        if !vpc.as_str().starts_with(VPC_PREFIX) {
            return Err(Unusable(vpc.to_string()));
        }
        self.path(vpc.as_str())
    }

    /// Returns the file of a sandbox's namespace.
    pub(crate) fn sandbox(&self, sandbox: &TaskId) -> Result<PathBuf, Unusable> {
        if sandbox.as_str().starts_with(VPC_PREFIX) {
            return Err(Unusable(sandbox.to_string()));
        }
        self.path(sandbox.as_str())
    }

    /// Lists the sandboxes that have a namespace.
    pub(crate) fn sandboxes(&self) -> io::Result<Vec<TaskId>> {
        let ids = self.list()?.into_iter().filter(|id| !id.starts_with(VPC_PREFIX));
        Ok(ids.map(TaskId::new).collect())
    }

    /// Lists the VPCs that have a namespace.
    pub(crate) fn vpcs(&self) -> io::Result<Vec<VpcId>> {
        let ids = self.list()?.into_iter().filter(|id| id.starts_with(VPC_PREFIX));
        Ok(ids.map(VpcId::new).collect())
    }

    /// Returns the files of all sandboxes and VPCs.
    pub(crate) fn all(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.list()?.into_iter().map(|id| Path::new(DIRECTORY).join(format!("{}{id}", self.prefix))).collect())
    }

    fn path(&self, id: &str) -> Result<PathBuf, Unusable> {
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !is_plain {
            return Err(Unusable(id.to_owned()));
        }
        Ok(Path::new(DIRECTORY).join(format!("{}{id}", self.prefix)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_prefix(&self.prefix)).map(str::to_owned));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_instance_and_owner() {
        let names = Names::new("0a1b2c").unwrap();
        assert_eq!(names.vpc(&VpcId::new("vpc-1")).unwrap(), Path::new("/run/netns/neargate-0a1b2c-vpc-1"));
        assert_eq!(names.sandbox(&TaskId::new("feed")).unwrap(), Path::new("/run/netns/neargate-0a1b2c-feed"));
    }

    #[test]
    fn an_id_that_leads_out_of_the_folder_is_refused() {
        let names = Names::new("0a1b2c").unwrap();
        for id in ["", "..", "a/b", "a\0b", "vpc-1", &"a".repeat(ID_BYTES_MAX + 1)] {
            assert!(names.sandbox(&TaskId::new(id)).is_err(), "{id:?}");
        }
        for id in ["", "eni-1", "vpc-/../x"] {
            assert!(names.vpc(&VpcId::new(id)).is_err(), "{id:?}");
        }
    }

    #[test]
    fn an_instance_is_six_hexadecimal_digits() {
        for instance in ["", "12345", "1234567", "12345g", "../../"] {
            assert!(Names::new(instance).is_err(), "{instance:?}");
        }
    }

    #[test]
    fn removing_a_name_that_does_not_exist_is_no_error() {
        remove(Path::new("/run/netns/neargate-000000-none")).unwrap();
    }

    #[test]
    fn work_within_a_namespace_that_does_not_exist_is_an_error() {
        let error = within(Path::new("/run/netns/neargate-000000-none"), || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
