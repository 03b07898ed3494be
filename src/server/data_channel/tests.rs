//! Sessions from the client's side, on a simulated node and a clock that the tests advance.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Clock, ContainerId, Ids, ManualClock, Region, Scope, TaskId, Timestamp};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use node::simulated::SimulatedNode;
use node::{ContainerLimits, ContainerSpec, Image, ImageConfig, Isolation, RootFileSystem, SandboxSpec};
use reconcile::ManualTimer;
use state::State;
use state::ecs::{ExecSession, Transcript};
use state::iam::Secret;
use state::logs::StreamName;
use state::s3::Bucket;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::World;
use super::frame::{Flag, PayloadKind};
use super::handshake::{self, Opening};
use super::peer::{Peer, Side};
use super::session::{self, IDLE_MAX, Wishes};

const ID: &str = "ecs-execute-command-00000000000000001";
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_secs(60);
const WISHES: Wishes = Wishes { terminal: true, exit_code: true };

/// A simulated container, whose processes do what its script says.
struct Bed {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    container: ContainerId,
    stop: watch::Sender<bool>,
}

impl Bed {
    async fn new(script: &str) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let node = SimulatedNode::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(|_| {}));
        let ids = Ids::system();
        let task = ids.task();
        let container = ids.container(&task);
        let node = node.node();
        node.runtime.create_sandbox(&sandbox(&task)).await.unwrap();
        node.runtime.start_container(&spec(&task, &container, script)).await.unwrap();
        let world = World {
            state: State::in_memory(),
            node,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            timer: Arc::new(ManualTimer::new(Arc::clone(&clock))),
            ids,
        };
        Self { world: Arc::new(world), clock, container, stop: watch::Sender::new(false) }
    }

    fn open(&self, command: &str, transcript: Transcript) {
        let session = ExecSession {
            id: ID.to_owned(),
            token: Secret::new("token".to_owned()),
            scope: scope(),
            container: self.container.clone(),
            command: command.to_owned(),
            transcript,
            opened_at: self.clock.now(),
        };
        self.world.state.ecs.exec_sessions.open(session).unwrap();
    }

    /// Opens a session and connects to it.
    async fn connect(&self, wishes: Wishes) -> User {
        self.open("/bin/sh", Transcript::default());
        self.connect_with("token", wishes).await
    }

    async fn connect_with(&self, token: &str, wishes: Wishes) -> User {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (world, stopping) = (Arc::clone(&self.world), self.stop.subscribe());
        let server = tokio::spawn(async move {
            let socket = WebSocketStream::from_raw_socket(theirs, Role::Server, Some(super::config())).await;
            session::serve(&world, ID, wishes, socket, stopping).await;
        });
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let opening = Opening {
            message_schema_version: "1.0".to_owned(),
            request_id: String::new(),
            token_value: token.to_owned(),
            client_id: String::new(),
            client_version: String::new(),
        };
        socket.send(Message::Text(serde_json::to_string(&opening).unwrap().into())).await.unwrap();
        User {
            socket,
            peer: Peer::new(Side::Client, Ids::system()),
            server,
            seen: Seen::default(),
            pause: Duration::ZERO,
        }
    }
}

fn scope() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

fn sandbox(task: &TaskId) -> SandboxSpec {
    SandboxSpec {
        id: task.clone(),
        cpu_units: None,
        memory_mib: None,
        network_namespace: None,
        hostname: "box".to_owned(),
        hosts: Vec::new(),
        resolv_conf: Vec::new(),
        shares_pids: false,
        storage_bytes: None,
    }
}

fn spec(task: &TaskId, container: &ContainerId, script: &str) -> ContainerSpec {
    let image = Image { digest: "sha256:0".to_owned(), config: ImageConfig::default(), layers: vec![PathBuf::new()] };
    ContainerSpec {
        id: container.clone(),
        sandbox: task.clone(),
        name: "app".to_owned(),
        root: RootFileSystem { image: Arc::new(image), is_read_only: false },
        args: vec!["true".to_owned()],
        env: vec![format!("NEARGATE_SIMULATE={script}")],
        working_dir: String::new(),
        user: String::new(),
        limits: ContainerLimits::default(),
        isolation: Isolation::default(),
    }
}

/// What a user has seen of a session.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    types: Vec<String>,
    has_begun: bool,
    output: String,
    code: Option<String>,
    /// What was said at the end; none if the connection ended without.
    closed: Option<String>,
}

/// A user with a client that does what it is asked.
struct User {
    socket: WebSocketStream<DuplexStream>,
    peer: Peer,
    server: JoinHandle<()>,
    seen: Seen,
    /// How long it takes for whatever it has not had before.
    pause: Duration,
}

