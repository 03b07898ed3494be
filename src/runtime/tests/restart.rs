//! What survives the server, and what the loss of a shim means.

use std::time::Duration;

use node::{Runtime, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};

use crate::bed::{Bed, processes_that_mention};

crate::tests![
    a_running_container_is_adopted_by_the_next_server,
    an_exit_during_the_servers_absence_is_known_afterwards,
    a_sandbox_of_an_earlier_server_takes_new_containers,
    a_sandbox_whose_cgroups_a_reboot_took_gets_them_again,
    an_output_that_a_killed_shim_left_torn_is_read_to_its_end,
    a_killed_shim_takes_its_container_with_it,
    a_shim_killed_during_the_servers_absence_is_found_dead,
    shims_outlive_the_process_that_forked_them,
    shims_that_have_ended_are_reaped,
];

async fn a_running_container_is_adopted_by_the_next_server() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    let before = bed.runtime.container(&spec.id).await.unwrap();
    bed.restart();
    assert_eq!(bed.runtime.sandboxes().await.unwrap(), std::slice::from_ref(&sandbox.id));
    assert_eq!(bed.runtime.container(&spec.id).await.unwrap().started_at, before.started_at);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.runtime.signal_container(&spec.id, Signal::TERM).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 9);
    assert_eq!(bed.texts(&spec.id).await, ["ready", "bye"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn an_exit_during_the_servers_absence_is_known_afterwards() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo done; exit 4");
    bed.runtime.start_container(&spec).await.unwrap();
    let known = bed.exit(&spec.id).await;
    bed.restart();
    assert_eq!(bed.exit(&spec.id).await, known);
    assert_eq!(bed.texts(&spec.id).await, ["done"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_sandbox_of_an_earlier_server_takes_new_containers() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    bed.restart();
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let spec = bed.container(&sandbox.id, &["hostname"]);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    assert_eq!(bed.texts(&spec.id).await, ["ip-172-31-0-7"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_sandbox_whose_cgroups_a_reboot_took_gets_them_again() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    bed.stop();
    let cgroups = ["cpu", "memory", "pids", "devices", "blkio"].map(|controller| bed.cgroup(controller, &sandbox.id));
    for cgroup in cgroups.iter().filter(|cgroup| cgroup.is_dir()) {
        std::fs::remove_dir(cgroup).unwrap();
    }
    bed.start();
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let limits = ["memory.limit_in_bytes", "memory.max"].map(|file| bed.cgroup("memory", &sandbox.id).join(file));
    let limit = limits.iter().find_map(|file| std::fs::read_to_string(file).ok()).expect("the cgroup is there again");
    assert_eq!(limit.trim(), (512 * 1024 * 1024).to_string());
    let spec = bed.container(&sandbox.id, &["true"]);
    bed.runtime.start_container(&spec).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 0);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn an_output_that_a_killed_shim_left_torn_is_read_to_its_end() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo ready; sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    bed.stop();
    kill_shim(spec.id.as_str());
    let output = bed.run_dir().join(sandbox.id.as_str()).join("containers").join(spec.id.as_str()).join("output");
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(output).unwrap(), b"half").unwrap();
    bed.start();
    bed.exit(&spec.id).await;
    assert_eq!(bed.texts(&spec.id).await, ["ready"]);
    let end = bed.runtime.container(&spec.id).await.unwrap().output_end;
    let first = bed.runtime.read_output(&spec.id, 0, 1_000).await.unwrap();
    assert!(first.next < end);
    assert_eq!(bed.runtime.read_output(&spec.id, first.next, 1_000).await.unwrap().next, end);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_killed_shim_takes_its_container_with_it() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo ready; sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    kill_shim(spec.id.as_str());
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    assert_eq!(bed.texts(&spec.id).await, ["ready"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_shim_killed_during_the_servers_absence_is_found_dead() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.container(&sandbox.id, &["sleep", "600"]);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.stop();
    let listed = std::fs::read_to_string(bed.cgroup("memory", &sandbox.id).join(spec.id.as_str()).join("cgroup.procs"));
    let pid = Pid::from_raw(listed.unwrap().trim().parse().unwrap()).unwrap();
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
    kill_shim(spec.id.as_str());
    let bound = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&bound)).unwrap();
    assert_eq!(ended, 1, "the container ends with its shim");
    bed.start();
    let found = tokio::time::timeout(Duration::from_secs(10), bed.exit(&spec.id)).await.unwrap();
    assert_eq!(found.code, 137);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

fn kill_shim(container: &str) {
    let shims = processes_that_mention(container);
    assert_eq!(shims.len(), 1, "{shims:?}");
    let pid = Pid::from_raw(shims[0].0).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Returns the processes of this test that fork shims.
fn fork_servers() -> Vec<i32> {
    let ours = i32::try_from(std::process::id()).unwrap();
    let all = processes_that_mention("shim fork-server").into_iter().map(|(pid, _)| pid);
    all.filter(|pid| children_of(ours).iter().any(|(child, _)| child == pid)).collect()
}

/// Returns the children of a process, and whether each has ended and is not reaped.
fn children_of(parent: i32) -> Vec<(i32, bool)> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let children = stats.filter_map(|stat| {
        let (before, after) = stat.rsplit_once(") ")?;
        let pid = before.split(' ').next()?.parse().ok()?;
        let mut fields = after.split(' ');
        let is_zombie = fields.next()? == "Z";
        (fields.next()? == parent.to_string()).then_some((pid, is_zombie))
    });
    children.collect()
}

async fn shims_that_have_ended_are_reaped() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let stays = bed.script(&sandbox.id, "trap 'exit 9' TERM; while :; do sleep 0.05; done");
    bed.runtime.start_container(&stays).await.unwrap();
    for _ in 0..3 {
        let spec = bed.script(&sandbox.id, "exit 0");
        bed.runtime.start_container(&spec).await.unwrap();
        bed.exit(&spec.id).await;
    }
    let one_is_left = || fork_servers().into_iter().any(|pid| matches!(children_of(pid)[..], [(_, false)]));
    bed.until(one_is_left).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn shims_outlive_the_process_that_forked_them() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let first = bed.script(&sandbox.id, "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    bed.runtime.start_container(&first).await.unwrap();
    bed.wait_for_line(&first.id, "ready").await;
    let forking = fork_servers();
    assert!(!forking.is_empty());
    for pid in forking {
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    }
    let second = bed.script(&sandbox.id, "echo here");
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["here"]);
    bed.runtime.signal_container(&first.id, Signal::TERM).await.unwrap();
    assert_eq!(bed.exit(&first.id).await.code, 9);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
