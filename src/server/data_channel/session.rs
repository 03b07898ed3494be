//! A session of ECS Exec: the agent's side of a data channel, and the process behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use node::{Exec, ExecInput, ExecOutput, ExecSpec, RuntimeError, RuntimeErrorKind, TerminalSize};
use serde::Deserialize;
use state::ecs::ExecSession;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::World;
use super::command_line;
use super::frame::{Flag, PayloadKind};
use super::handshake::{self, Opening, SessionType};
use super::peer::{Peer, Received, Side, TICK_MS};
use super::transcript::Transcript;

/// How long a session may be silent in both directions before it ends: ECS Exec's own 20 minutes, which nobody can change.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(20 * 60);
/// How long a client may take to say who it is, and again to answer the handshake.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a client may acknowledge nothing of the last output, and how long it may take to close the connection.
const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(5);
/// The pieces of input that may wait for the process to read them; the client keeps what is beyond.
const INPUTS_MAX: usize = 64;
/// The size of a terminal whose client has not said its own yet.
const SIZE_DEFAULT: TerminalSize = TerminalSize { columns: 80, rows: 24 };
/// The user of ECS Exec, whoever the container's own is.
const USER: &str = "0";

/// Why a client closed the session, or what is to be said to it. (Unverified.)
const TIMED_OUT: &str = "Your session timed out due to inactivity.";
/// What is said when the server ends. Ours.
const STOPPING: &str = "Neargate is stopping.";
/// What is said when nobody knows how the process ended. Ours.
const LOST: &str = "The process was lost.";

/// The exit code of what is no program, and of what may not be executed: those of shells.
const CODE_NOT_FOUND: i32 = 127;
const CODE_NOT_EXECUTABLE: i32 = 126;

/// What a client asks for in the address beyond what AWS knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Whether the process gets a terminal; otherwise pipes, and the client is sent standard error apart.
    pub(crate) terminal: bool,
    /// Whether the client is told the exit code. AWS's client would show it as output.
    pub(crate) exit_code: bool,
}

impl Wishes {
    /// Reads the query of the address.
    pub(crate) fn read(query: &str) -> Self {
        let mut wishes = Self { terminal: true, exit_code: false };
        for (name, value) in wire::parameters(query) {
            match (&*name, &*value) {
                ("terminal", "false") => wishes.terminal = false,
                ("exit-code", "true") => wishes.exit_code = true,
                _ => {}
            }
        }
        wishes
    }
}

/// Why a session ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The process ended.
    Exited(i32),
    /// It never came to be, or was given up, for this reason.
    Because(String),
    /// It could not be executed, for this reason, which stands for this exit code.
    Refused(String, i32),
    /// The client closed the session or went away.
    Left,
}

/// Serves a connection to the session `id` until it ends, or the server does: `stopping` is dropped when nothing of the
/// session is left to be done.
pub(crate) async fn serve<S>(
    world: &World,
    id: &str,
    wishes: Wishes,
    mut socket: WebSocketStream<S>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opening = tokio::select! {
        opening = timeout(HANDSHAKE_WAIT_MAX, next_text(&mut socket)) => opening.ok().flatten(),
        () = begins_to_stop(&mut stopping) => return,
    };
    let opening = opening.and_then(|text| serde_json::from_str::<Opening>(&text).ok());
    let sessions = &world.state.ecs.exec_sessions;
    let session = opening.and_then(|opening| sessions.connect(id, &opening.token_value, world.clock.now()));
    let Some(session) = session else {
        let refusal = CloseFrame { code: CloseCode::Policy, reason: "The token is not the session's.".into() };
        // A client that has gone need not know.
        let _ = socket.close(Some(refusal)).await;
        return;
    };
    let closing = Closing { world, id };
    tracing::info!(session = id, container = %session.container, "session opened");
    let transcript = Transcript::begin(&world.state, &world.clock, &session);
    let mut channel = Channel {
        world,
        socket,
        peer: Peer::new(Side::Agent, world.ids.clone()),
        session,
        wishes,
        transcript,
        waiting: VecDeque::new(),
        size: SIZE_DEFAULT,
        is_agreed: false,
        last_active: world.clock.now(),
    };
    let end = channel.run(&mut stopping).await;
    tracing::info!(session = id, ?end, "session ended");
    channel.finish(end).await;
    drop(closing);
    let transcript = channel.transcript;
    if let Err(error) = tokio::task::spawn_blocking(move || transcript.end()).await {
        tracing::error!(session = id, %error, "the transcript has no end");
    }
    drop(stopping);
}

