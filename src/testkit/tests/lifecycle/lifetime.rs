//! A task from its first status to when it is forgotten, and many at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, LOG_GROUP, SIMULATED, container, container_with, id_of, server, text};

/// Every status, in the order of a task's life.
const STATUSES: [&str; 8] =
    ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"];

crate::scenarios! {
    BOTH => [
        run_task_answers_before_anything_is_done,
        statuses_come_in_order_and_raise_the_version,
        times_come_in_order,
        a_stopped_task_is_described_and_listed_as_stopped,
        a_client_token_starts_its_tasks_once,
        fifty_tasks_at_once_all_end_and_leave_nothing,
        a_reset_takes_everything_away,
        a_reset_while_tasks_start_leaves_nothing,
    ],
    SIMULATED => [a_stopped_task_is_forgotten_after_an_hour, every_slow_status_is_seen],
}

async fn run_task_answers_before_anything_is_done(bench: &Bench) {
    bench.register(&[server("app")]).await;
    let output = bench.kit.ecs("RunTask", &bench.run_task_input(&json!({ "startedBy": "tester" })).await).await;
    let task = &output["tasks"][0];
    assert_eq!(task["lastStatus"], "PROVISIONING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["version"], 1);
    assert_eq!(task["startedBy"], "tester");
    assert_eq!(task["attachments"][0]["status"], "PRECREATED");
    assert_eq!(task["containers"][0]["lastStatus"], "PENDING");
}

/// Follows a task to its end; returns each status seen, with the version it was first seen at.
async fn follow(bench: &Bench, arn: &str) -> Vec<(String, i64)> {
    let mut seen = Vec::<(String, i64)>::new();
    let look = async || {
        let task = bench.task(arn).await;
        let (status, version) = (text(&task["lastStatus"]), task["version"].as_i64().unwrap());
        if seen.last().is_none_or(|(last, _)| *last != status) {
            seen.push((status.clone(), version));
        }
        (status == "STOPPED").then_some(())
    };
    bench.kit.wait_for("STOPPED", look).await;
    seen
}

fn place_of(status: &str) -> usize {
    STATUSES.iter().position(|known| *known == status).unwrap_or_else(|| panic!("{status} is no status"))
}

async fn statuses_come_in_order_and_raise_the_version(bench: &Bench) {
    let arn = bench.start(&[container("app", "sleep 0.3", "exit 0 after 300ms")]).await;
    let seen = follow(bench, &arn).await;
    for pair in seen.windows(2) {
        assert!(place_of(&pair[0].0) < place_of(&pair[1].0), "{seen:?}");
        assert!(pair[0].1 < pair[1].1, "{seen:?}");
    }
    assert!(seen.iter().any(|(status, _)| status == "RUNNING"), "{seen:?}");
}

async fn every_slow_status_is_seen(bench: &Bench) {
    let node = bench.kit.node().unwrap();
    node.delay_attaches(Duration::from_secs(1));
    node.delay_starts(Duration::from_secs(1));
    let arn = bench.start(&[container("app", "", "exit 0 after 1s on TERM")]).await;
    bench.kit.settle().await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "PROVISIONING");
    bench.until(&arn, "PENDING").await;
    bench.until(&arn, "RUNNING").await;
    bench.stop(&arn).await;
    let seen = follow(bench, &arn).await.into_iter().map(|(status, _)| status).collect::<Vec<_>>();
    assert_eq!(seen, ["STOPPING", "STOPPED"]);
}

async fn times_come_in_order(bench: &Bench) {
    let arn = bench.start(&[container("app", "sleep 0.2", "exit 0 after 200ms")]).await;
    let task = bench.until_stopped(&arn).await;
    let names = [
        "createdAt",
        "connectivityAt",
        "pullStartedAt",
        "pullStoppedAt",
        "startedAt",
        "executionStoppedAt",
        "stoppingAt",
        "stoppedAt",
    ];
    let times = names.map(|name| (name, task[name].as_f64().unwrap_or_else(|| panic!("there is no {name}: {task}"))));
    assert!(times.is_sorted_by(|(_, a), (_, b)| a <= b), "{times:?}");
}

