//! Containers that are started anew after their end.

use base::ContainerId;
use node::{Runtime, Signal};

use crate::bed::Bed;

crate::tests![
    a_restarted_container_has_its_files_its_limits_and_its_output,
    a_container_is_restarted_once_for_each_end,
    a_restarted_container_is_adopted_and_restarted_by_the_next_server,
    a_container_that_is_not_there_cannot_be_restarted,
];

/// Counts its runs in a file, tells which one this is and what memory it may use, and ends with that number.
const COUNTING: &str = "echo x >>/runs; n=$(wc -l </runs); echo run $n; \
                        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; exit $n";

async fn a_restarted_container_has_its_files_its_limits_and_its_output() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let mut spec = bed.script(&sandbox.id, COUNTING);
    spec.limits.memory_mib = Some(32);
    bed.runtime.start_container(&spec).await.unwrap();
    let mut expected = Vec::new();
    for run in 1..=3 {
        let exit = bed.exit(&spec.id).await;
        assert_eq!(exit.code, run, "{:?}", bed.texts(&spec.id).await);
        expected.extend([format!("run {run}"), (32 * 1024 * 1024).to_string()]);
        assert_eq!(bed.texts(&spec.id).await, expected);
        bed.runtime.restart_container(&spec.id, exit.at).await.unwrap();
    }
    bed.exit(&spec.id).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_is_restarted_once_for_each_end() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let script = "[ -e /again ] && { echo again; exec sleep 600; }; touch /again; exit 3";
    let spec = bed.script(&sandbox.id, script);
    bed.runtime.start_container(&spec).await.unwrap();
    let first = bed.exit(&spec.id).await;
    let earlier = base::Timestamp::from_millis(first.at.as_millis() - 1);
    bed.runtime.restart_container(&spec.id, earlier).await.unwrap();
    assert!(bed.runtime.container(&spec.id).await.unwrap().exit.is_some(), "it did not end then");
    bed.runtime.restart_container(&spec.id, first.at).await.unwrap();
    bed.wait_for_line(&spec.id, "again").await;
    bed.runtime.restart_container(&spec.id, first.at).await.unwrap();
    assert_eq!(bed.texts(&spec.id).await, ["again"]);
    bed.runtime.signal_container(&spec.id, Signal::KILL).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_restarted_container_is_adopted_and_restarted_by_the_next_server() {
    let mut bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let script = "echo x >>/runs; n=$(wc -l </runs); echo run $n; [ $n = 2 ] && exec sleep 600; exit $n";
    let spec = bed.script(&sandbox.id, script);
    bed.runtime.start_container(&spec).await.unwrap();
    let first = bed.exit(&spec.id).await;
    bed.restart();
    bed.runtime.restart_container(&spec.id, first.at).await.unwrap();
    bed.wait_for_line(&spec.id, "run 2").await;
    bed.restart();
    assert_eq!(bed.runtime.container(&spec.id).await.unwrap().exit, None, "it runs");
    bed.runtime.signal_container(&spec.id, Signal::KILL).await.unwrap();
    let second = bed.exit(&spec.id).await;
    assert_eq!(second.code, 137);
    bed.restart();
    bed.runtime.restart_container(&spec.id, second.at).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 3);
    assert_eq!(bed.texts(&spec.id).await, ["run 1", "run 2", "run 3"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_that_is_not_there_cannot_be_restarted() {
    let bed = Bed::new();
    let at = base::Timestamp::from_millis(0);
    let error = bed.runtime.restart_container(&ContainerId::new("none"), at).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot restart the process of none: there is no such container");
}
