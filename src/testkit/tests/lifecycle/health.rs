//! Health checks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, SIMULATED, container, container_with, server};

crate::scenarios! {
    BOTH => [a_container_is_healthy_when_its_check_passes],
    SIMULATED => [
        a_container_is_unhealthy_after_so_many_failures_and_its_task_goes_on,
        a_check_that_hangs_counts_as_failed_and_holds_nothing_up,
        a_container_without_a_check_leaves_its_task_unknown,
        a_container_that_is_not_essential_does_not_speak_for_its_task,
        a_service_replaces_a_task_that_is_not_healthy,
    ],
}

fn check(more: &Value) -> Value {
    let mut check = json!({ "command": ["CMD-SHELL", "exit 0"], "interval": 5, "timeout": 2, "retries": 2 });
    for (member, value) in more.as_object().into_iter().flatten() {
        check[member] = value.clone();
    }
    json!({ "healthCheck": check })
}

async fn health(bench: &Bench, arn: &str) -> (String, String) {
    let task = bench.task(arn).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&task["healthStatus"]), text(&task["containers"][0]["healthStatus"]))
}

fn both(status: &str) -> (String, String) {
    (status.to_owned(), status.to_owned())
}

async fn a_container_is_healthy_when_its_check_passes(bench: &Bench) {
    let mut app = server("app");
    app["healthCheck"] = check(&json!({ "command": ["CMD", "/bin/true"] }))["healthCheck"].clone();
    let arn = bench.start(&[app]).await;
    bench.until(&arn, "RUNNING").await;
    assert_eq!(health(bench, &arn).await, both("UNKNOWN"));
    let look = async || (health(bench, &arn).await == both("HEALTHY")).then_some(());
    bench.kit.wait_for("HEALTHY", look).await;
    bench.stop(&arn).await;
    bench.until_stopped(&arn).await;
}

async fn a_container_is_unhealthy_after_so_many_failures_and_its_task_goes_on(bench: &Bench) {
    let script = "exec 1 no route after 6s; exec 0 after 20s";
    let arn = bench.start(&[container_with("app", "", script, &check(&json!({})))]).await;
    bench.until(&arn, "RUNNING").await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        bench.kit.advance(Duration::from_secs(5)).await;
        bench.kit.settle().await;
        seen.push(health(bench, &arn).await.0);
    }
    assert_eq!(seen[0], "HEALTHY");
    assert!(seen.contains(&"UNHEALTHY".to_owned()), "{seen:?}");
    let look = async || (health(bench, &arn).await == both("HEALTHY")).then_some(());
    bench.kit.wait_for("HEALTHY again", look).await;
    assert_eq!(bench.task(&arn).await["desiredStatus"], "RUNNING");
}

async fn a_check_that_hangs_counts_as_failed_and_holds_nothing_up(bench: &Bench) {
    let arn = bench.start(&[container_with("app", "", "exec hang", &check(&json!({ "timeout": 60 })))]).await;
    let look = async || (health(bench, &arn).await == both("UNHEALTHY")).then_some(());
    bench.kit.wait_for("UNHEALTHY", look).await;
    bench.kit.advance(Duration::from_secs(10)).await;
    bench.stop(&arn).await;
    bench.kit.settle().await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "STOPPED", "a check that hangs does not hold the stop up");
}

async fn a_container_without_a_check_leaves_its_task_unknown(bench: &Bench) {
    let app = container_with("app", "", "", &check(&json!({})));
    let arn = bench.start(&[app, container("other", "", "")]).await;
    let look = async || (health(bench, &arn).await.1 == "HEALTHY").then_some(());
    bench.kit.wait_for("HEALTHY", look).await;
    assert_eq!(health(bench, &arn).await.0, "UNKNOWN");
}

async fn a_container_that_is_not_essential_does_not_speak_for_its_task(bench: &Bench) {
    let mut helper = container_with("helper", "", "exec 1", &check(&json!({ "retries": 1 })));
    helper["essential"] = json!(false);
    let app = container_with("app", "", "", &check(&json!({})));
    let arn = bench.start(&[helper, app]).await;
    let look = async || (health(bench, &arn).await.1 == "UNHEALTHY").then_some(());
    bench.kit.wait_for("UNHEALTHY", look).await;
    let look = async || (health(bench, &arn).await.0 == "HEALTHY").then_some(());
    bench.kit.wait_for("HEALTHY", look).await;
}

async fn a_service_replaces_a_task_that_is_not_healthy(bench: &Bench) {
    let app = container_with("app", "", "exec 1 after 30s", &check(&json!({ "retries": 1 })));
    bench.register(&[app]).await;
    let mut input = bench.run_task_input(&json!({ "serviceName": "web", "desiredCount": 1 })).await;
    input["launchType"] = json!("FARGATE");
    bench.kit.ecs("CreateService", &input).await;
    let tasks = async |status: &str| {
        let listed = bench.kit.ecs("ListTasks", &json!({ "serviceName": "web", "desiredStatus": status })).await;
        listed["taskArns"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = bench.kit.wait_for("a task", async || tasks("RUNNING").await.pop()).await;
    let look = async || Some(bench.task(&first).await).filter(|task| task["desiredStatus"] == "STOPPED");
    let stopped = bench.kit.wait_for("its end", look).await;
    assert_eq!(stopped["stoppedReason"], "Task failed container health checks");
    assert_eq!(stopped["stopCode"], "ServiceSchedulerInitiated");
    let others = tasks("RUNNING").await;
    assert!(!others.is_empty() && !others.contains(&first), "another one has taken its place: {others:?}");
    let service = bench.kit.ecs("DescribeServices", &json!({ "services": ["web"] })).await;
    let events = service["services"][0]["events"].to_string();
    assert!(events.contains("failed container health checks."), "{events}");
    bench.kit.ecs("DeleteService", &json!({ "service": "web", "force": true })).await;
}
