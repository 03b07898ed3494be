//! Tasks that cannot start.

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, SIMULATED, container, container_with, server};

crate::scenarios! {
    BOTH => [
        a_missing_image_fails_the_task,
        a_missing_program_fails_the_task,
        a_missing_log_group_fails_the_task,
        a_second_container_that_cannot_start_ends_the_first,
        an_image_that_is_missing_for_one_container_starts_none,
    ],
    SIMULATED => [a_failure_to_attach_the_interface_fails_the_task],
}

fn assert_failed(task: &Value, error: &str) {
    let reason = task["stoppedReason"].as_str().unwrap_or_default();
    assert!(reason.starts_with(error), "{reason}");
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert_eq!(task["startedAt"], json!(null));
}

async fn a_missing_image_fails_the_task(bench: &Bench) {
    let app = container_with("app", "true", "exit 0", &json!({ "image": "missing.invalid/app:1" }));
    let arn = bench.start(&[app]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "CannotPullContainerError: ");
    assert_eq!(task["containers"][0]["reason"], task["stoppedReason"]);
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    assert_eq!(task["containers"][0]["runtimeId"], json!(null));
    assert_eq!(task["containers"][0]["imageDigest"], json!(null));
    assert_eq!(task["pullStoppedAt"], json!(null));
    bench.assert_node_is_empty().await;
}

async fn an_image_that_is_missing_for_one_container_starts_none(bench: &Bench) {
    let other = container_with("other", "true", "exit 0", &json!({ "image": "missing.invalid/app:1" }));
    let arn = bench.start(&[server("app"), other]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "CannotPullContainerError: ");
    assert_eq!(task["containers"][0]["reason"], json!(null));
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    assert_eq!(bench.log("app", &arn).await, Vec::<String>::new());
}

async fn a_missing_program_fails_the_task(bench: &Bench) {
    let script = r#"fail start "exec: \"/no/such/program\": stat /no/such/program: no such file or directory""#;
    let app = container_with("app", "", script, &json!({ "entryPoint": ["/no/such/program"] }));
    let arn = bench.start(&[app]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "CannotStartContainerError: ");
    assert_eq!(task["containers"][0]["reason"], task["stoppedReason"]);
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    bench.assert_node_is_empty().await;
}

async fn a_missing_log_group_fails_the_task(bench: &Bench) {
    let mut app = container("app", "true", "exit 0");
    app["logConfiguration"]["options"]["awslogs-group"] = json!("/no/such/group");
    let arn = bench.start(&[app]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "ResourceInitializationError: failed to validate logger args: ");
    assert_eq!(task["containers"][0]["exitCode"], json!(null));
    bench.assert_node_is_empty().await;
}

async fn a_second_container_that_cannot_start_ends_the_first(bench: &Bench) {
    let script = r#"fail start "no such file or directory""#;
    let broken = container_with("broken", "", script, &json!({ "entryPoint": ["/no/such/program"] }));
    let arn = bench.start(&[server("app"), broken]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "CannotStartContainerError: ");
    assert_eq!(task["containers"][0]["lastStatus"], "STOPPED");
    assert!(task["containers"][0]["exitCode"].is_i64(), "the first container ran: {task}");
    assert_eq!(task["containers"][1]["exitCode"], json!(null));
}

async fn a_failure_to_attach_the_interface_fails_the_task(bench: &Bench) {
    bench.kit.node().unwrap().fail_next_attach("no such device");
    let arn = bench.start(&[server("app")]).await;
    let task = bench.until_stopped(&arn).await;
    assert_failed(&task, "ResourceInitializationError: ");
    assert_eq!(task["connectivity"], json!(null));
    assert_eq!(task["attachments"][0]["status"], "DELETED");
    bench.assert_node_is_empty().await;
}
