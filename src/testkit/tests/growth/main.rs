//! What requests cost as the tables fill up, counted in rows that are looked at: a page costs what it shows, whatever
//! lies beside it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use testkit::Testkit;

/// How many rows there are of what is not asked for.
const OTHERS: u64 = 300;
/// How many items a page has.
const PAGE: usize = 10;
/// How many rows a page may look at: its own, one more to see whether there is another page, and the rest of a chunk.
const LOOKS_MAX: u64 = 24;

fn looks(kit: &Testkit) -> u64 {
    let ecs = &kit.emulator().state().ecs;
    ecs.clusters.walked() + ecs.tasks.walked() + ecs.services.walked() + ecs.task_definitions.walked()
}

/// Sends a request that may look at so many rows, and returns its output.
async fn costs(kit: &Testkit, most: u64, operation: &str, input: Value) -> Value {
    let before = looks(kit);
    let output = kit.ecs(operation, &input).await;
    let looked = looks(kit) - before;
    assert!(looked <= most, "{operation} {input} looked at {looked} rows");
    output
}

/// Walks a listing and checks the cost of each page; returns how many items there are.
async fn walk(kit: &Testkit, operation: &str, member: &str, mut input: Value) -> usize {
    input["maxResults"] = json!(PAGE);
    let mut count = 0;
    loop {
        let page = costs(kit, LOOKS_MAX, operation, input.clone()).await;
        count += page[member].as_array().unwrap().len();
        match page.get("nextToken") {
            None => return count,
            Some(token) => input["nextToken"] = token.clone(),
        }
    }
}

async fn register(kit: &Testkit, family: &str) {
    let container = json!({ "name": "main", "image": "busybox", "memory": 64 });
    kit.ecs("RegisterTaskDefinition", &json!({ "family": family, "containerDefinitions": [container] })).await;
}

async fn deregister(kit: &Testkit, definition: &str) {
    kit.ecs("DeregisterTaskDefinition", &json!({ "taskDefinition": definition })).await;
}

#[tokio::test]
async fn definitions_are_listed_and_found_past_any_number_of_deregistered_ones() {
    let kit = Testkit::simulated();
    for n in 1..=OTHERS {
        register(&kit, "app").await;
        if n != 2 {
            deregister(&kit, &format!("app:{n}")).await;
        }
    }
    for n in 0..15 {
        register(&kit, &format!("other-{n:02}")).await;
    }
    let found = costs(&kit, LOOKS_MAX, "DescribeTaskDefinition", json!({ "taskDefinition": "app" })).await;
    assert_eq!(found["taskDefinition"]["revision"], 2);
    for sort in ["ASC", "DESC"] {
        let count = async |input| walk(&kit, "ListTaskDefinitions", "taskDefinitionArns", input).await;
        assert_eq!(count(json!({ "sort": sort })).await, 16);
        assert_eq!(count(json!({ "sort": sort, "familyPrefix": "app" })).await, 1);
        assert_eq!(count(json!({ "sort": sort, "status": "INACTIVE" })).await, 299);
    }
    // Each family is looked up by itself, in a chunk of its own.
    let families =
        async |input| costs(&kit, 5 * LOOKS_MAX, "ListTaskDefinitionFamilies", input).await["families"].clone();
    assert_eq!(families(json!({ "familyPrefix": "other-1" })).await.as_array().unwrap().len(), 5);
    assert_eq!(families(json!({ "status": "ACTIVE" })).await.as_array().unwrap().len(), 16);
    deregister(&kit, "app:2").await;
    assert_eq!(families(json!({ "status": "INACTIVE" })).await, json!(["app"]));
    assert_eq!(families(json!({ "status": "ACTIVE", "familyPrefix": "app" })).await, json!([]));
}

#[tokio::test]
async fn clusters_are_listed_past_any_number_of_deleted_ones() {
    let kit = Testkit::simulated();
    for n in 0..OTHERS {
        let name = json!(format!("c-{n:03}"));
        kit.ecs("CreateCluster", &json!({ "clusterName": name })).await;
        if n % 25 != 0 {
            kit.ecs("DeleteCluster", &json!({ "cluster": name })).await;
        }
    }
    assert_eq!(walk(&kit, "ListClusters", "clusterArns", json!({})).await, 12);
}

#[tokio::test]
async fn services_are_listed_past_any_number_of_deleted_and_of_other_ones() {
    let kit = Testkit::simulated();
    kit.ecs("CreateCluster", &json!({})).await;
    register(&kit, "app").await;
    for n in 0..OTHERS {
        let is_kept = n % 25 == 0;
        let strategy = if n == 0 { "DAEMON" } else { "REPLICA" };
        let mut service = json!({ "serviceName": format!("s-{n:03}"), "taskDefinition": "app" });
        service["schedulingStrategy"] = json!(strategy);
        if n != 0 {
            service["desiredCount"] = json!(0);
        }
        kit.ecs("CreateService", &service).await;
        if !is_kept {
            kit.ecs("DeleteService", &json!({ "service": service["serviceName"] })).await;
        }
    }
    kit.settle().await;
    let count = async |input| walk(&kit, "ListServices", "serviceArns", input).await;
    assert_eq!(count(json!({})).await, 12);
    assert_eq!(count(json!({ "schedulingStrategy": "DAEMON" })).await, 1);
    assert_eq!(count(json!({ "launchType": "FARGATE" })).await, 0);
}

#[tokio::test]
async fn tasks_are_listed_past_any_number_of_stopped_and_of_other_ones() {
    let kit = Testkit::simulated();
    kit.ecs("CreateCluster", &json!({})).await;
    let reply = kit.call_form("ec2", "DescribeSubnets", "").await.text();
    let subnet = reply.split("<subnetId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    for family in ["app", "rare"] {
        let definition = json!({
            "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512",
            "containerDefinitions": [{ "name": "main", "image": "busybox" }],
        });
        kit.ecs("RegisterTaskDefinition", &definition).await;
    }
    let run = async |family: &str, who: &str| {
        let network = json!({ "awsvpcConfiguration": { "subnets": [subnet] } });
        let input = json!({
            "taskDefinition": family, "launchType": "FARGATE", "count": 10, "startedBy": who,
            "networkConfiguration": network,
        });
        kit.ecs("RunTask", &input).await["tasks"].as_array().unwrap().clone()
    };
    for _ in 0..OTHERS / 10 {
        for task in run("app", "crowd").await {
            kit.ecs("StopTask", &json!({ "task": task["taskArn"] })).await;
        }
    }
    run("app", "me").await;
    run("rare", "crowd").await;
    let count = async |input| walk(&kit, "ListTasks", "taskArns", input).await;
    assert_eq!(count(json!({})).await, 20);
    assert_eq!(count(json!({ "desiredStatus": "STOPPED" })).await, 300);
    assert_eq!(count(json!({ "desiredStatus": "STOPPED", "family": "rare" })).await, 0);
    assert_eq!(count(json!({ "family": "rare" })).await, 10);
    assert_eq!(count(json!({ "startedBy": "me" })).await, 10);
    assert_eq!(count(json!({ "launchType": "EC2" })).await, 0);
}