async fn begins_to_stop(stopping: &mut watch::Receiver<bool>) {
    // Whoever could say so and is gone has stopped too.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

async fn next_text<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Option<String> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
        }
    }
}

/// Takes the session off the list when it ends, however that comes about.
struct Closing<'a> {
    world: &'a World,
    id: &'a str,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.world.state.ecs.exec_sessions.close(self.id);
    }
}

struct Channel<'a, S> {
    world: &'a World,
    socket: WebSocketStream<S>,
    peer: Peer,
    session: Arc<ExecSession>,
    wishes: Wishes,
    transcript: Transcript,
    /// Input that the process has not read yet.
    waiting: VecDeque<ExecInput>,
    size: TerminalSize,
    /// Whether the client has answered the handshake.
    is_agreed: bool,
    last_active: Timestamp,
}

/// The size of the client's terminal.
#[derive(Deserialize)]
struct Size {
    cols: u16,
    rows: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<'_, S> {
    /// Goes through a session's life, up to why it ends.
    async fn run(&mut self, stopping: &mut watch::Receiver<bool>) -> End {
        tokio::select! {
            end = self.live() => end,
            () = begins_to_stop(stopping) => End::Because(STOPPING.to_owned()),
        }
    }

    async fn live(&mut self) -> End {
        match timeout(HANDSHAKE_WAIT_MAX, self.shake_hands()).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => return end,
            Err(_) => return End::Because("The client did not answer the handshake.".to_owned()),
        }
        match self.start().await {
            Ok(exec) => self.carry(exec).await,
            Err(end) => end,
        }
    }

    async fn shake_hands(&mut self) -> Result<(), End> {
        let started = self.world.clock.now();
        let session_type =
            if self.wishes.terminal { SessionType::InteractiveCommands } else { SessionType::NonInteractiveCommands };
        self.send(PayloadKind::HandshakeRequest, handshake::request(session_type)).await?;
        let mut ticks = ticks();
        while !self.is_agreed {
            tokio::select! {
                message = self.socket.next() => self.take(message).await?,
                _ = ticks.tick() => self.resend().await?,
            }
        }
        self.send(PayloadKind::HandshakeComplete, handshake::complete(self.world.clock.now().since(started))).await
    }

    /// Starts the process.
    async fn start(&mut self) -> Result<Exec, End> {
        let args = match command_line::split(&self.session.command) {
            Ok(args) if !args.is_empty() => args,
            // As AWS's agent, which then opens a shell.
            Ok(_) => vec!["sh".to_owned()],
            Err(error) => {
                let why = format!("Failed to parse commands input: {error}");
                return Err(End::Refused(unable(&why), CODE_NOT_FOUND));
            }
        };
        let spec = ExecSpec {
            container: self.session.container.clone(),
            args,
            user: Some(USER.to_owned()),
            terminal: self.wishes.terminal.then_some(self.size),
        };
        self.world.node.runtime.exec(&spec).await.map_err(|error| refusal(&spec.args[0], &error))
    }

    /// Lets input and output flow.
    async fn carry(&mut self, exec: Exec) -> End {
        let Exec { input, mut output } = exec;
        let mut ticks = ticks();
        let mut idle = self.world.timer.sleep_until(self.last_active.plus(IDLE_MAX));
        loop {
            let done = tokio::select! {
                message = self.socket.next() => self.take(message).await,
                piece = output.recv(), if self.peer.may_send() => match piece {
                    Some(ExecOutput::Stdout(bytes)) => self.write(PayloadKind::Output, bytes).await,
                    // A terminal has none; where it is not asked for apart, it is output too.
                    Some(ExecOutput::Stderr(bytes)) => self.write(PayloadKind::StdErr, bytes).await,
                    Some(ExecOutput::Exited(code)) => Err(End::Exited(code)),
                    None => Err(End::Because(LOST.to_owned())),
                },
                () = feed(&input, &mut self.waiting), if !self.waiting.is_empty() => Ok(()),
                _ = ticks.tick(), if !self.peer.is_all_acknowledged() => self.resend().await,
                () = &mut idle => {
                    let until = self.last_active.plus(IDLE_MAX);
                    if self.world.clock.now() >= until {
                        Err(End::Because(TIMED_OUT.to_owned()))
                    } else {
                        idle = self.world.timer.sleep_until(until);
                        Ok(())
                    }
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Takes a message of the client's.
    async fn take(&mut self, message: Option<Result<Message, SocketError>>) -> Result<(), End> {
        let bytes = match message {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Left),
        };
        let has_room = self.waiting.len() < INPUTS_MAX;
        let Received { replies, payloads, closed } =
            self.peer.receive(&bytes, has_room, self.world.clock.now()).map_err(|error| {
                tracing::debug!(session = self.session.id, %error, "the client sent what it may not");
                End::Left
            })?;
        for reply in replies {
            self.transmit(reply).await?;
        }
        if closed.is_some() {
            return Err(End::Left);
        }
        for (kind, payload) in payloads {
            self.last_active = self.world.clock.now();
            self.obey(kind, payload)?;
        }
        Ok(())
    }

    fn obey(&mut self, kind: PayloadKind, payload: Bytes) -> Result<(), End> {
        match kind {
            PayloadKind::Output => self.waiting.push_back(ExecInput::Data(payload)),
            PayloadKind::Size => {
                // What is no size changes none.
                if let Ok(Size { cols, rows }) = serde_json::from_slice(&payload) {
                    self.size = TerminalSize { columns: cols, rows };
                    self.waiting.push_back(ExecInput::Resize(self.size));
                }
            }
            PayloadKind::Flag => match Flag::read(&payload) {
                Some(Flag::Terminate) => return Err(End::Left),
                Some(Flag::EndOfInput) => self.waiting.push_back(ExecInput::End),
                None => {}
            },
            PayloadKind::HandshakeResponse => {
                handshake::read_response(&payload).map_err(End::Because)?;
                self.is_agreed = true;
            }
            PayloadKind::Undefined
            | PayloadKind::HandshakeRequest
            | PayloadKind::HandshakeComplete
            | PayloadKind::StdErr
            | PayloadKind::ExitCode
            | PayloadKind::Other(_) => {}
        }
        Ok(())
    }

    async fn write(&mut self, kind: PayloadKind, bytes: Bytes) -> Result<(), End> {
        self.last_active = self.world.clock.now();
        self.transcript.write(&bytes);
        for frame in self.peer.send_pieces(kind, &bytes, self.last_active) {
            self.socket.feed(Message::Binary(frame)).await.map_err(|_| End::Left)?;
        }
        self.socket.flush().await.map_err(|_| End::Left)
    }

    async fn send(&mut self, kind: PayloadKind, payload: Bytes) -> Result<(), End> {
        let frame = self.peer.send(kind, payload, self.world.clock.now());
        self.transmit(frame).await
    }

    async fn transmit(&mut self, frame: Bytes) -> Result<(), End> {
        self.socket.send(Message::Binary(frame)).await.map_err(|_| End::Left)
    }

    async fn resend(&mut self) -> Result<(), End> {
        match self.peer.tick() {
            Ok(Some(frame)) => self.transmit(frame).await,
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::debug!(session = self.session.id, %error, "the client is given up");
                Err(End::Left)
            }
        }
    }

    /// Says the end, and sees to it that the client has all that came before it.
    async fn finish(&mut self, end: End) {
        let (code, why) = match end {
            End::Exited(code) => (Some(code), String::new()),
            End::Refused(why, code) => (Some(code), why),
            End::Because(why) => (None, why),
            End::Left => (None, String::new()),
        };
        // A client that does not take the end in time goes without it.
        let Ok(Ok(())) = timeout(FAREWELL_WAIT_MAX, self.say_code(code)).await else { return };
        while !self.peer.is_all_acknowledged() {
            // A slow line takes long for the output that is under way, and is none that is cut.
            let Ok(Ok(())) = timeout(FAREWELL_WAIT_MAX, self.until_fewer_are_under_way()).await else { return };
        }
        let _ = timeout(FAREWELL_WAIT_MAX, self.close(&why)).await;
    }

    async fn say_code(&mut self, code: Option<i32>) -> Result<(), End> {
        match code.filter(|_| self.wishes.exit_code) {
            Some(code) => self.send(PayloadKind::ExitCode, code.to_string().into()).await,
            None => Ok(()),
        }
    }

    /// Waits until the client has acknowledged something.
    async fn until_fewer_are_under_way(&mut self) -> Result<(), End> {
        let (before, mut ticks) = (self.peer.under_way(), ticks());
        while self.peer.under_way() >= before {
            tokio::select! {
                message = self.socket.next() => self.take(message).await?,
                _ = ticks.tick() => self.resend().await?,
            }
            // What is still typed has no reader any more.
            self.waiting.clear();
        }
        Ok(())
    }

    async fn close(&mut self, why: &str) -> Result<(), End> {
        let last = self.peer.close(&self.session.id, why, self.world.clock.now());
        self.transmit(last).await?;
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(normal)).await.map_err(|_| End::Left)?;
        // Until the client closes too: closing first could take the last frames with it.
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

/// Gives the process the input that has waited longest, once it takes it.
async fn feed(input: &mpsc::Sender<ExecInput>, waiting: &mut VecDeque<ExecInput>) {
    match input.reserve().await {
        Ok(place) => {
            if let Some(piece) = waiting.pop_front() {
                place.send(piece);
            }
        }
        // It reads no more.
        Err(_) => waiting.clear(),
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Words why a process could not be started, as AWS's agent does.
fn refusal(program: &str, error: &RuntimeError) -> End {
    match error.kind {
        RuntimeErrorKind::Start => {
            // The agent is written in Go, whose errors for a path have the path alone.
            let cause = error.message.rsplit(": ").next().unwrap_or_default();
            let why =
                if program.contains('/') { format!("fork/exec {program}: {cause}") } else { error.message.clone() };
            let code = if cause == "permission denied" { CODE_NOT_EXECUTABLE } else { CODE_NOT_FOUND };
            End::Refused(unable(&format!("Failed to start pty: {why}")), code)
        }
        RuntimeErrorKind::Create | RuntimeErrorKind::Internal => {
            tracing::warn!(%error, "a session has no process");
            End::Because(unable(&error.message))
        }
    }
}

fn unable(why: &str) -> String {
    format!("----------ERROR-------\nUnable to start command: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_in_the_address() {
        assert_eq!(Wishes::read("role=publish_subscribe"), Wishes { terminal: true, exit_code: false });
        let wishes = Wishes::read("role=publish_subscribe&terminal=false&exit-code=true");
        assert_eq!(wishes, Wishes { terminal: false, exit_code: true });
    }

    #[test]
    fn what_cannot_be_executed_is_worded_as_by_awss_agent() {
        let said = |program: &str, message: &str| {
            let (subject, message) = ("c".to_owned(), message.to_owned());
            let error = RuntimeError { kind: RuntimeErrorKind::Start, action: "start", subject, message };
            match refusal(program, &error) {
                End::Refused(why, code) => (why.rsplit_once("Unable to start command: ").unwrap().1.to_owned(), code),
                other => panic!("{other:?}"),
            }
        };
        for (program, message, expected) in [
            (
                "bash",
                "exec: \"bash\": executable file not found in $PATH",
                ("Failed to start pty: exec: \"bash\": executable file not found in $PATH", 127),
            ),
            (
                "/bin/bash",
                "exec: \"/bin/bash\": stat /bin/bash: no such file or directory",
                ("Failed to start pty: fork/exec /bin/bash: no such file or directory", 127),
            ),
            (
                "/etc",
                "exec: \"/etc\": permission denied",
                ("Failed to start pty: fork/exec /etc: permission denied", 126),
            ),
        ] {
            assert_eq!(said(program, message), (expected.0.to_owned(), expected.1));
        }
    }
}
