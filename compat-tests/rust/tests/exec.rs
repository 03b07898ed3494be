//! ECS Exec, judged by a client of AWS's data channel that others wrote: `aws-ssm-bridge`.
//!
//! `NEARGATE_ENDPOINT` is where the server is, `NEARGATE_EXEC_CLUSTER` and `NEARGATE_EXEC_TASK` a task that runs with
//! ECS Exec enabled; `test_rust.py` starts both.

use std::time::Duration;

use aws_ssm_bridge::{CloseReason, EndpointPolicy, OutputStream, Session, SessionConfig};
use connection::{client, variable};

mod connection;

const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a session for a command. `more` is what the address asks for beyond what AWS knows.
async fn open(command: &str, more: &str) -> (Session, OutputStream) {
    let answer = client()
        .execute_command()
        .cluster(variable("NEARGATE_EXEC_CLUSTER"))
        .task(variable("NEARGATE_EXEC_TASK"))
        .command(command)
        .interactive(true)
        .send()
        .await
        .expect("a session is opened");
    let session = answer.session().expect("there is a session");
    let member = |value: Option<&str>| value.expect("a session has all members").to_owned();
    let id = member(session.session_id());
    assert!(id.starts_with("ecs-execute-command-"), "{id}");
    let address = member(session.stream_url()) + more;
    let mut config = SessionConfig::new("ecs:test");
    config.endpoint_policy = EndpointPolicy::AllowAny;
    let session =
        Session::attach(id, address, member(session.token_value()), config).await.expect("it is connected to");
    let output = session.output();
    (session, output)
}

async fn read_until(output: &mut OutputStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let piece = tokio::time::timeout(PATIENCE, output.recv()).await;
        let piece = piece.unwrap_or_else(|_| panic!("{text:?} goes on")).unwrap_or_else(|| panic!("{text:?} ends"));
        text += &String::from_utf8_lossy(&piece);
    }
    text
}

async fn end_of(session: &Session) -> CloseReason {
    tokio::time::timeout(PATIENCE, session.closed()).await.expect("the session ends");
    session.close_reason().expect("there is a reason")
}

#[tokio::test]
async fn a_commands_output_comes_and_its_session_ends() {
    let (session, mut output) = open("sh -c 'echo hi; exit 3'", "").await;
    session.wait_ready().await.expect("the handshake succeeds");
    assert_eq!(read_until(&mut output, "\r\n").await, "hi\r\n");
    let reason = end_of(&session).await;
    assert!(matches!(&reason, CloseReason::AgentClosed { exit_code: None, detail: None }), "{reason:?}");
}

#[tokio::test]
async fn an_exit_code_is_told_to_who_asks_for_it() {
    let (session, _) = open("sh -c 'exit 3'", "&exit-code=true").await;
    end_of(&session).await;
    assert_eq!(session.exit_code(), Some(3));
}

#[tokio::test]
async fn what_is_typed_is_read_and_the_terminal_has_a_size() {
    let (session, mut output) = open("/bin/sh", "").await;
    session.wait_ready().await.expect("the handshake succeeds");
    session.send_terminal_size(132, 43).await.expect("the session takes a size");
    // Without line editing, the shell shows no more than it is told to.
    session.send(&b"stty -echo; PS1=; echo size $(stty size) of $(id -u)\r"[..]).await.expect("it takes input");
    read_until(&mut output, "size 43 132 of 0\r\n").await;
    session.send(&b"cat\r"[..]).await.expect("it takes input");
    for line in ["one", "two", "three"] {
        session.send(format!("{line}\r").into_bytes()).await.expect("it takes input");
        read_until(&mut output, &format!("{line}\r\n")).await;
    }
    session.send(&b"\x04exit\r"[..]).await.expect("it takes input");
    assert!(matches!(end_of(&session).await, CloseReason::AgentClosed { .. }));
}

#[tokio::test]
async fn much_output_comes_whole_and_in_order() {
    let (session, mut output) = open("seq 1 20000", "").await;
    session.wait_ready().await.expect("the handshake succeeds");
    let text = read_until(&mut output, "\n20000\r\n").await;
    let numbers = text.split_whitespace().map(|number| number.parse::<u32>().unwrap());
    assert!(numbers.eq(1..=20_000));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_at_the_end() {
    let (session, _) = open("/bin/nothing", "").await;
    match end_of(&session).await {
        CloseReason::AgentClosed { detail: Some(detail), .. } => assert!(
            detail.ends_with(
                "Unable to start command: Failed to start pty: fork/exec /bin/nothing: no such file or directory"
            ),
            "{detail}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_opens_its_own_session_and_that_once() {
    let (first, _) = open("sleep 600", "").await;
    first.wait_ready().await.expect("the handshake succeeds");
    let mut config = SessionConfig::new("ecs:test");
    config.endpoint_policy = EndpointPolicy::AllowAny;
    let address = variable("NEARGATE_ENDPOINT").replace("http://", "ws://");
    let address = format!("{address}/v1/data-channel/{}?role=publish_subscribe", first.id());
    let second = Session::attach(first.id(), address, "0".repeat(64), config).await;
    assert!(second.is_err(), "the session is in use");
    first.terminate().await.expect("it ends");
}
