//! Services on the simulated node and the manual clock, for as long as AWS takes: what their event log says, line by line.

mod code_deploy;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Testkit;

/// The subnet of the default VPC in which the tasks are.
async fn subnet(kit: &Testkit) -> String {
    let reply = kit.call_form("ec2", "DescribeSubnets", "").await;
    let text = reply.text();
    let from = text.find("<subnetId>").expect("there is a subnet") + "<subnetId>".len();
    text[from..].split('<').next().unwrap_or_default().to_owned()
}

/// Makes a service of tasks that live as the script says.
async fn start(kit: &Testkit, script: &str, service: Value) {
    let capacity = json!({ "capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": [] });
    let mut cluster = json!({ "clusterName": "default" });
    merge(&mut cluster, capacity);
    kit.ecs("CreateCluster", &cluster).await;
    define(kit, script).await;
    let network = json!({ "awsvpcConfiguration": { "subnets": [subnet(kit).await], "assignPublicIp": "ENABLED" } });
    let mut input = json!({ "serviceName": "web", "taskDefinition": "app", "networkConfiguration": network });
    merge(&mut input, service);
    kit.ecs("CreateService", &input).await;
    kit.settle().await;
}

async fn define(kit: &Testkit, script: &str) {
    let definition = json!({
        "family": "app", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "containerDefinitions": [{
            "name": "app", "image": "busybox",
            "environment": [{ "name": "NEARGATE_SIMULATE", "value": script }],
        }],
    });
    kit.ecs("RegisterTaskDefinition", &definition).await;
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// Returns the event log, the oldest first: seconds since the start and the message, with tasks numbered as they come.
async fn log(kit: &Testkit) -> Vec<String> {
    let output = kit.ecs("DescribeServices", &json!({ "services": ["web"] })).await;
    let service = &output["services"][0];
    let created = service["createdAt"].as_f64().unwrap_or_default();
    let mut names = BTreeMap::new();
    let events = service["events"].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for event in events.iter().rev() {
        let words = event["message"].as_str().unwrap_or_default().split(' ').map(|word| {
            let core = word.trim_matches(|sign| "().,".contains(sign));
            let is_id = core.len() == 32 && core.bytes().all(|digit| digit.is_ascii_hexdigit());
            let is_deployment = core.starts_with("ecs-svc/");
            if !is_id && !is_deployment {
                return word.to_owned();
            }
            let next = names.len() + 1;
            let number = *names.entry(core.to_owned()).or_insert(next);
            word.replace(core, &format!("#{number}"))
        });
        let words = words.collect::<Vec<_>>().join(" ");
        lines.push(format!("{:.0} {words}", event["createdAt"].as_f64().unwrap_or_default() - created));
    }
    lines
}

async fn running(kit: &Testkit) -> u64 {
    let output = kit.ecs("DescribeServices", &json!({ "services": ["web"] })).await;
    output["services"][0]["runningCount"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn half_of_a_service_that_spot_takes_is_replaced() {
    let kit = Testkit::simulated();
    let strategy = json!([
        { "capacityProvider": "FARGATE", "weight": 1 }, { "capacityProvider": "FARGATE_SPOT", "weight": 1 },
    ]);
    start(&kit, "", json!({ "desiredCount": 4, "capacityProviderStrategy": strategy })).await;
    kit.pass(Duration::from_secs(60)).await;
    assert_eq!(running(&kit).await, 4);
    let interrupted = kit.emulator().controllers().interrupt(&controllers::SpotInterruption::default());
    assert_eq!(interrupted.expect("there are Spot tasks").len(), 2);
    kit.pass(Duration::from_secs(60)).await;
    assert_eq!(running(&kit).await, 4);
    assert_eq!(
        log(&kit).await,
        [
            "0 (service web) has started 4 tasks: (task #1) (task #2) (task #3) (task #4).",
            "40 (service web) (deployment #5) deployment completed.",
            "40 (service web) has reached a steady state.",
            "60 (service web) has started 2 tasks: (task #6) (task #7).",
            "100 (service web) has reached a steady state.",
        ]
    );
}

#[tokio::test]
async fn a_service_whose_tasks_never_start_is_tried_ever_more_rarely_up_to_27_minutes() {
    let kit = Testkit::simulated();
    start(&kit, "fail start \"exec format error\"", json!({ "desiredCount": 1, "launchType": "FARGATE" })).await;
    kit.pass(Duration::from_secs(3 * 3600)).await;
    let starts = [0, 5, 15, 35, 75, 155, 315, 635, 1275, 2555, 4175, 5795, 7415, 9035, 10655];
    let mut expected = starts
        .iter()
        .enumerate()
        .map(|(place, second)| format!("{second} (service web) has started 1 tasks: (task #{}).", place + 1))
        .collect::<Vec<_>>();
    // It is said once, with the second failure; from 1,620 seconds on the waits do not grow any more.
    expected.insert(2, "5 (service web) is unable to consistently start tasks successfully.".to_owned());
    assert_eq!(log(&kit).await, expected);
    // A task definition that can start is not held up.
    define(&kit, "").await;
    kit.ecs("UpdateService", &json!({ "service": "web", "taskDefinition": "app" })).await;
    kit.pass(Duration::from_secs(60)).await;
    assert_eq!(running(&kit).await, 1);
}
