//! The data channel of ECS Exec: a WebSocket on the gateway's own port, with AWS's protocol in it.
//!
//! ExecuteCommand opens a session and tells its address, which leads here. The client says who it is in a text
//! ([`handshake::Opening`]), then both sides speak in frames ([`frame`]), each keeping what it sent until the other has
//! acknowledged it ([`peer`]). The agent's side, which on AWS is a process in the container, is [`session`].

pub(crate) mod command_line;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod peer;
mod session;
#[cfg(test)]
mod tests;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ids};
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use node::Node;
use reconcile::Timer;
use state::State;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use self::session::Wishes;
use crate::Emulator;

/// The path of a session's channel, before the session's id: AWS's own.
pub(crate) const PREFIX: &str = "/v1/data-channel/";
/// The version of the WebSocket protocol.
const VERSION: &str = "13";
/// How much output may wait for a client to take it, in bytes.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// What a session is served with.
pub(crate) struct World {
    pub(crate) state: Arc<State>,
    pub(crate) node: Node,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) ids: Ids,
}

/// A place among the gateway's connections, held for as long as the connection is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    /// Holds a permit of the gateway's.
    pub(crate) fn new(permit: &Arc<OwnedSemaphorePermit>) -> Self {
        Self { _permit: Arc::clone(permit) }
    }
}

/// The channels that are open.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Whether they are to end; each channel has a receiver.
    stopping: watch::Sender<bool>,
}

impl Default for Channels {
    fn default() -> Self {
        Self { stopping: watch::Sender::new(false) }
    }
}

impl Channels {
    /// Ends all channels; clients are told, and given so long to hear it.
    pub(crate) async fn stop(&self, wait_max: Duration) {
        self.stopping.send_replace(true);
        if timeout(wait_max, self.stopping.closed()).await.is_err() {
            tracing::warn!("sessions that were still open are cut off");
        }
    }
}

/// Returns whether a request is for a data channel.
pub(crate) fn is_for(request: &Parts) -> bool {
    request.uri.path().starts_with(PREFIX)
}

/// Answers a request for a data channel; if it may be had, the connection becomes one after the answer.
pub(crate) fn answer(emulator: &Emulator, mut request: Request<Incoming>) -> Response<Bytes> {
    let id = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let key = match upgrade_key(request.method(), request.headers()) {
        Ok(key) => key,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, message),
    };
    if !emulator.state().ecs.exec_sessions.is_awaited(&id, emulator.now()) {
        return refuse(StatusCode::NOT_FOUND, "There is no such session that waits for a connection.");
    }
    let wishes = Wishes::read(request.uri().query().unwrap_or_default());
    let stopping = emulator.channels().stopping.subscribe();
    let place = request.extensions_mut().remove::<Place>();
    let upgraded = hyper::upgrade::on(request);
    let world = emulator.channel_world();
    tokio::spawn(async move {
        let stream = match upgraded.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "a connection did not become a data channel");
                return;
            }
        };
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
        session::serve(&world, &id, wishes, socket, stopping).await;
        drop(place);
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Bytes::new())
        .expect("the headers are constants and base 64")
}

/// Returns the limits of a WebSocket that carries frames.
pub(crate) fn config() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = 16 * 1024;
    config.write_buffer_size = 16 * 1024;
    config.max_write_buffer_size = UNSENT_BYTES_MAX;
    config.max_message_size = Some(HEADER_BYTES + PAYLOAD_BYTES_MAX);
    config.max_frame_size = Some(HEADER_BYTES + PAYLOAD_BYTES_MAX);
    config
}

/// Checks that a request asks for a WebSocket, and returns its key.
fn upgrade_key(method: &Method, headers: &HeaderMap) -> Result<String, &'static str> {
    let has = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    if method != Method::GET || !has(CONNECTION, "upgrade") || !has(UPGRADE, "websocket") {
        return Err("This is the address of a WebSocket.");
    }
    if !has(SEC_WEBSOCKET_VERSION, VERSION) {
        return Err("The version of the WebSocket protocol must be 13.");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    key.map(str::to_owned).ok_or("The key of the WebSocket is missing.")
}

fn refuse(status: StatusCode, message: &str) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(SEC_WEBSOCKET_VERSION, VERSION)
        .body(Bytes::from(serde_json::json!({ "message": message }).to_string()))
        .expect("the headers are constants")
}

#[cfg(test)]
mod upgrade_tests {
    use super::*;

    fn key(method: Method, headers: &[(HeaderName, &'static str)]) -> Result<String, &'static str> {
        let map = headers.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value))).collect();
        upgrade_key(&method, &map)
    }

    #[test]
    fn only_requests_for_a_websocket_are_taken() {
        let all = [
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "x"),
        ];
        assert_eq!(key(Method::GET, &all), Ok("x".to_owned()));
        assert!(key(Method::POST, &all).is_err());
        for missing in 0..all.len() {
            let rest = all.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, header)| header.clone());
            assert!(key(Method::GET, &rest.collect::<Vec<_>>()).is_err(), "without {}", all[missing].0);
        }
    }
}
