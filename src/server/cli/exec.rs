//! `neargate exec`: ECS Exec without AWS's plugin. A client of the running server, by the same way as any other:
//! ExecuteCommand, then the data channel that it names.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use base::{Clock, Ids, Region, SystemClock};
use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::client::Endpoint;
use crate::data_channel::frame::{Flag, PayloadKind};
use crate::data_channel::handshake::{self, Opening};
use crate::data_channel::peer::{PIECE_BYTES_MAX, Peer, Side, TICK_MS};
use crate::data_channel::{self, command_line};

/// How long the server may take to accept the channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pieces of input that may wait to be sent.
const INPUTS_MAX: usize = 16;
/// What a shell adds to the number of a signal that ended a program.
const EXIT_BY_SIGNAL: u8 = 128;
/// The exit code when there is none: the command was not run, or nobody knows how it ended.
const EXIT_UNKNOWN: u8 = 1;
/// The command when none is named.
const SHELL: &str = "/bin/sh";

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// The task: its id or ARN
    task: String,
    /// The task's cluster; that of the ARN, or `default`
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The container; a task of one container needs no name
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal, which is this one
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    endpoint: Endpoint,
    /// The task's region
    #[arg(long, default_value = Region::DEFAULT, env = "AWS_REGION")]
    region: String,
    /// The command with its arguments; a shell if there is none
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    /// Runs the command and ends as it does.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.tty && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            bail!("the command cannot be given a terminal: this is none; leave --tty out");
        }
        let session = self.open()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot wait")?;
        let code = runtime.block_on(self.attend(&session))?;
        Ok(ExitCode::from(code))
    }

    /// Asks for a session.
    fn open(&self) -> anyhow::Result<Value> {
        let command = if self.command.is_empty() { SHELL.to_owned() } else { command_line::join(&self.command) };
        let of_arn = self.task.split_once(":task/").and_then(|(_, name)| name.split_once('/')).map(|(name, _)| name);
        let mut request = json!({ "task": self.task, "command": command, "interactive": true });
        if let Some(cluster) = self.cluster.as_deref().or(of_arn) {
            request["cluster"] = json!(cluster);
        }
        if let Some(container) = &self.container {
            request["container"] = json!(container);
        }
        let answer =
            self.endpoint.call("ecs", &self.region, "AmazonEC2ContainerServiceV20141113.ExecuteCommand", &request)?;
        Ok(answer["session"].clone())
    }

    /// Connects to the session and attends it to its end; returns the exit code.
    async fn attend(&self, session: &Value) -> anyhow::Result<u8> {
        let member = |name: &str| session[name].as_str().with_context(|| format!("the server did not say the {name}"));
        let address = format!("{}&terminal={}&exit-code=true", member("streamUrl")?, self.tty);
        let connected = timeout(CONNECT_TIMEOUT, connect(&address)).await;
        let mut socket = connected.map_err(|_| anyhow!("the server does not accept the session"))??;
        let opening = Opening {
            message_schema_version: "1.0".to_owned(),
            request_id: Ids::system().uuid(),
            token_value: member("tokenValue")?.to_owned(),
            client_id: Ids::system().uuid(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        socket.send(Message::Text(serde_json::to_string(&opening)?.into())).await.context("the session is lost")?;
        let mut signals = Signals::listen()?;
        // Dropped, and the terminal restored, on every way out.
        let _raw = if self.tty { Some(RawTerminal::enter()?) } else { None };
        let input = if self.interactive || self.tty { Some(read_stdin()?) } else { None };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let peer = Peer::new(Side::Client, Ids::system());
        let client = Client {
            socket,
            peer,
            clock,
            input,
            has_begun: false,
            has_terminal: self.tty,
            code: None,
            has_input: true,
        };
        tokio::select! {
            code = client.run(&mut signals.resized) => code,
            code = signals.ended.next() => Ok(code),
        }
    }
}

async fn connect(address: &str) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let authority = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
    let authority = authority.with_context(|| format!("{address} is no address of a data channel"))?;
    let host = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let stream = TcpStream::connect(&host).await.with_context(|| format!("cannot connect to {host}"))?;
    stream.set_nodelay(true).context("cannot set the connection up")?;
    let (socket, _) = client_async_with_config(address, stream, Some(data_channel::config()))
        .await
        .context("the server refuses the session")?;
    Ok(socket)
}

/// The client's side of a session.
struct Client {
    socket: WebSocketStream<TcpStream>,
    peer: Peer,
    clock: Arc<dyn Clock>,
    input: Option<mpsc::Receiver<Bytes>>,
    /// Whether the handshake is over.
    has_begun: bool,
    has_terminal: bool,
    code: Option<u8>,
    /// Whether the command may expect more input.
    has_input: bool,
}

