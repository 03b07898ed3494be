//! What has to be there before a shim can start: cgroups, folders, disks, and what the shim is asked to run.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Clock;
use node::{ContainerSpec, Mount, MountSource};
use shim_protocol::{Disk, FileMount, FirstProcess, Request, layout};

use crate::cgroup::Cgroups;
use crate::fargate::remove_folder;
use crate::fork_server::{ForkServer, Shim};
use crate::sandbox::{self, SandboxRecord};
use crate::spawn;
use crate::storage::{self, SandboxDisks, Storage};

/// The folder for the files that a container is given.
const FILES: &str = "files";
/// The longest name of a volume; a file's on most file systems, less an ending.
const VOLUME_NAME_BYTES_MAX: usize = 250;

/// One container that is about to be made.
pub(crate) struct Preparation {
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) disks: Arc<SandboxDisks>,
    pub(crate) sandbox_folder: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) shims: Arc<ForkServer>,
    pub(crate) record: SandboxRecord,
    pub(crate) pid_namespace: Option<PathBuf>,
    pub(crate) first_process: FirstProcess,
    pub(crate) spec: ContainerSpec,
}

impl Preparation {
    /// Does all that, and starts the shim. Returns it, and our end of the connection to it.
    pub(crate) fn run(self) -> io::Result<(Shim, UnixStream)> {
        if self.folder.exists() {
            // An earlier server died before the container ran; its shim ends when it finds nothing to start.
            self.cgroups.remove(self.spec.sandbox.as_str(), Some(self.spec.id.as_str()), &*self.clock)?;
            spawn::wait_until_gone(&self.folder)?;
            remove_folder(&self.folder)?;
        }
        fs::create_dir(&self.folder)?;
        for name in [layout::ROOT, layout::SCRATCH] {
            fs::create_dir(self.folder.join(name))?;
        }
        let request = self.request()?;
        fs::write(self.folder.join(layout::REQUEST), serde_json::to_vec(&request)?)?;
        spawn::spawn(&self.shims, &self.folder)
    }

    fn request(&self) -> io::Result<Request> {
        let spec = &self.spec;
        let (cgroups, oom_counter) =
            self.cgroups.create_container(spec.sandbox.as_str(), spec.id.as_str(), &spec.limits)?;
        let mut disks = Vec::from_iter(self.storage_disk()?);
        let writable = (!disks.is_empty()).then(|| self.shared_folder().join("containers").join(spec.id.as_str()));
        let mounts =
            spec.isolation.mounts.iter().map(|mount| self.mount(mount, &mut disks)).collect::<Result<_, _>>()?;
        let isolation = &spec.isolation;
        Ok(Request {
            id: spec.id.to_string(),
            args: spec.args.clone(),
            env: spec.env.clone(),
            working_dir: spec.working_dir.clone(),
            user: spec.user.clone(),
            hostname: self.record.hostname.clone(),
            layers: spec.root.image.layers.clone(),
            is_read_only: spec.root.is_read_only,
            network_namespace: self.record.network_namespace.clone(),
            files: self.files()?,
            cgroups,
            limits: shim_protocol::Limits {
                cpu_units: spec.limits.cpu_units,
                memory_mib: spec.limits.memory_mib,
                memory_reservation_mib: spec.limits.memory_reservation_mib,
                output_buffer_bytes: spec.limits.output_buffer_bytes,
            },
            oom_counter,
            disks,
            writable,
            mounts,
            tmpfs: isolation.tmpfs.iter().map(tmpfs).collect(),
            capabilities_added: isolation.capabilities_added.clone(),
            capabilities_dropped: isolation.capabilities_dropped.clone(),
            ulimits: isolation.ulimits.iter().map(ulimit).collect(),
            sysctls: isolation.sysctls.clone(),
            pid_namespace: self.pid_namespace.clone(),
            first_process: self.first_process,
        })
    }

    /// Returns the files of the sandbox, and writes those that are the container's own.
    fn files(&self) -> io::Result<Vec<FileMount>> {
        let mut files = sandbox::files(&self.sandbox_folder);
        let own = &self.spec.isolation.files;
        let folder = self.folder.join(FILES);
        if !own.is_empty() {
            fs::create_dir(&folder)?;
        }
        for (index, file) in own.iter().enumerate() {
            let source = folder.join(index.to_string());
            fs::write(&source, &file.content)?;
            files.push(FileMount { source, destination: file.destination.clone() });
        }
        Ok(files)
    }

