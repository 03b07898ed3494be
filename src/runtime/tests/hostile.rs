//! Containers that mean harm: what they do stays with them.

use std::fs;
use std::path::PathBuf;

use node::{Runtime, Tmpfs};

use crate::bed::{Bed, set_script};

crate::tests![
    a_fork_bomb_leaves_the_others_alone_and_can_be_removed,
    mounts_of_the_kernel_cannot_be_taken_away,
    what_the_kernel_tells_of_the_host_is_masked,
    a_file_system_in_memory_counts_as_memory,
    a_flood_of_output_takes_no_more_room_than_it_may,
    a_flood_of_output_can_be_stopped,
];

async fn a_fork_bomb_leaves_the_others_alone_and_can_be_removed() {
    let bed = Bed::new();
    let mut bombed = bed.sandbox_spec();
    bombed.memory_mib = Some(128);
    bed.runtime.create_sandbox(&bombed).await.unwrap();
    let bomb = bed.script(&bombed.id, "echo ready; bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done");
    bed.runtime.start_container(&bomb).await.unwrap();
    bed.wait_for_line(&bomb.id, "ready").await;
    let limit = fs::read_to_string(bed.cgroup("pids", &bombed.id).join(bomb.id.as_str()).join("pids.max")).unwrap();
    assert_eq!(limit.trim(), "8192");
    assert_eq!(bed.run("echo unharmed").await.1, ["unharmed"]);
    bed.runtime.remove_sandbox(&bombed.id).await.unwrap();
}

async fn mounts_of_the_kernel_cannot_be_taken_away() {
    let bed = Bed::new();
    let script = "for at in /proc /proc/sys /proc/kcore /sys /sys/fs/cgroup /dev/shm; do
                      umount $at 2>/dev/null && echo $at is gone; done
                  mount -o remount,rw /proc/sys 2>/dev/null && echo writable
                  mount -t proc proc /tmp 2>/dev/null && echo mounted
                  echo x 2>/dev/null > /proc/sysrq-trigger && echo triggered
                  echo x 2>/dev/null > /proc/sys/kernel/core_pattern && echo written
                  grep -c ' /proc ' /proc/mounts";
    assert_eq!(bed.run(script).await.1, ["1"]);
}

async fn what_the_kernel_tells_of_the_host_is_masked() {
    let bed = Bed::new();
    let script = "for at in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts; do
                      [ -e $at ] && [ \"$(dd if=$at bs=1 count=1 2>/dev/null)\" ] && echo $at; done
                  ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v :; echo done";
    assert_eq!(bed.run(script).await.1.last().unwrap(), "done");
    assert_eq!(bed.run(script).await.1.iter().filter(|line| !line.is_empty()).count(), 1);
}

async fn a_file_system_in_memory_counts_as_memory() {
    let bed = Bed::new();
    let (exit, _) = bed
        .complete(bed.sandbox_spec(), |spec| {
            let destination = PathBuf::from("/memory");
            spec.isolation.tmpfs = vec![Tmpfs { destination, size_mib: 1024, options: Vec::new() }];
            spec.limits.memory_mib = Some(32);
            set_script(spec, "exec dd if=/dev/zero of=/memory/x bs=1M");
        })
        .await;
    assert_eq!((exit.code, exit.is_oom_killed), (137, true));
}

async fn a_flood_of_output_takes_no_more_room_than_it_may() {
    const AHEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
    const SLACK_BYTES: u64 = 1024 * 1024;
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, &format!("yes {} & yes {} >&2", "x".repeat(500), "y".repeat(500)));
    bed.runtime.start_container(&spec).await.unwrap();
    let file = bed.run_dir().join(sandbox.id.as_str()).join("containers").join(spec.id.as_str()).join("output");
    let mut released = 0;
    for _ in 0..3 {
        let full = bed.wait(&spec.id, |state| state.output_end >= released + AHEAD_BYTES_MAX).await;
        let room = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&file).unwrap()) * 512;
        assert!(room <= AHEAD_BYTES_MAX + SLACK_BYTES, "{room}");
        released = full.output_end;
        bed.runtime.release_output(&spec.id, released).await.unwrap();
    }
    assert_eq!(bed.run("echo unharmed").await.1, ["unharmed"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_flood_of_output_can_be_stopped() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "yes");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait(&spec.id, |state| state.output_end > 32 * 1024 * 1024).await;
    bed.runtime.signal_container(&spec.id, node::Signal::KILL).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
