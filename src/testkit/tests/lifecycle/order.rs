//! Containers that wait for each other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, SIMULATED, container, container_with, server};

crate::scenarios! {
    BOTH => [
        a_container_starts_once_another_has_succeeded,
        a_container_whose_dependency_failed_is_given_up_with_its_task,
        a_container_that_is_not_essential_is_given_up_without_its_task,
        a_container_that_waits_for_an_end_starts_after_a_failure_too,
        a_container_waits_until_another_is_healthy,
        a_container_that_cannot_start_and_is_not_essential_does_not_end_its_task,
        the_stop_signal_of_the_image_is_the_default_one,
    ],
    SIMULATED => [
        a_task_runs_once_all_of_its_containers_have_started,
        a_dependency_that_takes_too_long_fails_the_task,
        containers_stop_in_the_reverse_order,
        an_essential_container_that_ends_before_others_have_started_fails_the_task,
        a_container_is_started_again_as_its_policy_says,
        a_container_that_fails_too_soon_is_not_started_again,
    ],
}

/// Says what a container waits for.
fn after(container: &str, condition: &str) -> Value {
    json!({ "dependsOn": [{ "containerName": container, "condition": condition }] })
}

/// Defines a container whose end is not its task's end.
fn helper(name: &str, command: &str, script: &str) -> Value {
    container_with(name, command, script, &json!({ "essential": false }))
}

