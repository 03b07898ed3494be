//! What containers write.

use node::{OutputLine, OutputStream, Runtime};

use crate::bed::{Bed, set_script};

crate::tests![
    both_streams_are_kept_apart,
    a_last_line_without_end_is_kept,
    a_hundred_thousand_lines_come_complete_and_in_order,
    a_line_beyond_the_limit_comes_in_pieces,
    output_is_read_while_the_container_runs,
    a_container_far_ahead_of_its_release_waits,
    reading_an_unknown_container_gives_nothing,
];

async fn both_streams_are_kept_apart() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo out; echo err >&2");
    bed.runtime.start_container(&spec).await.unwrap();
    let exit = bed.exit(&spec.id).await;
    let lines = bed.lines(&spec.id).await;
    let of = |stream| lines.iter().filter(move |line| line.stream == stream).map(|line| line.bytes.as_slice());
    assert_eq!(of(OutputStream::Stdout).collect::<Vec<_>>(), [b"out"]);
    assert_eq!(of(OutputStream::Stderr).collect::<Vec<_>>(), [b"err"]);
    let started = bed.runtime.container(&spec.id).await.unwrap().started_at;
    assert!(lines.iter().all(|line| line.at >= started && line.at.as_millis() <= exit.at.as_millis() + 1_000));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_last_line_without_end_is_kept() {
    let bed = Bed::new();
    let (_, lines) = bed.run("echo one; echo; echo -n two").await;
    assert_eq!(lines, ["one", "", "two"]);
}

async fn a_hundred_thousand_lines_come_complete_and_in_order() {
    let bed = Bed::new();
    let (exit, lines) = bed.run("seq 100000").await;
    assert_eq!((exit.code, lines.len()), (0, 100_000));
    assert!(lines.iter().enumerate().all(|(index, line)| *line == (index + 1).to_string()));
}

async fn a_line_beyond_the_limit_comes_in_pieces() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let length = OutputLine::BYTES_MAX + 7;
    let spec = bed.script(&sandbox.id, &format!("dd if=/dev/zero bs={length} count=1 2>/dev/null; echo end"));
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    let lengths = bed.lines(&spec.id).await.iter().map(|line| line.bytes.len()).collect::<Vec<_>>();
    assert_eq!(lengths, [OutputLine::BYTES_MAX, 7 + 3]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn output_is_read_while_the_container_runs() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo ready; sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    assert_eq!(bed.runtime.container(&spec.id).await.unwrap().exit, None);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_far_ahead_of_its_release_waits() {
    const AHEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &[]);
    let line = "x".repeat(1_000);
    set_script(&mut spec, &format!("yes {line} | dd bs=1001 count=100000 iflag=fullblock 2>/dev/null"));
    bed.runtime.start_container(&spec).await.unwrap();
    let full = bed.wait(&spec.id, |state| state.output_end >= AHEAD_BYTES_MAX).await;
    assert_eq!(full.exit, None);
    assert!(full.output_end < AHEAD_BYTES_MAX + 1024 * 1024, "{full:?}");
    bed.runtime.release_output(&spec.id, full.output_end).await.unwrap();
    let exit = bed.exit(&spec.id).await;
    let end = bed.runtime.container(&spec.id).await.unwrap().output_end;
    assert_eq!((exit.code, end), (0, 100_000 * (1_000 + 13)));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn reading_an_unknown_container_gives_nothing() {
    let bed = Bed::new();
    let unknown = base::ContainerId::new("unknown");
    let page = bed.runtime.read_output(&unknown, 5, 100).await.unwrap();
    assert_eq!((page.lines.len(), page.next), (0, 5));
    bed.runtime.release_output(&unknown, 5).await.unwrap();
    assert_eq!(bed.runtime.container(&unknown).await, None);
}
