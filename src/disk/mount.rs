//! Mounting.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
};

/// No barriers: nobody needs these disks after the machine has failed, and with them every unmount waits for its disk.
/// What is deleted leaves the image too.
const OPTIONS: [&str; 3] = ["nobarrier", "noinit_itable", "discard"];

/// Mounts the disk of a device in no namespace: with `move_mount` it comes to be somewhere. All mounts of one device are
/// one file system.
///
/// # Errors
///
/// If the kernel refuses.
pub fn mount(device: &Path) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    for option in OPTIONS {
        fsconfig_set_flag(&context, option)?;
    }
    fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?)
}