impl Client {
    async fn run(mut self, resized: &mut Signal) -> anyhow::Result<u8> {
        let mut ticks = interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let may_send = self.has_begun && self.peer.may_send();
            tokio::select! {
                message = self.socket.next() => {
                    let Some(Ok(message)) = message else { bail!("the session is lost") };
                    if let Message::Binary(bytes) = message && self.take(&bytes).await? {
                        break;
                    }
                }
                input = next_input(&mut self.input), if may_send && self.has_input => {
                    let (kind, payload) = match input {
                        Some(bytes) => (PayloadKind::Output, bytes),
                        None => {
                            self.has_input = false;
                            (PayloadKind::Flag, Flag::EndOfInput.write())
                        }
                    };
                    self.send(kind, payload).await?;
                }
                _ = resized.recv(), if may_send && self.has_terminal => self.send_size().await?,
                _ = ticks.tick(), if !self.peer.is_all_acknowledged() => {
                    if let Some(frame) = self.peer.tick()? {
                        self.transmit(frame).await?;
                    }
                }
            }
        }
        // The server may be gone by now.
        let _ = self.socket.close(None).await;
        Ok(self.code.unwrap_or(EXIT_UNKNOWN))
    }

    /// Takes a frame of the server's; returns whether it was the last.
    async fn take(&mut self, bytes: &Bytes) -> anyhow::Result<bool> {
        let received = self.peer.receive(bytes, true, self.clock.now())?;
        for reply in received.replies {
            self.transmit(reply).await?;
        }
        for (kind, payload) in received.payloads {
            match kind {
                PayloadKind::HandshakeRequest => {
                    if self.has_terminal {
                        // Before the command starts, so that it starts with this size.
                        self.send_size().await?;
                    }
                    self.send(PayloadKind::HandshakeResponse, handshake::respond(&payload)).await?;
                }
                PayloadKind::HandshakeComplete => self.has_begun = true,
                PayloadKind::Output => show(&mut io::stdout().lock(), &payload)?,
                PayloadKind::StdErr => show(&mut io::stderr().lock(), &payload)?,
                PayloadKind::ExitCode => {
                    let code = std::str::from_utf8(&payload).ok().and_then(|text| text.parse::<i32>().ok());
                    // What a process is waited for with has eight bits.
                    self.code = code.map(|code| code.to_le_bytes()[0]);
                }
                PayloadKind::Undefined
                | PayloadKind::Size
                | PayloadKind::HandshakeResponse
                | PayloadKind::Flag
                | PayloadKind::Other(_) => {}
            }
        }
        let Some(why) = received.closed else { return Ok(false) };
        if !why.is_empty() {
            let end = if self.has_terminal { "\r\n" } else { "\n" };
            show(&mut io::stderr().lock(), format!("neargate: {}{end}", why.replace('\n', end)).as_bytes())?;
        }
        Ok(true)
    }

    async fn send_size(&mut self) -> anyhow::Result<()> {
        let size = tcgetwinsize(io::stdout()).context("cannot tell the size of the terminal")?;
        let size = json!({ "cols": size.ws_col, "rows": size.ws_row });
        self.send(PayloadKind::Size, size.to_string().into()).await
    }

    async fn send(&mut self, kind: PayloadKind, payload: Bytes) -> anyhow::Result<()> {
        let frame = self.peer.send(kind, payload, self.clock.now());
        self.transmit(frame).await
    }

    async fn transmit(&mut self, frame: Bytes) -> anyhow::Result<()> {
        self.socket.send(Message::Binary(frame)).await.context("the session is lost")
    }
}

/// Returns the next piece of input; none at its end, and at once if none was to be passed on.
async fn next_input(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    input.as_mut()?.recv().await
}

fn show(to: &mut dyn Write, bytes: &[u8]) -> anyhow::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("cannot show what the command writes")
}

/// Reads standard input in a thread of its own: a read of a terminal cannot be given up.
fn read_stdin() -> anyhow::Result<mpsc::Receiver<Bytes>> {
    let (input, read) = mpsc::channel(INPUTS_MAX);
    let pump = move || {
        let mut chunk = [0; PIECE_BYTES_MAX];
        loop {
            match io::stdin().lock().read(&mut chunk) {
                Ok(count @ 1..) => {
                    if input.blocking_send(Bytes::copy_from_slice(&chunk[..count])).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(pump).context("cannot start a thread")?;
    Ok(read)
}

/// A terminal whose keys are passed on as they are pressed; as it was before, once dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).context("cannot set the terminal")?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// What may interrupt a session.
struct Signals {
    resized: Signal,
    ended: Endings,
}

/// The signals that end this program.
struct Endings([(SignalKind, Signal); 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind: SignalKind| signal(kind).context("cannot wait for signals");
        let ending = |kind: SignalKind| Ok::<_, anyhow::Error>((kind, listen(kind)?));
        let ended = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = ended.map(ending);
        Ok(Self { resized: listen(SignalKind::window_change())?, ended: Endings([interrupt?, terminate?, hangup?]) })
    }
}

impl Endings {
    /// Waits for a signal, and returns the exit code that shells give for it.
    async fn next(&mut self) -> u8 {
        let [interrupt, terminate, hangup] = &mut self.0;
        let kind = tokio::select! {
            _ = interrupt.1.recv() => interrupt.0,
            _ = terminate.1.recv() => terminate.0,
            _ = hangup.1.recv() => hangup.0,
        };
        EXIT_BY_SIGNAL + u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}
