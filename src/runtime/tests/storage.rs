//! Disks: what the containers of a sandbox may write. Where the host has no loop devices these tests say so and pass.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use node::{Mount, MountSource, Runtime, SandboxSpec};

use crate::bed::{Bed, has_disks, set_script};
use crate::mounts::volume;

crate::tests![
    a_sandbox_writes_no_more_than_its_storage,
    a_volume_of_a_size_is_full_at_it,
    a_volume_of_a_size_is_there_for_the_next_container,
    storage_is_found_again_while_a_container_runs,
    storage_is_found_again_when_nothing_runs,
    disks_are_kept_ready,
    a_sandbox_whose_disk_cannot_be_made_is_not_made_without,
    a_volume_whose_disk_cannot_be_made_is_not_made_without,
    disks_are_made_again_once_they_can_be,
    the_storage_in_use_is_known,
    fifty_sandboxes_with_storage_at_once_all_succeed,
];

const STORAGE_BYTES: u64 = 16 * 1024 * 1024;
/// Writes until the disk is full; says what stopped it.
const FILL: &str = "dd if=/dev/zero of=/fill bs=1M count=64 2>&1 | grep -o 'No space left'";

fn with_storage(bed: &Bed) -> SandboxSpec {
    SandboxSpec { storage_bytes: Some(STORAGE_BYTES), ..bed.sandbox_spec() }
}

fn sized(destination: &str) -> Mount {
    let source = MountSource::Volume { name: "sized".to_owned(), size_bytes: Some(STORAGE_BYTES) };
    Mount { source, destination: PathBuf::from(destination), is_read_only: false }
}

/// Whether there is something to test; says so if not.
fn can_test() -> bool {
    let can = has_disks();
    if !can {
        let _ = writeln!(std::io::stderr(), "no loop devices or no mkfs.ext4: nothing tested");
    }
    can
}

async fn a_sandbox_writes_no_more_than_its_storage() {
    if !can_test() {
        return;
    }
    let bed = Bed::new();
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut first = bed.script(&sandbox.id, &format!("{FILL}; ls /fill"));
    first.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&first).await.unwrap();
    bed.exit(&first.id).await;
    assert_eq!(bed.texts(&first.id).await, ["No space left", "/fill"]);
    // A container beside it has the same disk.
    let mut second = bed.script(&sandbox.id, "dd if=/dev/zero of=/data/x bs=1M count=2 2>&1 | grep -o 'No space left'");
    second.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["No space left"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_volume_of_a_size_is_full_at_it() {
    if !can_test() {
        return;
    }
    let bed = Bed::new();
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.isolation.mounts = vec![sized("/data")];
            set_script(
                spec,
                "dd if=/dev/zero of=/data/x bs=1M count=64 2>&1 | grep -o 'No space left'; ls /data;
                 dd if=/dev/zero of=/y bs=1M count=64 2>&1 | grep -c 'No space left'",
            );
        })
        .await;
    assert_eq!(lines, ["No space left", "x", "0"]);
}

async fn a_volume_of_a_size_is_there_for_the_next_container() {
    if !can_test() {
        return;
    }
    let mut bed = Bed::new();
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    for (index, script) in ["echo kept > /data/x", "cat /data/x", "cat /data/x"].into_iter().enumerate() {
        let mut spec = bed.script(&sandbox.id, script);
        spec.isolation.mounts = vec![sized("/data")];
        bed.runtime.start_container(&spec).await.unwrap();
        bed.exit(&spec.id).await;
        if index > 0 {
            assert_eq!(bed.texts(&spec.id).await, ["kept"]);
        }
        if index == 1 {
            bed.restart();
            bed.runtime.create_sandbox(&sandbox).await.unwrap();
        }
    }
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn storage_is_found_again_while_a_container_runs() {
    if !can_test() {
        return;
    }
    let mut bed = Bed::new();
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut first = bed.script(&sandbox.id, "echo one > /data/x; echo ready; sleep 600");
    first.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&first).await.unwrap();
    bed.wait_for_line(&first.id, "ready").await;
    let before = bed.devices(sandbox.id.as_str());
    assert_eq!(before.len(), 1);
    bed.restart();
    assert_eq!(bed.devices(sandbox.id.as_str()), before, "the container has kept it");
    let mut second = bed.script(&sandbox.id, "cat /data/x");
    second.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["one"]);
    assert_eq!(bed.devices(sandbox.id.as_str()), before, "one disk is not on two devices");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn storage_is_found_again_when_nothing_runs() {
    if !can_test() {
        return;
    }
    let mut bed = Bed::new();
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut first = bed.script(&sandbox.id, "echo one > /data/x");
    first.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&first).await.unwrap();
    bed.exit(&first.id).await;
    bed.stop();
    bed.until(|| bed.devices("").is_empty()).await;
    bed.start();
    let mut second = bed.script(&sandbox.id, "cat /data/x");
    second.isolation.mounts = vec![volume("v", "/data")];
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["one"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn disks_are_kept_ready() {
    if !can_test() {
        return;
    }
    let bed = Bed::new();
    let ready = bed.run_dir().join(".disks");
    let images = || {
        let names = fs::read_dir(&ready).into_iter().flatten().flatten();
        names.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "img")).count()
    };
    bed.runtime.keep_disks_ready(STORAGE_BYTES);
    bed.until(|| images() == 4 && bed.devices("").len() == 4).await;
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    assert!(bed.run_dir().join(sandbox.id.as_str()).join("storage.img").exists());
    bed.until(|| images() == 4 && bed.devices("").len() == 5).await;
    assert_eq!(bed.runtime.sandboxes().await.unwrap(), std::slice::from_ref(&sandbox.id));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    bed.until(|| bed.devices("").len() == 4).await;
}

