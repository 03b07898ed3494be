//! What containers are given, and what they write.

use serde_json::json;

use crate::bench::{BOTH, Bench, LOG_GROUP, container, container_with, id_of, text};

crate::scenarios! {
    BOTH => [
        all_output_is_in_the_log_in_order,
        the_last_line_needs_no_line_end,
        a_log_stream_is_named_after_container_and_task,
        the_driver_makes_the_log_group_where_it_is_asked_to,
        overrides_change_command_and_environment,
        a_container_has_its_working_directory_and_user,
        containers_of_a_task_write_to_streams_of_their_own,
    ],
}

async fn all_output_is_in_the_log_in_order(bench: &Bench) {
    let lines = (1..=300).map(|n| n.to_string()).collect::<Vec<_>>();
    let script = format!("output \"{}\"; exit 0 after 1s", lines.join("\\n"));
    let arn = bench.start(&[container("app", "seq 300", &script)]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, lines, "a stopped task has all its output in the log");
}

async fn the_last_line_needs_no_line_end(bench: &Bench) {
    let arn = bench.start(&[container("app", "echo one; echo -n two", r"output one; output two; exit 0")]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["one", "two"]);
}

async fn a_log_stream_is_named_after_container_and_task(bench: &Bench) {
    let arn = bench.start(&[container("app", "echo hello", "output hello; exit 0")]).await;
    bench.until_stopped(&arn).await;
    let output = bench.kit.ask("logs", "DescribeLogStreams", &json!({ "logGroupName": LOG_GROUP })).await;
    assert_eq!(output["logStreams"].as_array().unwrap().len(), 1);
    assert_eq!(output["logStreams"][0]["logStreamName"], format!("test/app/{}", id_of(&arn)));
}

async fn containers_of_a_task_write_to_streams_of_their_own(bench: &Bench) {
    let one = container("one", "echo from one; sleep 1", "output from one; exit 0 after 1s");
    let two = container_with("two", "echo from two", "output from two; exit 0", &json!({ "essential": false }));
    let arn = bench.start(&[one, two]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("one", &arn).await, ["from one"]);
    assert_eq!(bench.log("two", &arn).await, ["from two"]);
}

async fn the_driver_makes_the_log_group_where_it_is_asked_to(bench: &Bench) {
    let mut app = container("app", "echo hello", "output hello; exit 0");
    app["logConfiguration"]["options"]["awslogs-group"] = json!("/made/by/driver");
    app["logConfiguration"]["options"]["awslogs-create-group"] = json!("true");
    let arn = bench.start(&[app]).await;
    bench.until_stopped(&arn).await;
    let input = json!({ "logGroupName": "/made/by/driver" });
    let output = bench.kit.ask("logs", "FilterLogEvents", &input).await;
    assert_eq!(output["events"][0]["message"], "hello");
}

async fn overrides_change_command_and_environment(bench: &Bench) {
    let app = container_with(
        "app",
        "echo not run",
        "output not run; exit 1",
        &json!({ "environment": [
            { "name": "NEARGATE_SIMULATE", "value": "output not run; exit 1" },
            { "name": "KEPT", "value": "kept" },
            { "name": "CHANGED", "value": "before" },
        ] }),
    );
    bench.register(&[app]).await;
    let overrides = json!({ "containerOverrides": [{
        "name": "app",
        "command": ["echo $KEPT $CHANGED $ADDED; exit 4"],
        "environment": [
            { "name": "NEARGATE_SIMULATE", "value": r#"output "kept after added"; exit 4"# },
            { "name": "CHANGED", "value": "after" },
            { "name": "ADDED", "value": "added" },
        ],
    }] });
    let arn = bench.run_task(&json!({ "overrides": overrides })).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 4);
    assert_eq!(bench.log("app", &arn).await, ["kept after added"]);
    assert_eq!(task["overrides"]["containerOverrides"], overrides["containerOverrides"]);
}

async fn a_container_has_its_working_directory_and_user(bench: &Bench) {
    let more = json!({ "workingDirectory": "/srv", "user": "app" });
    let app = container_with("app", "pwd; id -u; id -g", r#"output "/srv\n1000\n1001"; exit 0"#, &more);
    let arn = bench.start(&[app]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["/srv", "1000", "1001"]);
    assert!(text(&task["containers"][0]["runtimeId"]).starts_with(&format!("{}-", id_of(&arn))));
}
