//! A sandbox's folder: what its containers share as files, and what must be known of it after a restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use node::SandboxSpec;
use rustix::fs::IFlags;
use serde::{Deserialize, Serialize};
use shim_protocol::FileMount;

const RECORD: &str = "sandbox.json";
const CONTAINERS: &str = "containers";
/// The files that every container of a sandbox sees in place of its image's.
const HOSTS: (&str, &str) = ("hosts", "/etc/hosts");
const HOSTNAME: (&str, &str) = ("hostname", "/etc/hostname");
const RESOLV_CONF: (&str, &str) = ("resolv.conf", "/etc/resolv.conf");

/// What a container must know of its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    /// The host name inside.
    pub(crate) hostname: String,
    /// The network namespace to join.
    pub(crate) network_namespace: Option<PathBuf>,
    /// Whether its containers share a process namespace.
    #[serde(default)]
    pub(crate) shares_pids: bool,
    /// Whether its containers write to a disk of its own.
    #[serde(default)]
    pub(crate) has_storage: bool,
}

/// Lets the file system lay the folders below this one far apart, as it does those of users.
///
/// ext4 keeps folders near their parent, and gives no inode out again for minutes after it was deleted: it looks at each
/// of these for each file that it makes nearby. After some hundred tasks that is a millisecond a task and more.
pub(crate) fn spread(folder: &Path) {
    let spread = || {
        let folder = fs::File::open(folder)?;
        let flags = rustix::fs::ioctl_getflags(&folder)?;
        rustix::fs::ioctl_setflags(&folder, flags | IFlags::TOPDIR)?;
        Ok::<_, io::Error>(())
    };
    if let Err(error) = spread() {
        // Other file systems have no such flag, and no need of it.
        tracing::debug!(folder = %folder.display(), %error, "cannot spread the folders of sandboxes");
    }
}

/// Makes the folder of a sandbox.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join(CONTAINERS))
}

/// Writes what is in the folder of a sandbox; its record comes last.
pub(crate) fn save(folder: &Path, spec: &SandboxSpec, has_storage: bool) -> io::Result<SandboxRecord> {
    fs::write(folder.join(HOSTS.0), lines(&spec.hosts))?;
    fs::write(folder.join(HOSTNAME.0), format!("{}\n", spec.hostname))?;
    fs::write(folder.join(RESOLV_CONF.0), lines(&spec.resolv_conf))?;
    let record = SandboxRecord {
        hostname: spec.hostname.clone(),
        network_namespace: spec.network_namespace.clone(),
        shares_pids: spec.shares_pids,
        has_storage,
    };
    let unfinished = folder.join("sandbox.json.new");
    fs::write(&unfinished, serde_json::to_vec(&record)?)?;
    fs::rename(unfinished, folder.join(RECORD))?;
    Ok(record)
}

/// Reads the record of a sandbox; none if its making was never finished.
pub(crate) fn load(folder: &Path) -> Option<SandboxRecord> {
    serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
}

/// Returns where the folders of a sandbox's containers are.
pub(crate) fn containers(folder: &Path) -> PathBuf {
    folder.join(CONTAINERS)
}

/// Returns the files to bind into a container.
pub(crate) fn files(folder: &Path) -> Vec<FileMount> {
    [HOSTS, HOSTNAME, RESOLV_CONF]
        .map(|(name, seen_at)| FileMount { source: folder.join(name), destination: PathBuf::from(seen_at) })
        .to_vec()
}

/// Returns the image of the disk that a sandbox's containers write to.
pub(crate) fn storage_image(folder: &Path) -> PathBuf {
    folder.join("storage.img")
}

/// Returns where that disk is mounted, for those who make containers only.
pub(crate) fn storage(folder: &Path) -> PathBuf {
    folder.join("storage")
}

/// Returns where the disks of volumes of a size of their own lie.
pub(crate) fn disks(folder: &Path) -> PathBuf {
    folder.join("disks")
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use base::TaskId;

    use super::*;

    #[test]
    fn a_sandbox_is_known_after_a_restart_and_not_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()), None);
        let spec = SandboxSpec {
            id: TaskId::new("t"),
            cpu_units: None,
            memory_mib: None,
            network_namespace: Some(PathBuf::from("/run/netns/t")),
            hostname: "box".to_owned(),
            hosts: vec!["127.0.0.1 localhost".to_owned()],
            resolv_conf: Vec::new(),
            shares_pids: false,
            storage_bytes: None,
        };
        make(folder.path()).unwrap();
        let saved = save(folder.path(), &spec, true).unwrap();
        assert_eq!(load(folder.path()), Some(saved));
        assert_eq!(fs::read_to_string(&files(folder.path())[0].source).unwrap(), "127.0.0.1 localhost\n");
    }
}
