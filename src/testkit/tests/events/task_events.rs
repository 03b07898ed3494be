//! What happens to tasks, as rules see it.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::Testkit;

use crate::{SUBNET, log_target, logged, rule, task_target};

const TASK_EVENTS: &str = r#"{"source":["aws.ecs"],"detail-type":["ECS Task State Change"]}"#;

async fn run_task(kit: &Testkit) {
    let network = json!({ "awsvpcConfiguration": { "subnets": [SUBNET] } });
    let request = json!({ "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network });
    kit.ecs("RunTask", &request).await;
}

fn faces(events: &[Value]) -> Vec<String> {
    let face = |event: &Value| {
        let detail = &event["detail"];
        let word = |name: &str| detail[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", detail["version"], word("lastStatus"), word("desiredStatus"), word("stopCode"))
    };
    events.iter().map(face).collect()
}

#[tokio::test]
async fn each_version_of_a_tasks_life_is_one_event() {
    let kit = Testkit::simulated();
    task_target(&kit).await;
    rule(&kit, "r", json!({ "EventPattern": TASK_EVENTS }), log_target(&kit).await).await;
    run_task(&kit).await;
    kit.pass(Duration::from_secs(60)).await;
    let events = logged(&kit).await;
    assert_eq!(
        faces(&events),
        [
            "1 PROVISIONING RUNNING -",
            "2 PENDING RUNNING -",
            "3 RUNNING RUNNING -",
            "4 DEPROVISIONING STOPPED EssentialContainerExited",
            "5 STOPPED STOPPED EssentialContainerExited",
        ]
    );
    let last = &events[4];
    assert_eq!(last["resources"][0], last["detail"]["taskArn"]);
    assert_eq!(last["detail"]["containers"][0]["exitCode"], 0);
    assert_eq!(last["detail"]["attachments"][0]["type"], "eni");
    assert_eq!(last["detail"]["startedAt"].as_str().unwrap().len(), "2020-01-23T17:57:34.402Z".len());
}

#[tokio::test]
async fn nothing_is_noted_while_no_rule_wants_it() {
    let kit = Testkit::simulated();
    task_target(&kit).await;
    rule(&kit, "other", json!({ "EventPattern": r#"{"source":["aws.ec2"]}"# }), log_target(&kit).await).await;
    rule(&kit, "off", json!({ "EventPattern": TASK_EVENTS, "State": "DISABLED" }), log_target(&kit).await).await;
    let before = kit.emulator().state().ecs.outbox.rows.generation();
    run_task(&kit).await;
    kit.pass(Duration::from_secs(60)).await;
    assert_eq!(kit.emulator().state().ecs.outbox.rows.generation(), before);
    assert!(logged(&kit).await.is_empty());
}

#[tokio::test]
async fn a_deployment_that_is_given_up_is_told_in_words_of_its_own() {
    let kit = Testkit::simulated();
    task_target(&kit).await;
    let pattern = r#"{"source":["aws.ecs"],"detail-type":["ECS Deployment State Change"]}"#;
    rule(&kit, "r", json!({ "EventPattern": pattern }), log_target(&kit).await).await;
    let service = json!({
        "serviceName": "web", "taskDefinition": "job", "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": [SUBNET] } },
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": false } },
    });
    kit.ecs("CreateService", &service).await;
    kit.pass(Duration::from_mins(5)).await;
    let events = logged(&kit).await;
    let names = events.iter().map(|event| event["detail"]["eventName"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_FAILED"]);
    assert_eq!(events[1]["detail"]["reason"], "ECS deployment circuit breaker: task failed to start.");
    let shown = kit.ecs("DescribeServices", &json!({ "services": ["web"] })).await;
    let reason = &shown["services"][0]["deployments"][0]["rolloutStateReason"];
    assert_eq!(reason, "ECS deployment circuit breaker: tasks failed to start.");
}

#[tokio::test]
async fn a_task_that_ends_starts_another_through_a_rule() {
    let kit = Testkit::simulated();
    let pattern = json!({
        "detail-type": ["ECS Task State Change"],
        "detail": { "lastStatus": ["STOPPED"], "startedBy": [{ "exists": false }] },
    });
    let mut target = task_target(&kit).await;
    target["InputTransformer"] = json!({
        "InputPathsMap": { "task": "$.detail.taskArn" },
        "InputTemplate": r#"{"containerOverrides":[{"name":"main","command":["after","<task>"]}]}"#,
    });
    rule(&kit, "a-rule-with-a-name-that-is-rather-long", json!({ "EventPattern": pattern.to_string() }), target).await;
    run_task(&kit).await;
    kit.pass(Duration::from_secs(120)).await;
    let listed = kit.ecs("ListTasks", &json!({ "desiredStatus": "STOPPED" })).await;
    let tasks = kit.ecs("DescribeTasks", &json!({ "tasks": listed["taskArns"] })).await["tasks"].clone();
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    let second = tasks.iter().find(|task| !task["startedBy"].is_null()).unwrap();
    let first = tasks.iter().find(|task| task["startedBy"].is_null()).unwrap();
    assert_eq!(second["startedBy"], "events-rule/a-rule-with-a-name-that-");
    let command = &second["overrides"]["containerOverrides"][0]["command"];
    assert_eq!(*command, json!(["after", first["taskArn"]]));
}

#[tokio::test]
async fn a_container_instance_that_drains_is_an_event() {
    let kit = Testkit::simulated();
    kit.ecs("CreateCluster", &json!({})).await;
    let pattern = r#"{"detail-type":["ECS Container Instance State Change"]}"#;
    rule(&kit, "r", json!({ "EventPattern": pattern }), log_target(&kit).await).await;
    let resources = json!([
        { "name": "CPU", "type": "INTEGER", "integerValue": 2048 },
        { "name": "MEMORY", "type": "INTEGER", "integerValue": 4096 },
        { "name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"] },
    ]);
    let registered = kit.ecs("RegisterContainerInstance", &json!({ "totalResources": resources })).await;
    let arn = registered["containerInstance"]["containerInstanceArn"].clone();
    let drain = json!({ "containerInstances": [arn], "status": "DRAINING" });
    kit.ecs("UpdateContainerInstancesState", &drain).await;
    kit.settle().await;
    let events = logged(&kit).await;
    let seen = events.iter().map(|event| (&event["detail"]["version"], &event["detail"]["status"]));
    assert_eq!(seen.collect::<Vec<_>>(), [(&json!(1), &json!("ACTIVE")), (&json!(2), &json!("DRAINING"))]);
    let expected = json!({ "name": "CPU", "type": "INTEGER", "integerValue": 2048 });
    assert_eq!(events[0]["detail"]["remainingResources"][0], expected);
}
