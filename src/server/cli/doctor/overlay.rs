//! Overlays: a writable layer over read-only ones, where the server's data would lie.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::finding::Finding;

/// Mounts an overlay where nobody else sees it, and writes through it.
pub(super) fn check(data_dir: &Path) -> Finding {
    let folder = super::nearest_existing(data_dir);
    match super::on_own_thread(|| try_in(folder)) {
        Ok(()) => Finding::ok("overlay", format!("works in {}", folder.display())),
        Err(error) => Finding::missing(
            "overlay",
            format!("does not work in {}: {error}", folder.display()),
            "give the server a --data-dir on ext4, xfs, btrfs or tmpfs (inside a container: on a volume); else: modprobe \
             overlay",
        ),
    }
}

fn try_in(folder: &Path) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix("neargate-doctor-").tempdir_in(folder)?;
    // Mounts are private to this thread from here on, and go with it.
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let at = |name: &str| folder.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(at(name))?;
    }
    fs::write(at("lower/file"), "below")?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    mount(Some("overlay"), &at("merged"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    let tried = fs::write(at("merged/file"), "above").and_then(|()| fs::read_to_string(at("upper/file")));
    nix::mount::umount2(&at("merged"), nix::mount::MntFlags::MNT_DETACH)?;
    match tried?.as_str() {
        "above" => folder.close(),
        _ => Err(io::Error::other("what is written does not reach the upper layer")),
    }
}
