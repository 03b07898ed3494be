//! Tasks that end by themselves.

use serde_json::json;

use crate::bench::{BOTH, Bench, container, container_with, server};

crate::scenarios! {
    BOTH => [
        a_container_that_ends_well_ends_its_task,
        the_exit_code_is_told,
        a_container_that_is_not_essential_does_not_end_its_task,
        the_end_of_the_essential_container_ends_its_siblings,
        a_container_over_its_memory_limit_is_killed_and_says_so,
    ],
}

async fn a_container_that_ends_well_ends_its_task(bench: &Bench) {
    let arn = bench.start(&[container("app", "true", "exit 0")]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 0);
    assert_eq!(task["containers"][0]["lastStatus"], "STOPPED");
    assert_eq!(task["containers"][0]["reason"], json!(null));
    assert_eq!(task["desiredStatus"], "STOPPED");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
}

async fn the_exit_code_is_told(bench: &Bench) {
    let arn = bench.start(&[container("app", "exit 3", "exit 3")]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 3);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
}

async fn a_container_that_is_not_essential_does_not_end_its_task(bench: &Bench) {
    let helper = container_with("helper", "exit 5", "exit 5", &json!({ "essential": false }));
    let arn = bench.start(&[server("app"), helper]).await;
    let look = async || Some(bench.task(&arn).await).filter(|task| task["containers"][1]["lastStatus"] == "STOPPED");
    bench.kit.wait_for("the end of the helper", look).await;
    let task = bench.until(&arn, "RUNNING").await;
    assert_eq!(task["containers"][1]["exitCode"], 5);
    assert_eq!(task["containers"][0]["lastStatus"], "RUNNING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["stopCode"], json!(null));
}

async fn the_end_of_the_essential_container_ends_its_siblings(bench: &Bench) {
    let sibling = container_with(
        "sibling",
        "trap 'exit 143' TERM; echo ready; sleep 600 & wait",
        "output ready",
        &json!({ "essential": false }),
    );
    // The essential one ends only after its sibling can be asked to.
    let app = container("app", "sleep 1; exit 0", "exit 0 after 1s");
    let arn = bench.start(&[app, sibling]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["containers"][0]["exitCode"], 0);
    assert_eq!(task["containers"][1]["exitCode"], 143);
}

async fn a_container_over_its_memory_limit_is_killed_and_says_so(bench: &Bench) {
    let hungry = container_with("app", "dd if=/dev/zero of=/dev/null bs=200M count=1", "oom", &json!({ "memory": 64 }));
    let arn = bench.start(&[hungry]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert_eq!(task["containers"][0]["reason"], "OutOfMemoryError: Container killed due to memory usage");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}
