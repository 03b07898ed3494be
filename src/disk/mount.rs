//! Mounting.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
};

use crate::unsupported::unsupported_if;

/// How a kernel without ext4 refuses, and one that lets this process mount nothing.
const NO_MOUNTS: &[Errno] = &[Errno::NODEV, Errno::NOSYS, Errno::PERM, Errno::ACCESS];
/// No barriers: nobody needs these disks after the machine has failed, and with them every unmount waits for its disk.
/// What is deleted leaves the image too.
const OPTIONS: [&str; 3] = ["nobarrier", "noinit_itable", "discard"];

/// Mounts the disk of a device in no namespace: with `move_mount` it comes to be somewhere. All mounts of one device are
/// one file system.
///
/// # Errors
///
/// If the kernel refuses; with `Unsupported` if it has no ext4, or this process may not mount.
pub fn mount(device: &Path) -> io::Result<OwnedFd> {
    mount_device(device).map_err(|error| unsupported_if(NO_MOUNTS, "mount the disk")(error.into()))
}

fn mount_device(device: &Path) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    for option in OPTIONS {
        fsconfig_set_flag(&context, option)?;
    }
    fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
}