/// Lets no disk be made: a file is where the folder for them belongs.
fn forbid_disks(bed: &Bed) -> PathBuf {
    let folder = bed.run_dir().join(".disks");
    fs::write(&folder, "").unwrap();
    folder
}

async fn a_sandbox_whose_disk_cannot_be_made_is_not_made_without() {
    let bed = Bed::new();
    let forbidden = forbid_disks(&bed);
    let sandbox = with_storage(&bed);
    let error = bed.runtime.create_sandbox(&sandbox).await.unwrap_err();
    assert!(error.to_string().contains("File exists"), "{error}");
    // It was not the host that cannot have disks: the same sandbox has one as soon as it can.
    fs::remove_file(forbidden).unwrap();
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    assert_eq!(bed.runtime.storage_used(&sandbox.id).await.is_some(), can_test());
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_volume_whose_disk_cannot_be_made_is_not_made_without() {
    let bed = Bed::new();
    let forbidden = forbid_disks(&bed);
    let sandbox = bed.sandbox().await;
    let mut spec = bed.script(&sandbox.id, "echo never");
    spec.isolation.mounts = vec![sized("/data")];
    let error = bed.runtime.start_container(&spec).await.unwrap_err();
    assert!(error.to_string().contains("File exists"), "{error}");
    fs::remove_file(forbidden).unwrap();
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn disks_are_made_again_once_they_can_be() {
    if !can_test() {
        return;
    }
    let bed = Bed::new();
    let forbidden = forbid_disks(&bed);
    bed.runtime.keep_disks_ready(STORAGE_BYTES);
    let sandbox = with_storage(&bed);
    assert!(bed.runtime.create_sandbox(&sandbox).await.is_err(), "the worker fails too");
    fs::remove_file(forbidden).unwrap();
    bed.until(|| bed.devices("").len() == 4).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn the_storage_in_use_is_known() {
    if !can_test() {
        return;
    }
    let bed = Bed::new();
    let sandbox = with_storage(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let before = bed.runtime.storage_used(&sandbox.id).await.unwrap();
    assert!(before < 1024 * 1024, "{before}");
    let spec = bed.script(&sandbox.id, "dd if=/dev/zero of=/x bs=1M count=4 2>/dev/null; sync");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    let used = bed.runtime.storage_used(&sandbox.id).await.unwrap() - before;
    assert!((4 * 1024 * 1024..5 * 1024 * 1024).contains(&used), "{used}");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(bed.runtime.storage_used(&sandbox.id).await, None);
}

async fn fifty_sandboxes_with_storage_at_once_all_succeed() {
    if !can_test() {
        return;
    }
    let bed = std::sync::Arc::new(Bed::new());
    let all = (0..50).map(|number| {
        let bed = std::sync::Arc::clone(&bed);
        tokio::spawn(async move {
            let sandbox = with_storage(&bed);
            bed.complete(sandbox, |spec| set_script(spec, &format!("echo {number} > /x; cat /x"))).await.1
        })
    });
    for (number, done) in all.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(done.await.unwrap(), [number.to_string()]);
    }
}
