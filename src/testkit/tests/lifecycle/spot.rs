//! Tasks on Fargate Spot whose capacity is taken back.

use std::time::Duration;

use controllers::{NotInterrupted, SpotInterruption};
use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, SIMULATED, container_with, server};

crate::scenarios! {
    BOTH => [
        an_interrupted_task_is_asked_by_sigterm_under_notice_and_has_ended_by_it,
        a_task_that_is_not_on_spot_is_not_interrupted_nor_are_those_named_with_it,
    ],
    SIMULATED => [
        an_interrupted_task_has_the_two_minutes_that_its_container_may_take,
        a_task_that_is_interrupted_before_it_runs_starts_nothing,
        a_service_replaces_a_task_that_is_interrupted,
    ],
}

const REASON: &str = "Your Spot Task was interrupted.";

/// Lets the cluster have Spot capacity, and returns what asks for it.
async fn spot(bench: &Bench) -> Value {
    let strategy = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
    let input = json!({
        "cluster": "default",
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": strategy,
    });
    bench.kit.ecs("PutClusterCapacityProviders", &input).await;
    json!({ "launchType": null, "capacityProviderStrategy": strategy })
}

/// Starts a task on Spot.
async fn start(bench: &Bench, container: Value) -> String {
    bench.register(&[container]).await;
    let spot = spot(bench).await;
    bench.run_task(&spot).await
}

/// Interrupts all tasks, or those that are named, and returns their ARNs.
fn interrupt(bench: &Bench, tasks: Option<&[&str]>) -> Result<Vec<String>, NotInterrupted> {
    let tasks = tasks.map(|arns| arns.iter().map(|&arn| arn.to_owned()).collect());
    let interrupted = bench.kit.emulator().controllers().interrupt(&SpotInterruption { cluster: None, tasks })?;
    Ok(interrupted.iter().map(|task| task.arn.to_string()).collect())
}

async fn an_interrupted_task_is_asked_by_sigterm_under_notice_and_has_ended_by_it(bench: &Bench) {
    let app = container_with(
        "app",
        "trap 'sleep 1; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
        "output ready; exit 3 after 1s on TERM",
        &json!({}),
    );
    let arn = start(bench, app).await;
    bench.until_line("app", &arn, "ready").await;
    bench.until(&arn, "RUNNING").await;
    assert_eq!(interrupt(bench, Some(&[&arn])), Ok(vec![arn.clone()]));
    let task = bench.task(&arn).await;
    assert_ne!(task["lastStatus"], "STOPPED");
    assert_eq!(task["desiredStatus"], "STOPPED");
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("TerminationNotice"), &json!(REASON)));
    let task = bench.until_stopped(&arn).await;
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("SpotInterruption"), &json!(REASON)));
    assert_eq!(task["containers"][0]["exitCode"], 3);
    assert_eq!(interrupt(bench, Some(&[&arn])), Err(NotInterrupted::Stopping(arn)));
}

async fn a_task_that_is_not_on_spot_is_not_interrupted_nor_are_those_named_with_it(bench: &Bench) {
    let on_spot = start(bench, server("app")).await;
    let other = bench.run_task(&json!({})).await;
    assert_eq!(interrupt(bench, Some(&[&on_spot, &other])), Err(NotInterrupted::NotSpot(other.clone())));
    assert_eq!(bench.task(&on_spot).await["desiredStatus"], "RUNNING");
    assert_eq!(interrupt(bench, None), Ok(vec![on_spot.clone()]));
    assert_eq!(bench.task(&other).await["desiredStatus"], "RUNNING");
    bench.until_stopped(&on_spot).await;
    assert_eq!(interrupt(bench, None), Ok(Vec::new()));
}

async fn an_interrupted_task_has_the_two_minutes_that_its_container_may_take(bench: &Bench) {
    let arn = start(bench, container_with("app", "", "ignore TERM", &json!({ "stopTimeout": 120 }))).await;
    bench.until(&arn, "RUNNING").await;
    interrupt(bench, None).unwrap();
    bench.kit.settle().await;
    bench.kit.advance(Duration::from_millis(119_999)).await;
    let task = bench.task(&arn).await;
    assert_eq!((&task["lastStatus"], &task["stopCode"]), (&json!("STOPPING"), &json!("TerminationNotice")));
    bench.kit.advance(Duration::from_millis(1)).await;
    let task = bench.task(&arn).await;
    assert_eq!((&task["lastStatus"], &task["stopCode"]), (&json!("STOPPED"), &json!("SpotInterruption")));
    assert_eq!(task["containers"][0]["exitCode"], 137);
}

async fn a_task_that_is_interrupted_before_it_runs_starts_nothing(bench: &Bench) {
    bench.kit.node().unwrap().delay_attaches(Duration::from_secs(3));
    let arn = start(bench, server("app")).await;
    bench.kit.settle().await;
    assert_eq!(interrupt(bench, None), Ok(vec![arn.clone()]));
    let task = bench.until_stopped(&arn).await;
    assert_eq!((&task["stopCode"], &task["startedAt"]), (&json!("SpotInterruption"), &json!(null)));
    bench.assert_node_is_empty().await;
}

async fn a_service_replaces_a_task_that_is_interrupted(bench: &Bench) {
    bench.register(&[server("app")]).await;
    let spot = spot(bench).await;
    let mut input = bench.run_task_input(&spot).await;
    (input["serviceName"], input["desiredCount"]) = (json!("web"), json!(1));
    bench.kit.ecs("CreateService", &input).await;
    let tasks = async || {
        let listed = bench.kit.ecs("ListTasks", &json!({ "serviceName": "web", "desiredStatus": "RUNNING" })).await;
        listed["taskArns"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = bench.kit.wait_for("a task", async || tasks().await.pop()).await;
    bench.until(&first, "RUNNING").await;
    assert_eq!(interrupt(bench, None), Ok(vec![first.clone()]));
    let second = bench.kit.wait_for("another task", async || tasks().await.pop()).await;
    assert_ne!(second, first);
    let task = bench.until(&second, "RUNNING").await;
    assert_eq!(task["capacityProviderName"], "FARGATE_SPOT");
    bench.kit.ecs("DeleteService", &json!({ "service": "web", "force": true })).await;
}
