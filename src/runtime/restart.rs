//! Starting a container anew that has ended: its folder is as it was, but for what says that it has ended.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, ContainerId, TaskId};
use node::ContainerLimits;
use shim_protocol::{Request, layout};

use crate::cgroup::Cgroups;
use crate::fork_server::{ForkServer, Shim};
use crate::storage::{Disk, SandboxDisks};
use crate::{sandbox, spawn};

/// What has to be there before a shim can start once more.
pub(crate) struct Restart {
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disks: Arc<SandboxDisks>,
    pub(crate) sandbox: TaskId,
    pub(crate) sandbox_folder: PathBuf,
    pub(crate) container: ContainerId,
    pub(crate) folder: PathBuf,
    pub(crate) shims: Arc<ForkServer>,
    pub(crate) pid_namespace: Option<PathBuf>,
}

impl Restart {
    /// Starts the shim with what it was asked to run before. The file that says how the container ended stays until that
    /// shim takes it away: whoever comes upon the folder before finds that the container has ended.
    pub(crate) fn run(self) -> io::Result<(Shim, UnixStream)> {
        let path = self.folder.join(layout::REQUEST);
        let before: Request = serde_json::from_slice(&fs::read(&path)?)?;
        // The shim has taken its cgroups away, or was killed before it did.
        self.cgroups.remove(self.sandbox.as_str(), Some(self.container.as_str()), &*self.clock)?;
        let limits = ContainerLimits {
            cpu_units: before.limits.cpu_units,
            memory_mib: before.limits.memory_mib,
            memory_reservation_mib: before.limits.memory_reservation_mib,
            output_buffer_bytes: before.limits.output_buffer_bytes,
        };
        let (cgroups, oom_counter) =
            self.cgroups.create_container(self.sandbox.as_str(), self.container.as_str(), &limits)?;
        let disks = before.disks.iter().map(|disk| self.attached(disk)).collect::<io::Result<_>>()?;
        let request =
            Request { cgroups, oom_counter, disks, pid_namespace: self.pid_namespace.clone(), ..before.clone() };
        let unfinished = self.folder.join("request.json.new");
        fs::write(&unfinished, serde_json::to_vec(&request)?)?;
        fs::rename(unfinished, path)?;
        remove(&self.folder.join(layout::SOCKET))?;
        spawn::spawn(&self.shims, &self.folder)
    }

    /// Makes a disk ready again: the server that attached it may be gone, and the disk with its last container.
    fn attached(&self, disk: &shim_protocol::Disk) -> io::Result<shim_protocol::Disk> {
        let mount_point = disk.mount_point.clone();
        let image = if mount_point == sandbox::storage(&self.sandbox_folder) {
            sandbox::storage_image(&self.sandbox_folder)
        } else {
            mount_point.with_added_extension("img")
        };
        let open = self.disks.get_or(&image, || Disk::open(&image).map(Some))?;
        let device = open.map_or_else(|| disk.device.clone(), |open| open.device().to_owned());
        Ok(shim_protocol::Disk { device, mount_point })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