impl User {
    async fn send(&mut self, kind: PayloadKind, payload: Bytes) {
        let frame = self.peer.send(kind, payload, START);
        self.socket.send(Message::Binary(frame)).await.unwrap();
    }

    /// Takes what comes until a condition holds or the connection ends.
    async fn see_until(&mut self, holds: impl Fn(&Seen) -> bool) {
        while !holds(&self.seen) {
            let message = tokio::time::timeout(WAIT_MAX, self.socket.next()).await.expect("something comes in time");
            let Some(Ok(message)) = message else { return };
            let Message::Binary(bytes) = message else { continue };
            let received = self.peer.receive(&bytes, true, START).unwrap();
            if !received.payloads.is_empty() {
                tokio::time::sleep(self.pause).await;
            }
            for reply in received.replies {
                self.socket.send(Message::Binary(reply)).await.unwrap();
            }
            for (kind, payload) in received.payloads {
                self.see(kind, &payload).await;
            }
            self.seen.closed = self.seen.closed.take().or(received.closed);
        }
    }

    async fn see(&mut self, kind: PayloadKind, payload: &Bytes) {
        let text = String::from_utf8_lossy(payload).into_owned();
        match kind {
            PayloadKind::HandshakeRequest => {
                let request = serde_json::from_str::<serde_json::Value>(&text).unwrap();
                let action = &request["RequestedClientActions"][0]["ActionParameters"]["SessionType"];
                self.seen.types.push(action.as_str().unwrap().to_owned());
                self.send(PayloadKind::HandshakeResponse, handshake::respond(payload)).await;
            }
            PayloadKind::HandshakeComplete => self.seen.has_begun = true,
            PayloadKind::Output => self.seen.output += &text,
            PayloadKind::ExitCode => self.seen.code = Some(text),
            other => panic!("{other:?}"),
        }
    }

    async fn see_the_end(mut self) -> Seen {
        self.see_until(|_| false).await;
        tokio::time::timeout(WAIT_MAX, self.server).await.expect("the session ends in time").unwrap();
        self.seen
    }
}

