//! Lets HTTP in: connections, limits, and the way to the emulator.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use registry::{Registry, Sender};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::body::Room;
use crate::data_channel::{self, Place};
use crate::download::{Outgoing, with_body};
use crate::tls::{self, Tls};
use crate::upload::UPLOADS_MAX;
use crate::{Config, Emulator, Limits, admin, guard};

/// How long to wait before accepting again after it failed: without a pause that would take a whole processor.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct GatewayError {
    /// The address.
    pub address: SocketAddr,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// A listener and the limits of what it lets in.
pub struct Gateway {
    listener: TcpListener,
    allowed_hosts: Vec<String>,
    limits: Limits,
    tls: Option<Tls>,
}

/// A connection, as its client wants it.
enum Secured {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a request is answered with.
pub(crate) struct Site {
    /// Answers requests to the API.
    pub(crate) emulator: Arc<Emulator>,
    /// Host names that requests may use besides those of this machine.
    pub(crate) allowed_hosts: Vec<String>,
    /// The limits of the gateway.
    pub(crate) limits: Limits,
    /// Room for bodies.
    pub(crate) room: Room,
    /// Places for bodies that go into files.
    pub(crate) uploads: Arc<Semaphore>,
    /// Whether it is tasks that ask: what is for the user alone is not for them.
    pub(crate) is_for_tasks: bool,
}

impl Gateway {
    /// Listens. Connections wait until [`Gateway::serve`].
    pub async fn bind(config: &Config) -> Result<Self, GatewayError> {
        let failed = |source| GatewayError { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        Ok(Self { listener, allowed_hosts: config.allowed_hosts.clone(), limits: config.limits, tls: None })
    }

    /// Answers clients that speak TLS too, on the same address: their first byte tells.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Returns the address that is listened on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until `stop` resolves; then lets those that are under way end, up to the drain timeout.
    pub async fn serve(self, emulator: &Arc<Emulator>, stop: impl Future<Output = ()>) {
        let Self { listener, allowed_hosts, limits, tls } = self;
        let site = Arc::new(Site {
            emulator: Arc::clone(emulator),
            allowed_hosts,
            limits,
            room: Room::new(limits.bodies_bytes),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            is_for_tasks: false,
        });
        let places = Arc::new(Semaphore::new(site.limits.connections));
        let ending = watch::Sender::new(false);
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &places, site.limits.write_timeout) => accepted,
            };
            let Some((stream, _, place)) = accepted else { continue };
            let (site, tls, mut ending) = (Arc::clone(&site), tls.clone(), ending.subscribe());
            tokio::spawn(async move {
                let secured = tokio::select! {
                    secured = timeout(site.limits.head_timeout, secured(stream, tls.as_ref())) => secured,
                    _ = ending.wait_for(|is_ending| *is_ending) => return,
                };
                match secured {
                    Ok(Ok(Secured::Plain(stream))) => converse(stream, site, place, ending).await,
                    Ok(Ok(Secured::Tls(stream))) => converse(stream, site, place, ending).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its first request"),
                    Err(_) => tracing::debug!("a connection said nothing"),
                }
            });
        }
        drop(listener);
        ending.send_replace(true);
        // Each connection has a receiver.
        let (ended, ()) = tokio::join!(
            timeout(site.limits.drain_timeout, ending.closed()),
            emulator.channels().stop(site.limits.drain_timeout),
        );
        if ended.is_err() {
            tracing::warn!("requests that were still under way are cut off");
        }
    }
}

/// Shakes hands with a client that speaks TLS.
async fn secured(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Secured> {
    let Some(tls) = tls else { return Ok(Secured::Plain(stream)) };
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] == tls::FIRST_BYTE {
        return Ok(Secured::Tls(Box::new(tls.acceptor.accept(stream).await?)));
    }
    Ok(Secured::Plain(stream))
}

/// Answers the requests of a connection until it ends, or the server is to end and they are answered.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    site: Arc<Site>,
    place: OwnedSemaphorePermit,
    mut ending: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(site.limits.head_timeout)
        .max_headers(site.limits.headers)
        .max_buf_size(site.limits.head_bytes);
    let place = Arc::new(place);
    let held = Place::new(&place);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let site = Arc::clone(&site);
        // A connection that becomes a data channel keeps its place.
        request.extensions_mut().insert(held.clone());
        async move { Ok::<_, std::convert::Infallible>(site.answer(request).await) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    // It fails only if the sender is gone, and then the server is.
    let asked_to_end = async { drop(ending.wait_for(|is_ending| *is_ending).await) };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = asked_to_end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop((place, ending));
}

/// Accepts a connection once there is a place for it; none if that fails, after a pause.
pub(crate) async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    write_timeout: Duration,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and must not wait for more to send.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection stays with Nagle's algorithm");
            }
            // The kernel's own watch over what has been sent: hyper has none over writes.
            let write_timeout_ms = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
            if let Err(error) = setsockopt(&stream, TcpUserTimeout, &write_timeout_ms) {
                tracing::debug!(%error, "a connection may stay although its client reads nothing");
            }
            Some((stream, peer, place))
        }
        Err(error) => {
            // Out of file descriptors, most likely: it passes when connections end.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            None
        }
    }
}

impl Site {
    /// Answers a request, whoever it is for.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Outgoing> {
        let (parts, body) = request.into_parts();
        if let Err(refusal) = guard::check(&parts, &self.allowed_hosts) {
            tracing::warn!(reason = %refusal.message(), "request refused");
            return with_body(refuse(StatusCode::FORBIDDEN, "AccessDeniedException", &refusal.message()));
        }
        if data_channel::is_for(&parts) {
            return with_body(data_channel::answer(&self.emulator, Request::from_parts(parts, body)));
        }
        if admin::is_for(&parts) {
            if self.is_for_tasks {
                let message = "Tasks may not ask for this.";
                return with_body(refuse(StatusCode::FORBIDDEN, "AccessDeniedException", message));
            }
            return with_body(admin::answer(&self.emulator, &self.limits, &parts, body).await);
        }
        if Registry::is_for(&parts) {
            let sender = if self.is_for_tasks { Sender::Task } else { Sender::User };
            let request = Request::from_parts(parts, body);
            return with_body(self.emulator.call_registry(request, sender, self.limits.body_timeout).await);
        }
        if self.emulator.streams(&parts) {
            let request = Request::from_parts(parts, body);
            let streamed = self.emulator.call_streamed(request, &self.uploads, self.limits.body_timeout);
            return with_body(streamed.await);
        }
        match self.room.receive(body, &self.limits).await {
            Ok(body) => {
                // `body` keeps its room until the answer is there.
                let request = Request::from_parts(parts, body.bytes.clone());
                with_body(self.emulator.call(request).await)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                tracing::debug!(%error, cause, "a request's body was not received");
                let (status, code) = error.code();
                with_body(refuse(status, code, &error.to_string()))
            }
        }
    }
}

/// Answers before it is known which protocol the client speaks. Every AWS client reads the status; JSON ones read this.
/// The connection closes, as the rest of the request is not read.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "__type": code, "message": message }).to_string();
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header(http::header::CONNECTION, "close")
        .header("x-amzn-errortype", code)
        .body(Bytes::from(body))
        .expect("the headers are constants and an error code")
}
