//! What a task finds at 169.254.170.2, asked from inside real containers. What the answers look like on paper is tested
//! with the simulated node, in `tests/metadata`.

use serde_json::{Value, json};

use crate::bench::{Bench, IMAGE, LOG_GROUP, Place, id_of, text};

/// The simulated node has nobody inside who could ask.
const REAL: &[Place] = &[Place::Fargate];
const ROLE: &str = "arn:aws:iam::123456789012:role/app";

crate::scenarios! {
    REAL => [
        a_task_reads_its_own_metadata_stats_and_credentials,
        a_task_does_not_find_the_containers_of_another,
        names_lead_to_interfaces_and_to_the_api,
        a_task_cuts_itself_off_from_a_port_and_back,
        what_is_for_the_user_alone_is_refused_to_tasks,
    ],
}

/// Starts a task that runs a shell command with a task role, and returns its ARN.
async fn start(bench: &Bench, command: &str) -> String {
    let container = json!({
        "name": "app",
        "image": IMAGE,
        "entryPoint": ["/bin/sh", "-c"],
        "command": [command],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": LOG_GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "test",
            },
        },
    });
    let definition = json!({
        "family": "app",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "taskRoleArn": ROLE,
        "enableFaultInjection": true,
        "containerDefinitions": [container],
    });
    bench.kit.ecs("RegisterTaskDefinition", &definition).await;
    bench.run_task(&json!({})).await
}

/// Runs a shell command in a task to its end, and returns its lines.
async fn run(bench: &Bench, command: &str) -> Vec<String> {
    let arn = start(bench, command).await;
    bench.until_stopped(&arn).await;
    bench.log("app", &arn).await
}

async fn a_task_reads_its_own_metadata_stats_and_credentials(bench: &Bench) {
    // The very first instructions may be ahead of what the shim has told.
    let command = "get() { wget -q -O - \"$1\"; echo; }
        until get $ECS_CONTAINER_METADATA_URI_V4 | busybox grep -q RUNNING...KnownStatus...RUNNING; do sleep 0.1; done
        get $ECS_CONTAINER_METADATA_URI_V4; get $ECS_CONTAINER_METADATA_URI_V4/task
        get $ECS_CONTAINER_METADATA_URI_V4/task/stats; get $ECS_CONTAINER_METADATA_URI
        get http://169.254.170.2/v2/metadata; get http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    let arn = start(bench, command).await;
    let task = bench.until_stopped(&arn).await;
    let lines = bench.log("app", &arn).await;
    let answers = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let [v4, v4_task, stats, v3, v2_task, credentials] = answers.as_slice() else { panic!("{lines:?}") };
    let id = &task["containers"][0]["runtimeId"];
    assert_eq!((&v4["DockerId"], &v4["Name"], &v4["KnownStatus"]), (id, &json!("app"), &json!("RUNNING")));
    let address = &task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"];
    assert_eq!(v4["Networks"][0]["IPv4Addresses"], json!([address]));
    assert_eq!((&v4_task["TaskARN"], &v4_task["Containers"][0]["DockerId"]), (&json!(arn), id));
    assert_eq!((&v3["DockerId"], &v2_task["TaskARN"]), (id, &json!(arn)));
    let stats = &stats[text(id)];
    let is_positive = |value: &Value| value.as_u64().is_some_and(|number| number > 0);
    for counter in [
        &stats["cpu_stats"]["cpu_usage"]["total_usage"],
        &stats["cpu_stats"]["system_cpu_usage"],
        &stats["memory_stats"]["usage"],
        &stats["pids_stats"]["current"],
        &stats["networks"]["eth1"]["rx_packets"],
    ] {
        assert!(is_positive(counter), "{stats}");
    }
    assert_eq!(credentials["RoleArn"], ROLE);
    assert!(text(&credentials["AccessKeyId"]).starts_with("ASIA"));
}

async fn a_task_does_not_find_the_containers_of_another(bench: &Bench) {
    let other = start(bench, "trap 'exit 0' TERM; sleep 600 & wait").await;
    let other = bench.until(&other, "RUNNING").await;
    let id = text(&other["containers"][0]["runtimeId"]);
    let command = format!(
        "for path in v4/{id} v3/{id}/task v4/{id}/stats v2/metadata/{id} api/{id}/task-protection/v1/state; do
            wget -q -O - http://169.254.170.2/$path 2>&1; done"
    );
    let lines = run(bench, &command).await;
    assert_eq!(lines, vec!["wget: server returned error: HTTP/1.1 404 Not Found"; 5]);
    bench.stop(&text(&other["taskArn"])).await;
    bench.until_stopped(&text(&other["taskArn"])).await;
}

async fn names_lead_to_interfaces_and_to_the_api(bench: &Bench) {
    let command = "call='Action=GetCallerIdentity&Version=2011-06-15'
        for host in 169.254.170.2:4566 sts.us-east-1.amazonaws.com; do
            wget -q -O - --post-data $call http://$host/ | busybox grep -c '<Account>'; done
        for name in $(hostname) 172.31.0.2 nobody.ec2.internal; do
            busybox nslookup $name 2>&1 | busybox grep -c -E 'Address: 172|NXDOMAIN'; done
        busybox nslookup -type=a $(hostname) 172.31.0.2 | busybox grep -c 'Address: 172'";
    let lines = run(bench, command).await;
    assert_eq!(lines[..2], ["1", "1"], "{lines:?}");
    assert_ne!(lines[2], "0", "its own name: {lines:?}");
    assert_ne!(lines[4], "0", "nobody's name: {lines:?}");
    assert_ne!(lines[5], "0", "asked of the server at the base of the VPC's range: {lines:?}");
}

async fn a_task_cuts_itself_off_from_a_port_and_back(bench: &Bench) {
    // Each API of a fault answers once in five seconds, so each is called once.
    let command = r#"body='{"Port": 4566, "Protocol": "tcp", "TrafficType": "egress"}'
        fault() { wget -q -O - --post-data "$body" $ECS_AGENT_URI/fault/v1/network-blackhole-port/$1; echo; }
        api() { (echo > /dev/null; busybox nc -w 2 169.254.170.2 4566 < /dev/null) 2> /dev/null && echo open || echo closed; }
        api; fault start; api; fault status; fault stop; api
        wget -q -O - --post-data "$body" $ECS_AGENT_URI/fault/v1/network-blackhole-port/stop 2>&1"#;
    let lines = run(bench, command).await;
    let expected = [
        "open",
        r#"{"Status":"running"}"#,
        "closed",
        r#"{"Status":"running"}"#,
        r#"{"Status":"stopped"}"#,
        "open",
        "wget: server returned error: HTTP/1.1 429 Too Many Requests",
    ];
    assert_eq!(lines, expected);
}

async fn what_is_for_the_user_alone_is_refused_to_tasks(bench: &Bench) {
    let command = "wget -q -O - http://169.254.170.2:4566/_neargate/health 2>&1
        wget -q -O - --post-data x http://169.254.170.2:4566/_neargate/reset 2>&1
        wget -q -O - http://169.254.170.2/_neargate/health 2>&1";
    let arn = start(bench, command).await;
    bench.until_stopped(&arn).await;
    let lines = bench.log("app", &arn).await;
    let refused = "wget: server returned error: HTTP/1.1 403 Forbidden";
    assert_eq!(lines, [refused, refused, "wget: server returned error: HTTP/1.1 404 Not Found"], "{}", id_of(&arn));
}
