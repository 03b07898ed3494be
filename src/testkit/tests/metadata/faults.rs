//! Faults of the network.

use serde_json::{Value, json};

use crate::bench::Bench;

const BLACKHOLE: &str = r#"{"Port": 80, "Protocol": "tcp", "TrafficType": "egress"}"#;
const LATENCY: &str = r#"{"DelayMilliseconds": 10, "JitterMilliseconds": 1, "Sources": ["10.0.0.0/8"]}"#;
const LOSS: &str = r#"{"LossPercent": 7, "Sources": ["10.0.0.0/8"]}"#;

fn allowed() -> Value {
    json!({ "enableFaultInjection": true })
}

/// Asks the API of a fault, at a time when it answers again.
async fn ask(bench: &Bench, fault: &str, action: &str, body: &str) -> String {
    bench.wait(5);
    bench.ask("POST", &format!("/api/{{id}}/fault/v1/network-{fault}/{action}"), body).await
}

#[tokio::test]
async fn a_black_hole_is_started_once_and_stopped() {
    let bench = Bench::new(&allowed()).await;
    for (action, status) in [
        ("status", "not-running"),
        ("stop", "stopped"),
        ("start", "running"),
        ("start", "running"),
        ("status", "running"),
        ("stop", "stopped"),
        ("status", "not-running"),
    ] {
        let answer = ask(&bench, "blackhole-port", action, BLACKHOLE).await;
        assert_eq!(answer, format!(r#"200 {{"Status":"{status}"}}"#), "{action}");
    }
}

#[tokio::test]
async fn latency_and_packet_loss_exclude_each_other() {
    let bench = Bench::new(&allowed()).await;
    let running = |name: &str| format!(r#"409 {{"Error":"There is already one network {name} fault running"}}"#);
    assert_eq!(ask(&bench, "latency", "start", LATENCY).await, r#"200 {"Status":"running"}"#);
    assert_eq!(ask(&bench, "latency", "start", LATENCY).await, running("latency"));
    assert_eq!(ask(&bench, "packet-loss", "start", LOSS).await, running("latency"));
    assert_eq!(ask(&bench, "packet-loss", "status", "").await, r#"200 {"Status":"not-running"}"#);
    assert_eq!(ask(&bench, "latency", "stop", "").await, r#"200 {"Status":"stopped"}"#);
    assert_eq!(ask(&bench, "packet-loss", "start", LOSS).await, r#"200 {"Status":"running"}"#);
    assert_eq!(ask(&bench, "latency", "start", LATENCY).await, running("packet loss"));
}

#[tokio::test]
async fn faults_are_only_for_tasks_that_allow_them() {
    let bench = Bench::new(&json!({})).await;
    let arn = bench.task.arn.as_str();
    let expected = format!(r#"400 {{"Error":"enableFaultInjection is not enabled for task: {arn}"}}"#);
    assert_eq!(ask(&bench, "latency", "start", LATENCY).await, expected);
    assert_eq!(ask(&bench, "blackhole-port", "status", BLACKHOLE).await, expected);
}

#[tokio::test]
async fn a_request_is_checked_before_the_task_is_looked_for() {
    let bench = Bench::new(&json!({})).await;
    let expected = r#"400 {"Error":"required parameter Port is missing"}"#;
    assert_eq!(ask(&bench, "blackhole-port", "start", "{}").await, expected);
    let expected = r#"400 {"Error":"required request body is missing"}"#;
    assert_eq!(ask(&bench, "packet-loss", "start", "").await, expected);
    let path = "/api/nobody/fault/v1/network-latency/status";
    let expected =
        r#"404 {"Error":"unable to get task arn from request: unable to get task Arn from v3 endpoint ID: nobody"}"#;
    assert_eq!(bench.ask("POST", path, "").await, expected);
    assert_eq!(bench.ask("GET", "/api/{id}/fault/v1/network-latency/status", "").await, "405 ");
}

#[tokio::test]
async fn each_api_of_each_fault_answers_once_in_five_seconds() {
    let bench = Bench::new(&allowed()).await;
    let status =
        async |fault: &str| bench.ask("POST", &format!("/api/{{id}}/fault/v1/network-{fault}/status"), BLACKHOLE).await;
    assert!(status("latency").await.starts_with("200"));
    assert_eq!(status("latency").await, "429 You have reached maximum request limit.");
    assert!(status("packet-loss").await.starts_with("200"));
    bench.wait(4);
    assert!(status("latency").await.starts_with("429"));
    bench.wait(1);
    assert!(status("latency").await.starts_with("200"));
}