#[tokio::test]
async fn a_command_is_run_and_its_end_is_told() {
    let bed = Bed::new("exec 3 hello").await;
    let seen = bed.connect(WISHES).await.see_the_end().await;
    let expected = Seen {
        types: vec!["InteractiveCommands".to_owned()],
        has_begun: true,
        output: "hello\n".to_owned(),
        code: Some("3".to_owned()),
        closed: Some(String::new()),
    };
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn awss_client_is_told_no_exit_code() {
    let bed = Bed::new("exec 3 hello").await;
    let seen = bed.connect(Wishes::read("role=publish_subscribe")).await.see_the_end().await;
    assert_eq!((seen.output.as_str(), seen.code), ("hello\n", None));
}

#[tokio::test]
async fn a_session_without_a_terminal_is_of_another_type() {
    let bed = Bed::new("exec 0").await;
    let seen = bed.connect(Wishes { terminal: false, exit_code: true }).await.see_the_end().await;
    assert_eq!((seen.types, seen.code.as_deref()), (vec!["NonInteractiveCommands".to_owned()], Some("0")));
}

#[tokio::test]
async fn a_wrong_token_opens_nothing_and_takes_nothing_away() {
    let bed = Bed::new("exec 0").await;
    bed.open("/bin/sh", Transcript::default());
    let seen = bed.connect_with("guess", WISHES).await.see_the_end().await;
    assert_eq!(seen, Seen::default());
    let seen = bed.connect_with("token", WISHES).await.see_the_end().await;
    assert_eq!(seen.code.as_deref(), Some("0"));
    let seen = bed.connect_with("token", WISHES).await.see_the_end().await;
    assert_eq!(seen, Seen::default(), "a session is used once");
}

#[tokio::test]
async fn a_session_ends_after_twenty_silent_minutes() {
    let bed = Bed::new("exec hang").await;
    let mut user = bed.connect(WISHES).await;
    user.see_until(|seen| seen.has_begun).await;
    bed.clock.advance(IDLE_MAX - Duration::from_secs(1));
    user.send(PayloadKind::Size, Bytes::from_static(br#"{"cols":100,"rows":30}"#)).await;
    while !user.peer.is_all_acknowledged() {
        let Some(Ok(Message::Binary(bytes))) = user.socket.next().await else { panic!("the session goes on") };
        user.peer.receive(&bytes, true, START).unwrap();
    }
    bed.clock.advance(IDLE_MAX - Duration::from_secs(1));
    assert!(!user.server.is_finished());
    bed.clock.advance(Duration::from_secs(1));
    let seen = user.see_the_end().await;
    assert_eq!((seen.closed.as_deref(), seen.code), (Some("Your session timed out due to inactivity."), None));
}

#[tokio::test]
async fn a_user_may_end_a_session_or_go_away() {
    let bed = Bed::new("exec hang").await;
    let mut user = bed.connect(WISHES).await;
    user.see_until(|seen| seen.has_begun).await;
    user.send(PayloadKind::Flag, Flag::Terminate.write()).await;
    assert_eq!(user.see_the_end().await.closed.as_deref(), Some(""));
    let mut user = bed.connect(WISHES).await;
    user.see_until(|seen| seen.has_begun).await;
    let User { socket, server, .. } = user;
    drop(socket);
    tokio::time::timeout(WAIT_MAX, server).await.expect("the session ends in time").unwrap();
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let bed = Bed::new("exec hang").await;
    let mut user = bed.connect(WISHES).await;
    user.see_until(|seen| seen.has_begun).await;
    bed.stop.send_replace(true);
    assert_eq!(user.see_the_end().await.closed.as_deref(), Some("Neargate is stopping."));
}

#[tokio::test]
async fn a_stopping_server_waits_for_farewell_and_transcript() {
    let bed = Bed::new("exec hang partly").await;
    let s3 = &bed.world.state.s3;
    let bucket = Bucket { owner: AccountId::DEFAULT, region: Region::default(), created_at: START };
    s3.create_bucket("kept", bucket).unwrap();
    bed.open("/bin/sh", Transcript { log_group: None, bucket: Some(("kept".to_owned(), String::new())) });
    let mut user = bed.connect_with("token", WISHES).await;
    user.see_until(|seen| seen.output == "partly\n").await;
    bed.stop.send_replace(true);
    let stopped = async {
        bed.stop.closed().await;
        s3.read("kept", &format!("{ID}.log"), 100).map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let (seen, kept) = tokio::join!(user.see_the_end(), stopped);
    assert_eq!((seen.closed.as_deref(), kept.unwrap().as_str()), (Some("Neargate is stopping."), "partly\n"));
}

#[tokio::test]
async fn a_session_that_has_not_begun_does_not_hold_a_stopping_server_up() {
    let bed = Bed::new("exec hang").await;
    let silent = bed.connect(WISHES).await;
    bed.stop.send_replace(true);
    drop(silent.socket);
    tokio::time::timeout(WAIT_MAX, bed.stop.closed()).await.expect("it ends in time");
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let socket = WebSocketStream::from_raw_socket(theirs, Role::Server, Some(super::config())).await;
    let served = session::serve(&bed.world, ID, WISHES, socket, bed.stop.subscribe());
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("nobody waits for who says nothing");
    drop(ours);
}

#[tokio::test(start_paused = true)]
async fn output_that_is_slow_to_arrive_is_not_cut() {
    let bed = Bed::new(&format!("exec 3 {}", "x".repeat(4_000))).await;
    let mut user = bed.connect(WISHES).await;
    user.pause = Duration::from_secs(4);
    let seen = user.see_the_end().await;
    assert_eq!((seen.output.len(), seen.code.as_deref()), (4_001, Some("3")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_more_is_left() {
    let bed = Bed::new("exec 3 hello").await;
    let mut user = bed.connect(WISHES).await;
    user.see_until(|seen| seen.has_begun).await;
    tokio::time::timeout(WAIT_MAX, &mut user.server).await.expect("the session ends in time").unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_is_said_at_the_end() {
    let bed = Bed::new("exec 0").await;
    bed.open("sh -c 'open", Transcript::default());
    let seen = bed.connect_with("token", WISHES).await.see_the_end().await;
    let why = "----------ERROR-------\nUnable to start command: Failed to parse commands input: EOF found when expecting \
               closing quote";
    assert_eq!((seen.closed.as_deref(), seen.code.as_deref()), (Some(why), Some("127")));
}

#[tokio::test]
async fn the_transcript_is_in_the_log_group_under_the_sessions_name() {
    let bed = Bed::new("exec 0 hello").await;
    let logs = &bed.world.state.logs;
    logs.make_group(&scope(), "exec", START);
    bed.open("ls", Transcript { log_group: Some((scope(), "exec".to_owned())), bucket: None });
    bed.connect_with("token", WISHES).await.see_the_end().await;
    let name = StreamName { group: "exec".to_owned(), stream: ID.to_owned() };
    let events = logs.with_events_of(&scope(), &name, |events| {
        events.sorted().iter().map(|event| event.message.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(events, Some(vec!["hello".to_owned()]));
}

#[tokio::test]
async fn a_log_group_that_is_not_there_keeps_nothing_and_stops_nothing() {
    let bed = Bed::new("exec 0 hello").await;
    bed.open("ls", Transcript { log_group: Some((scope(), "exec".to_owned())), bucket: None });
    assert_eq!(bed.connect_with("token", WISHES).await.see_the_end().await.output, "hello\n");
}
