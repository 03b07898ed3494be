//! Real devices. Where there are none, as in some containers, these tests say so and pass.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

use super::*;

const SIZE_BYTES: u64 = 8 * 1024 * 1024;

/// Whether this machine has loop devices and lets us use them.
fn has_devices() -> bool {
    let has = fs::File::options().read(true).write(true).open("/dev/loop-control").is_ok();
    if !has {
        let _ = writeln!(std::io::stderr(), "no loop devices: nothing tested");
    }
    has
}

fn is_attached(image: &Path) -> bool {
    Device::find(image).unwrap().is_some()
}

#[test]
fn a_disk_is_full_at_its_size_and_takes_space_as_it_is_written() {
    if !has_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    make(&image, SIZE_BYTES).unwrap();
    let sparse = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&image).unwrap()) * 512;
    assert!(sparse < SIZE_BYTES / 4, "{sparse}");
    let device = Device::attach(&image).unwrap();
    let root = mount(device.path()).unwrap();
    let mode = Mode::from(0o600);
    let file = openat(&root, "file", OFlags::CREATE | OFlags::WRONLY, mode).unwrap();
    let mut file = fs::File::from(file);
    let chunk = vec![1; 64 * 1024];
    let mut written = 0;
    let error = loop {
        match file.write(&chunk) {
            Ok(count) => written += count as u64,
            Err(error) => break error,
        }
        assert!(written <= SIZE_BYTES);
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(written > SIZE_BYTES / 2, "{written}");
}

#[test]
fn a_device_detaches_itself_when_the_last_is_gone() {
    if !has_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    make(&image, SIZE_BYTES).unwrap();
    let device = Device::attach(&image).unwrap();
    let root = mount(device.path()).unwrap();
    let path = device.path().to_owned();
    drop(device);
    let again = Device::attach(&image).unwrap();
    assert_eq!(again.path(), path, "an attached image is not attached again");
    drop(again);
    let file = openat(&root, "kept", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o600)).unwrap();
    drop((file, root));
    // The kernel detaches when it comes round to it: a bounded number of looks, each of which yields to it.
    let is_gone = (0..10_000).any(|_| {
        std::thread::yield_now();
        !is_attached(&image)
    });
    assert!(is_gone);
    let device = Device::attach(&image).unwrap();
    let root = mount(device.path()).unwrap();
    openat(&root, "kept", OFlags::RDONLY, Mode::empty()).unwrap();
}

#[test]
fn a_copy_of_an_empty_image_is_one() {
    if !has_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.img"), folder.path().join("b.img"));
    make(&first, 20 << 30).unwrap();
    copy(&first, &second).unwrap();
    assert_eq!(fs::metadata(&second).unwrap().len(), 20 << 30);
    let room = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&second).unwrap()) * 512;
    assert!(room < 2 * 1024 * 1024, "{room}");
    let devices = [&first, &second].map(|image| Device::attach(image).unwrap());
    let roots = devices.each_ref().map(|device| mount(device.path()).unwrap());
    openat(&roots[0], "file", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o600)).unwrap();
    assert!(openat(&roots[1], "file", OFlags::RDONLY, Mode::empty()).is_err());
    assert!(copy(&first, &second).is_err(), "nothing is written over");
}

#[test]
fn what_a_killed_process_has_copied_in_part_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, copied) = (folder.path().join("a.empty"), folder.path().join("b.img"));
    fs::write(&empty, "all of it").unwrap();
    fs::write(copied.with_extension("unfinished"), "some of what was to be much more").unwrap();
    assert!(!copied.exists());
    copy(&empty, &copied).unwrap();
    assert_eq!(fs::read_to_string(&copied).unwrap(), "all of it");
    assert!(!copied.with_extension("unfinished").exists());
}

#[test]
fn a_renamed_image_is_still_found() {
    if !has_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (folder.path().join("a.img"), folder.path().join("b.img"));
    make(&before, SIZE_BYTES).unwrap();
    let device = Device::attach(&before).unwrap();
    fs::rename(&before, &after).unwrap();
    assert_eq!(Device::find(&after).unwrap().unwrap().path(), device.path());
}

#[test]
fn an_image_that_cannot_be_made_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(make(&folder.path().join("missing/disk.img"), SIZE_BYTES).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_is_not_to_be_had_now_is_not_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    fs::write(&image, "there already").unwrap();
    assert_eq!(copy(&image, &image.with_extension("img")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(make(&folder.path().join("missing/disk.img"), SIZE_BYTES).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Device::attach(&folder.path().join("missing.img")).unwrap_err().kind(), ErrorKind::NotFound);
}