async fn a_stopped_task_is_described_and_listed_as_stopped(bench: &Bench) {
    let arn = bench.start(&[container("app", "true", "exit 0")]).await;
    bench.until_stopped(&arn).await;
    let listed = async |input: Value| bench.kit.ecs("ListTasks", &input).await["taskArns"].clone();
    assert_eq!(listed(json!({})).await, json!([]));
    assert_eq!(listed(json!({ "desiredStatus": "STOPPED" })).await, json!([arn]));
    assert_eq!(listed(json!({ "desiredStatus": "STOPPED", "family": "other" })).await, json!([]));
    let cluster = bench.kit.ecs("DescribeClusters", &json!({})).await["clusters"][0].clone();
    assert_eq!((&cluster["runningTasksCount"], &cluster["pendingTasksCount"]), (&json!(0), &json!(0)));
}

async fn a_client_token_starts_its_tasks_once(bench: &Bench) {
    bench.register(&[server("app")]).await;
    let more = json!({ "clientToken": "once" });
    let first = bench.run_task(&more).await;
    bench.until(&first, "RUNNING").await;
    assert_eq!(bench.run_task(&more).await, first);
    assert_eq!(bench.kit.ecs("ListTasks", &json!({})).await["taskArns"], json!([first]));
}

async fn a_stopped_task_is_forgotten_after_an_hour(bench: &Bench) {
    let arn = bench.start(&[container("app", "", "exit 0")]).await;
    bench.until_stopped(&arn).await;
    bench.kit.advance(Duration::from_secs(3599)).await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "STOPPED");
    bench.kit.advance(Duration::from_secs(1)).await;
    let output = bench.kit.ecs("DescribeTasks", &json!({ "tasks": [arn] })).await;
    assert_eq!(output["tasks"], json!([]));
    assert_eq!(output["failures"], json!([{ "arn": arn, "reason": "MISSING" }]));
    assert_eq!(bench.kit.ecs("ListTasks", &json!({ "desiredStatus": "STOPPED" })).await["taskArns"], json!([]));
}

async fn fifty_tasks_at_once_all_end_and_leave_nothing(bench: &Bench) {
    bench.register(&[container("app", "echo done", "output done; exit 0")]).await;
    let mut arns = Vec::new();
    for _ in 0..5 {
        let output = bench.kit.ecs("RunTask", &bench.run_task_input(&json!({ "count": 10 })).await).await;
        let tasks = output["tasks"].as_array().unwrap();
        arns.extend(tasks.iter().map(|task| text(&task["taskArn"])));
    }
    assert_eq!(arns.len(), 50);
    for arn in &arns {
        let task = bench.until_stopped(arn).await;
        assert_eq!(task["containers"][0]["exitCode"], 0, "{}: {}", id_of(arn), task["stoppedReason"]);
        assert_eq!(bench.log("app", arn).await, ["done"], "{}", id_of(arn));
    }
    bench.assert_node_is_empty().await;
}

async fn a_reset_takes_everything_away(bench: &Bench) {
    bench.register(&[server("app")]).await;
    let output = bench.kit.ecs("RunTask", &bench.run_task_input(&json!({ "count": 3 })).await).await;
    let first = text(&output["tasks"][0]["taskArn"]);
    bench.until(&first, "RUNNING").await;
    bench.kit.emulator().reset().await.unwrap();
    bench.assert_node_is_empty().await;
    assert_eq!(bench.kit.ecs("ListClusters", &json!({})).await["clusterArns"], json!([]));
    assert_eq!(bench.kit.ecs("ListTaskDefinitionFamilies", &json!({})).await["families"], json!([]));
    assert_eq!(bench.kit.ask("logs", "DescribeLogGroups", &json!({})).await["logGroups"], json!([]));
    let scope = bench.kit.scope();
    assert_eq!(bench.kit.emulator().state().ec2.network_interfaces.walk(scope, None).count(), 0);
}

async fn a_reset_while_tasks_start_leaves_nothing(bench: &Bench) {
    for _ in 0..3 {
        bench.register(&[server("app"), container_with("side", "sleep 600", "", &json!({ "essential": false }))]).await;
        bench.kit.ecs("RunTask", &bench.run_task_input(&json!({ "count": 10 })).await).await;
        // Once the first runs, others are anywhere on their way.
        let look = async || {
            let clusters = bench.kit.ecs("DescribeClusters", &json!({})).await;
            clusters["clusters"][0]["runningTasksCount"].as_i64().filter(|running| *running > 0)
        };
        bench.kit.wait_for("the first running task", look).await;
        bench.kit.emulator().reset().await.unwrap();
        bench.assert_node_is_empty().await;
        bench.kit.ecs("CreateCluster", &json!({})).await;
        bench.kit.ask("logs", "CreateLogGroup", &json!({ "logGroupName": LOG_GROUP })).await;
    }
}