    /// Returns the folder for what the sandbox's containers write.
    fn shared_folder(&self) -> PathBuf {
        if self.record.has_storage { sandbox::storage(&self.sandbox_folder) } else { self.sandbox_folder.clone() }
    }

    /// Returns the sandbox's disk, made ready again if an earlier server has made it.
    fn storage_disk(&self) -> io::Result<Option<Disk>> {
        if !self.record.has_storage {
            return Ok(None);
        }
        let image = sandbox::storage_image(&self.sandbox_folder);
        let disk = self.disks.get_or(&image, || storage::Disk::open(&image).map(Some))?;
        let mount_point = sandbox::storage(&self.sandbox_folder);
        fs::create_dir_all(&mount_point)?;
        Ok(disk.map(|disk| Disk { device: disk.device().to_owned(), mount_point }))
    }

    fn mount(&self, mount: &Mount, disks: &mut Vec<Disk>) -> io::Result<shim_protocol::Mount> {
        let source = match &mount.source {
            MountSource::Volume { name, size_bytes } => {
                check_name(name)?;
                let folder = match size_bytes {
                    None => self.shared_folder().join("volumes").join(name),
                    Some(size_bytes) => self.sized_volume(name, *size_bytes, disks)?,
                };
                shim_protocol::MountSource::Volume { folder }
            }
            MountSource::Directory { path, below, owner, squash } => shim_protocol::MountSource::Directory {
                path: path.clone(),
                below: below.clone(),
                owner: owner.map(|owner| (owner.uid, owner.gid, owner.mode)),
                squash: *squash,
            },
        };
        Ok(shim_protocol::Mount { source, destination: mount.destination.clone(), is_read_only: mount.is_read_only })
    }

    /// Returns the folder of a volume on a disk of its own, which is made for the first that mounts it. Where the host can
    /// have no disks at all, it stays an ordinary folder.
    fn sized_volume(&self, name: &str, size_bytes: u64, disks: &mut Vec<Disk>) -> io::Result<PathBuf> {
        let all = sandbox::disks(&self.sandbox_folder);
        let (image, mount_point) = (all.join(format!("{name}.img")), all.join(name));
        let has_been_without = mount_point.join(VOLUME_FOLDER).exists();
        fs::create_dir_all(&mount_point)?;
        let disk = self.disks.get_or(&image, || {
            if image.exists() {
                return storage::Disk::open(&image).map(Some);
            }
            if has_been_without { Ok(None) } else { self.storage.make(&image, size_bytes) }
        })?;
        let folder = mount_point.join(VOLUME_FOLDER);
        let device = disk.map(|disk| disk.device().to_owned());
        disks.extend(
            device
                .filter(|device| !disks.iter().any(|known| known.device == *device))
                .map(|device| Disk { device, mount_point }),
        );
        Ok(folder)
    }
}

/// Where a volume is on a disk of its own, beside what the file system keeps for itself.
const VOLUME_FOLDER: &str = "volume";

fn check_name(name: &str) -> io::Result<()> {
    let is_file_name = Path::new(name).file_name().is_some_and(|file_name| file_name == name);
    if is_file_name && name.len() <= VOLUME_NAME_BYTES_MAX && !name.contains('\0') {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a volume cannot be named {name:?}")))
}

fn tmpfs(tmpfs: &node::Tmpfs) -> shim_protocol::Tmpfs {
    let node::Tmpfs { destination, size_mib, options } = tmpfs.clone();
    shim_protocol::Tmpfs { destination, size_mib, options }
}

fn ulimit(ulimit: &node::Ulimit) -> shim_protocol::Ulimit {
    let node::Ulimit { name, soft, hard } = ulimit.clone();
    shim_protocol::Ulimit { name, soft, hard }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volumes_name_is_no_path() {
        for name in ["data", "a.b", "..data", "Data_1-2"] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "a/b", "/a", "a/", "../x", &"x".repeat(VOLUME_NAME_BYTES_MAX + 1)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
