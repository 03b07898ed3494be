//! How containers end.

use node::{Runtime, Signal};

use crate::bed::Bed;

crate::tests![
    exit_codes_are_the_programs,
    a_handled_sigterm_ends_as_the_handler_says,
    an_unhandled_sigterm_does_not_end_the_first_process,
    sigkill_is_137,
    a_signal_after_the_end_is_no_error,
    removing_twice_is_no_error,
    removing_a_running_sandbox_ends_its_processes,
    children_end_with_the_main_process,
];

async fn exit_codes_are_the_programs() {
    let bed = Bed::new();
    assert_eq!(bed.run("exit 0").await.0.code, 0);
    let (exit, _) = bed.run("exit 3").await;
    assert_eq!((exit.code, exit.is_oom_killed), (3, false));
}

async fn a_handled_sigterm_ends_as_the_handler_says() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "trap 'echo bye; exit 143' TERM; echo ready; while :; do sleep 0.05; done");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    bed.runtime.signal_container(&spec.id, Signal::TERM).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 143);
    assert_eq!(bed.texts(&spec.id).await, ["ready", "bye"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn an_unhandled_sigterm_does_not_end_the_first_process() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "trap 'echo int; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    bed.runtime.signal_container(&spec.id, Signal::TERM).await.unwrap();
    bed.runtime.signal_container(&spec.id, Signal(2)).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 5);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn sigkill_is_137() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.container(&sandbox.id, &["sleep", "600"]);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.runtime.signal_container(&spec.id, Signal::KILL).await.unwrap();
    let exit = bed.exit(&spec.id).await;
    assert_eq!((exit.code, exit.is_oom_killed), (137, false));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_signal_after_the_end_is_no_error() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.container(&sandbox.id, &["true"]);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    bed.runtime.signal_container(&spec.id, Signal::TERM).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 0);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    bed.runtime.signal_container(&spec.id, Signal::TERM).await.unwrap();
}

async fn removing_twice_is_no_error() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(bed.runtime.sandboxes().await.unwrap(), []);
}

async fn removing_a_running_sandbox_ends_its_processes() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    for script in ["sleep 601 & sleep 602", "trap '' TERM INT; while :; do sleep 1; done"] {
        bed.runtime.start_container(&bed.script(&sandbox.id, script)).await.unwrap();
    }
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn children_end_with_the_main_process() {
    let bed = Bed::new();
    let (exit, lines) = bed.run("(sleep 600; echo late) & echo main").await;
    assert_eq!((exit.code, lines), (0, vec!["main".to_owned()]));
}
