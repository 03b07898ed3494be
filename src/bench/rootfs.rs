//! The root file system that everybody's containers run: the machine's own static busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The programs that the containers of a benchmark need.
const APPLETS: [&str; 3] = ["echo", "sh", "sleep"];

/// Makes the folder.
pub(crate) fn make(parent: &Path) -> Result<PathBuf> {
    let rootfs = parent.join("rootfs");
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(rootfs.join(folder))?;
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).context("the package busybox-static is needed")?;
    for applet in APPLETS {
        symlink("busybox", rootfs.join("bin").join(applet))?;
    }
    Ok(rootfs)
}
