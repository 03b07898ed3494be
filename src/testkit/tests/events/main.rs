//! Events and schedules over the API, on the simulated node and a clock that is moved by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod endpoint;
mod function;
mod restart;
mod schedules;
mod task_events;

use serde_json::{Value, json};
use testkit::Testkit;

const GROUP: &str = "/aws/events/x";
const CLUSTER: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/default";
const ROLE: &str = "arn:aws:iam::123456789012:role/r";
const SUBNET: &str = "subnet-09e050714e1e3b28f";

/// Makes a rule with one target.
async fn rule(kit: &Testkit, name: &str, when: Value, target: Value) {
    let mut rule = json!({ "Name": name });
    rule.as_object_mut().unwrap().extend(when.as_object().unwrap().clone());
    kit.ask("events", "PutRule", &rule).await;
    kit.ask("events", "PutTargets", &json!({ "Rule": name, "Targets": [target] })).await;
}

/// A log group as a target.
async fn log_target(kit: &Testkit) -> Value {
    kit.call("logs", "CreateLogGroup", &json!({ "logGroupName": GROUP })).await;
    json!({ "Id": "log", "Arn": format!("arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}") })
}

/// The default cluster as a target, and a task definition whose containers run for a second.
async fn task_target(kit: &Testkit) -> Value {
    kit.ecs("CreateCluster", &json!({})).await;
    let container = json!({
        "name": "main", "image": "busybox",
        "environment": [{ "name": "NEARGATE_SIMULATE", "value": "exit 0 after 1s" }],
    });
    let definition = json!({
        "family": "job", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
        "memory": "512", "containerDefinitions": [container],
    });
    let registered = kit.ecs("RegisterTaskDefinition", &definition).await;
    json!({
        "Id": "task",
        "Arn": CLUSTER,
        "RoleArn": ROLE,
        "EcsParameters": {
            "TaskDefinitionArn": registered["taskDefinition"]["taskDefinitionArn"],
            "LaunchType": "FARGATE",
            "NetworkConfiguration": { "awsvpcConfiguration": { "Subnets": [SUBNET] } },
        },
    })
}

/// Returns what is in the log group, in order.
async fn logged(kit: &Testkit) -> Vec<Value> {
    let found = kit.ask("logs", "FilterLogEvents", &json!({ "logGroupName": GROUP })).await;
    let messages = found["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap());
    messages.map(|message| serde_json::from_str(message).unwrap()).collect()
}

/// Returns the tasks that there are or have been, the oldest first: when they were made, in seconds since the start of the
/// clock, and by whom.
async fn tasks(kit: &Testkit) -> Vec<(i64, String)> {
    let state = kit.emulator().state();
    let rows = state.ecs.tasks.walk(kit.scope(), None);
    let mut tasks = rows
        .map(|(_, task)| {
            let at_s = (task.created_at.as_millis() - testkit::START.as_millis()) / 1000;
            (at_s, task.started_by.clone().unwrap_or_default())
        })
        .collect::<Vec<_>>();
    tasks.sort();
    tasks
}
