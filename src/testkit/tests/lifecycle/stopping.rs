//! Tasks that are asked to stop.

use std::time::Duration;

use serde_json::json;

use crate::bench::{BOTH, Bench, SIMULATED, container_with, server};

crate::scenarios! {
    BOTH => [
        stop_task_asks_by_sigterm,
        the_reason_given_is_shown_as_it_was_given,
        a_container_that_ignores_sigterm_is_killed_after_its_stop_timeout,
        a_task_that_is_stopped_at_once_comes_to_stopped,
        stopping_a_stopped_task_changes_nothing,
        the_first_reason_to_stop_stands,
    ],
    SIMULATED => [
        a_task_stopped_while_provisioning_starts_nothing,
        a_task_stopped_while_its_image_is_pulled_starts_nothing,
        a_container_has_thirty_seconds_to_stop,
    ],
}

async fn stop_task_asks_by_sigterm(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    bench.until_line("app", &arn, "ready").await;
    let output = bench.kit.ecs("StopTask", &json!({ "task": arn })).await;
    assert_eq!(output["task"]["desiredStatus"], "STOPPED");
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 143);
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "Task stopped by user");
}

async fn the_reason_given_is_shown_as_it_was_given(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    bench.until_line("app", &arn, "ready").await;
    let reason = "night shift: \"over\" — see #7";
    bench.kit.ecs("StopTask", &json!({ "task": arn, "reason": reason })).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stoppedReason"], reason);
    assert_eq!(task["stopCode"], "UserInitiated");
}

async fn a_container_that_ignores_sigterm_is_killed_after_its_stop_timeout(bench: &Bench) {
    let command = "trap '' TERM; echo ready; sleep 600 & while :; do wait; done";
    let app = container_with("app", command, "output ready; ignore TERM", &json!({ "stopTimeout": 2 }));
    let arn = bench.start(&[app]).await;
    bench.until_line("app", &arn, "ready").await;
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert_eq!(task["containers"][0]["reason"], json!(null), "a kill is not an OOM kill");
    let took = task["stoppedAt"].as_f64().unwrap() - task["stoppingAt"].as_f64().unwrap();
    assert!(took >= 2.0, "it had only {took} s");
}

async fn a_task_that_is_stopped_at_once_comes_to_stopped(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "UserInitiated");
    bench.assert_node_is_empty().await;
}

async fn stopping_a_stopped_task_changes_nothing(bench: &Bench) {
    let arn = bench.start(&[crate::bench::container("app", "true", "exit 0")]).await;
    let before = bench.until_stopped(&arn).await;
    bench.kit.ecs("StopTask", &json!({ "task": arn, "reason": "late" })).await;
    bench.kit.settle().await;
    assert_eq!(bench.task(&arn).await, before);
}

async fn the_first_reason_to_stop_stands(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    bench.until_line("app", &arn, "ready").await;
    bench.kit.ecs("StopTask", &json!({ "task": arn, "reason": "first" })).await;
    bench.kit.ecs("StopTask", &json!({ "task": arn, "reason": "second" })).await;
    assert_eq!(bench.until_stopped(&arn).await["stoppedReason"], "first");
}

async fn a_task_stopped_while_provisioning_starts_nothing(bench: &Bench) {
    bench.kit.node().unwrap().delay_attaches(Duration::from_secs(3));
    let arn = bench.start(&[server("app")]).await;
    bench.kit.settle().await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "PROVISIONING");
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["startedAt"], json!(null));
    assert_eq!(task["pullStartedAt"], json!(null));
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    bench.assert_node_is_empty().await;
}

async fn a_task_stopped_while_its_image_is_pulled_starts_nothing(bench: &Bench) {
    bench.kit.node().unwrap().delay_pulls(crate::bench::IMAGE, Duration::from_secs(3)).unwrap();
    let arn = bench.start(&[server("app")]).await;
    bench.kit.settle().await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "PENDING");
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    assert_eq!(bench.log("app", &arn).await, Vec::<String>::new());
    bench.assert_node_is_empty().await;
}

async fn a_container_has_thirty_seconds_to_stop(bench: &Bench) {
    let app = container_with("app", "", "ignore TERM", &json!({}));
    let arn = bench.start(&[app]).await;
    bench.until(&arn, "RUNNING").await;
    bench.stop(&arn).await;
    bench.kit.settle().await;
    bench.kit.advance(Duration::from_millis(29_999)).await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "STOPPING");
    bench.kit.advance(Duration::from_millis(1)).await;
    let task = bench.task(&arn).await;
    assert_eq!((&task["lastStatus"], &task["containers"][0]["exitCode"]), (&json!("STOPPED"), &json!(137)));
}
