//! A server on a port of its own, and connections to it that are written by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Region, Scope};
use controllers::Paces;
use serde_json::Value;
use server::{Config, Gateway, Limits, NodeKind};
use state::s3::S3;
use testkit::Testkit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);

/// A server that listens.
pub(crate) struct Site {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    kit: Testkit,
}

/// A connection to it.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response as it came.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Writes a request with a body.
pub(crate) fn post(uri: &str, headers: &str, body: &str) -> String {
    format!("POST {uri} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

impl Site {
    pub(crate) async fn start(limits: Limits) -> Self {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            node: NodeKind::Simulated,
            clock: server::ClockKind::System,
            data_dir: None,
            scope: Scope::new(AccountId::DEFAULT, Region::default()),
            allowed_hosts: Vec::new(),
            ephemeral_storage_mib: None,
            host_folders: Vec::new(),
            paces: Paces::default(),
            lambda_endpoint: None,
            images: server::ImageConfig { asks_elsewhere: false, ..server::ImageConfig::default() },
            limits,
        };
        let kit = Testkit::simulated();
        let gateway = Gateway::bind(&config).await.unwrap();
        let address = gateway.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let emulator = Arc::clone(kit.emulator());
        let serving = tokio::spawn(async move {
            let stopped = async {
                // A site that is dropped stops too.
                _ = stopped.await;
            };
            gateway.serve(&emulator, stopped).await;
        });
        Self { address, stop: Some(stop), serving: Some(serving), kit }
    }

    /// Returns what the server has of S3.
    pub(crate) fn s3(&self) -> &S3 {
        &self.kit.emulator().state().s3
    }

    pub(crate) async fn connect(&self) -> Connection {
        let stream = timeout(WAIT_MAX, TcpStream::connect(self.address)).await.unwrap().unwrap();
        Connection { stream, received: Vec::new() }
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Response {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.reply().await
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the server has stopped.
    pub(crate) async fn ended(&mut self) {
        timeout(WAIT_MAX, self.serving.take().unwrap()).await.expect("the server stops in time").unwrap();
    }
}

impl Connection {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends the same again and again, and reads nothing, until the server closes the connection.
    pub(crate) async fn send_until_closed(&mut self, text: &str) {
        let sending = async { while self.stream.write_all(text.as_bytes()).await.is_ok() {} };
        timeout(WAIT_MAX, sending).await.expect("the connection closes in time");
    }

    /// Reads one response. May be given up and tried again: what has come is kept.
    pub(crate) async fn reply(&mut self) -> Response {
        timeout(WAIT_MAX, self.read_reply()).await.expect("the response comes in time")
    }

    async fn read_reply(&mut self) -> Response {
        loop {
            if let Some(reply) = self.take_reply() {
                return reply;
            }
            let count = self.stream.read_buf(&mut self.received).await.unwrap();
            assert!(count > 0, "the connection closed after {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Waits until a response begins to come.
    pub(crate) async fn begun(&mut self) {
        let count = timeout(WAIT_MAX, self.stream.read_buf(&mut self.received)).await;
        assert!(count.expect("the response begins in time").unwrap() > 0);
    }

    fn take_reply(&mut self) -> Option<Response> {
        let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        let total = end + length.unwrap_or(0);
        if self.received.len() < total {
            return None;
        }
        let body = self.received[end..total].to_vec();
        self.received.drain(..total);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Response { status, head, body })
    }

    /// Reads until the server closes the connection, and returns what came.
    pub(crate) async fn until_closed(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.received);
        let read = timeout(WAIT_MAX, self.stream.read_to_end(&mut rest)).await.expect("the connection closes in time");
        // A server may also close by a reset.
        _ = read;
        String::from_utf8_lossy(&rest).into_owned()
    }
}