async fn a_container_starts_once_another_has_succeeded(bench: &Bench) {
    let init = helper("init", "echo first; sleep 0.5", "output first; exit 0 after 500ms");
    let app = container_with("app", "echo second", "output second; exit 0", &after("init", "SUCCESS"));
    let arn = bench.start(&[app, init]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!((&task["containers"][0]["exitCode"], &task["containers"][1]["exitCode"]), (&json!(0), &json!(0)));
    assert_eq!(
        (bench.log("init", &arn).await, bench.log("app", &arn).await),
        (vec!["first".to_owned()], vec!["second".to_owned()])
    );
    let waited = task["startedAt"].as_f64().unwrap() - task["pullStoppedAt"].as_f64().unwrap();
    assert!(waited >= 0.5, "the task ran after {waited} s");
}

async fn a_container_whose_dependency_failed_is_given_up_with_its_task(bench: &Bench) {
    let init = helper("init", "exit 3", "exit 3");
    let app = container_with("app", "echo never", "output never", &after("init", "SUCCESS"));
    let arn = bench.start(&[app, init]).await;
    let task = bench.until_stopped(&arn).await;
    let app = &task["containers"][0];
    assert_eq!(app["exitCode"], 143);
    assert_eq!(
        app["reason"],
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency \
         [init(busybox:test) (STOPPED->RUNNING) - Exit: 3] for target [app(busybox:test) (NONE->RUNNING)] as dependency \
         did not exit successfully."
    );
    assert_eq!(task["stoppedReason"], app["reason"]);
    assert_eq!((&task["stopCode"], &task["startedAt"]), (&json!("TaskFailedToStart"), &json!(null)));
    assert_eq!(bench.log("app", &arn).await, Vec::<String>::new());
    bench.assert_node_is_empty().await;
}

async fn a_container_that_is_not_essential_is_given_up_without_its_task(bench: &Bench) {
    let init = helper("init", "exit 3", "exit 3");
    let mut late = helper("late", "echo never", "output never");
    late["dependsOn"] = after("init", "SUCCESS")["dependsOn"].clone();
    let arn = bench.start(&[server("app"), init, late]).await;
    let task = bench.until(&arn, "RUNNING").await;
    assert_eq!(
        (&task["containers"][2]["lastStatus"], &task["containers"][2]["exitCode"]),
        (&json!("STOPPED"), &json!(143))
    );
    assert_eq!(task["desiredStatus"], "RUNNING");
}

async fn a_container_that_waits_for_an_end_starts_after_a_failure_too(bench: &Bench) {
    let init = helper("init", "exit 3", "exit 3");
    let app = container_with("app", "echo on", "output on; exit 0", &after("init", "COMPLETE"));
    let arn = bench.start(&[app, init]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!((&task["containers"][0]["exitCode"], &task["containers"][1]["exitCode"]), (&json!(0), &json!(3)));
    assert_eq!(bench.log("app", &arn).await, ["on"]);
}

async fn a_container_waits_until_another_is_healthy(bench: &Bench) {
    let mut db = server("db");
    db["healthCheck"] = json!({ "command": ["CMD-SHELL", "echo fine; exit 0"], "interval": 5 });
    let app = container_with("app", "echo on", "output on; exit 0", &after("db", "HEALTHY"));
    let arn = bench.start(&[app, db]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["on"]);
    let waited = task["startedAt"].as_f64().unwrap() - task["pullStoppedAt"].as_f64().unwrap();
    assert!(waited >= 5.0, "the task ran after {waited} s");
    assert_eq!(task["containers"][1]["healthStatus"], "HEALTHY");
}

async fn a_container_that_cannot_start_and_is_not_essential_does_not_end_its_task(bench: &Bench) {
    let mut broken = helper("broken", "", r#"fail start "no such file or directory""#);
    broken["entryPoint"] = json!(["/no/such/program"]);
    let arn = bench.start(&[broken, server("app")]).await;
    let task = bench.until(&arn, "RUNNING").await;
    let broken = &task["containers"][0];
    assert_eq!((&broken["lastStatus"], &broken["exitCode"]), (&json!("STOPPED"), &json!(null)));
    let reason = broken["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
}

async fn the_stop_signal_of_the_image_is_the_default_one(bench: &Bench) {
    let app = container("app", "trap 'exit 7' TERM; echo ready; sleep 600 & wait", "output ready; exit 7 on TERM");
    let arn = bench.start(&[app]).await;
    bench.until_line("app", &arn, "ready").await;
    bench.stop(&arn).await;
    assert_eq!(bench.until_stopped(&arn).await["containers"][0]["exitCode"], 7);
}

async fn a_task_runs_once_all_of_its_containers_have_started(bench: &Bench) {
    let init = helper("init", "", "exit 0 after 2s");
    let app = container_with("app", "", "", &after("init", "SUCCESS"));
    let arn = bench.start(&[app, init]).await;
    bench.kit.settle().await;
    let task = bench.task(&arn).await;
    assert_eq!((&task["lastStatus"], &task["startedAt"]), (&json!("PENDING"), &json!(null)));
    assert_eq!(task["containers"][0]["lastStatus"], "PENDING");
    assert_eq!(task["containers"][1]["lastStatus"], "RUNNING");
    bench.kit.advance(Duration::from_secs(2)).await;
    let task = bench.task(&arn).await;
    assert_eq!((&task["lastStatus"], &task["containers"][1]["lastStatus"]), (&json!("RUNNING"), &json!("STOPPED")));
}

async fn a_dependency_that_takes_too_long_fails_the_task(bench: &Bench) {
    let mut init = helper("init", "", "");
    init["startTimeout"] = json!(10);
    let app = container_with("app", "", "", &after("init", "COMPLETE"));
    let arn = bench.start(&[app, init]).await;
    bench.kit.settle().await;
    bench.kit.advance(Duration::from_millis(9_999)).await;
    assert_eq!(bench.task(&arn).await["desiredStatus"], "RUNNING");
    bench.kit.advance(Duration::from_millis(1)).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(
        task["stoppedReason"],
        "CannotStartContainerError: dependency graph: container ordering dependency [init(busybox:test) \
         (RUNNING->RUNNING)] for target [app(busybox:test) (NONE->RUNNING)] has timed out."
    );
    assert_eq!(task["containers"][1]["exitCode"], 143, "what ran was asked to end");
}

async fn containers_stop_in_the_reverse_order(bench: &Bench) {
    let db = helper("db", "", "exit 0 after 1s on TERM");
    let app = container_with("app", "", "exit 0 after 3s on TERM", &after("db", "START"));
    let arn = bench.start(&[app, db]).await;
    bench.until(&arn, "RUNNING").await;
    bench.stop(&arn).await;
    bench.kit.settle().await;
    bench.kit.advance(Duration::from_millis(2_999)).await;
    let statuses = async || {
        let task = bench.task(&arn).await;
        [0, 1].map(|place| task["containers"][place]["lastStatus"].clone())
    };
    assert_eq!(statuses().await, ["RUNNING", "RUNNING"]);
    bench.kit.advance(Duration::from_millis(1)).await;
    assert_eq!(statuses().await, ["STOPPED", "RUNNING"]);
    bench.kit.advance(Duration::from_millis(999)).await;
    assert_eq!(statuses().await, ["STOPPED", "RUNNING"]);
    bench.kit.advance(Duration::from_millis(1)).await;
    assert_eq!(statuses().await, ["STOPPED", "STOPPED"]);
    assert_eq!(bench.task(&arn).await["lastStatus"], "STOPPED");
}

async fn an_essential_container_that_ends_before_others_have_started_fails_the_task(bench: &Bench) {
    let mut db = container("db", "", "exit 1 after 1s");
    db["healthCheck"] = json!({ "command": ["CMD", "true"] });
    let app = container_with("app", "", "", &after("db", "HEALTHY"));
    let arn = bench.start(&[app, db]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("TaskFailedToStart"), &json!("Task failed to start"))
    );
    assert_eq!(task["containers"][1]["exitCode"], 1);
}

fn restarting(script: &str) -> Value {
    let policy = json!({ "enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60 });
    container_with("app", "", script, &json!({ "restartPolicy": policy }))
}

async fn a_container_is_started_again_as_its_policy_says(bench: &Bench) {
    let arn = bench.start(&[restarting("output run; exit 1 after 60s")]).await;
    bench.until(&arn, "RUNNING").await;
    for runs in 2..=4 {
        bench.kit.advance(Duration::from_secs(60)).await;
        let task = bench.task(&arn).await;
        assert_eq!((&task["lastStatus"], &task["containers"][0]["lastStatus"]), (&json!("RUNNING"), &json!("RUNNING")));
        assert_eq!(task["containers"][0]["exitCode"], json!(null));
        assert_eq!(bench.log("app", &arn).await.len(), runs, "its output goes on in the same stream");
    }
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!((&task["stopCode"], &task["containers"][0]["exitCode"]), (&json!("UserInitiated"), &json!(143)));
    assert_eq!(bench.log("app", &arn).await.len(), 4);
}

async fn a_container_that_fails_too_soon_is_not_started_again(bench: &Bench) {
    for (script, code) in [("exit 1 after 59s", 1), ("exit 0 after 61s", 0)] {
        let arn = bench.start(&[restarting(script)]).await;
        let task = bench.until_stopped(&arn).await;
        assert_eq!(
            (&task["stopCode"], &task["containers"][0]["exitCode"]),
            (&json!("EssentialContainerExited"), &json!(code))
        );
    }
}
