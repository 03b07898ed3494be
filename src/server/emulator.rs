//! The emulator: state, node, controllers and services put together. HTTP is optional: tests call it directly.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{AccountId, Clock, Ids, Scope, Timestamp};
use bytes::Bytes;
use controllers::{Controllers, Running};
use futures_util::FutureExt;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use node::Node;
use reconcile::Timer;
use registry::{PullThrough, Registry, Sender};
use state::iam::CredentialError;
use state::{Cx, State};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::data_channel::{self, Channels};
use crate::own_api::InProcess;
use crate::{ManualTime, NodeKind, upload};

/// Why an emulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}", path.display())]
    DataDir {
        /// The folder.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Another server uses the data directory.
    #[error("another neargate uses {}; give this one a --data-dir of its own", path.display())]
    InUse {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] state::JournalError),
    /// The images cannot be read.
    #[error("cannot open the image store")]
    Images(#[from] node::ImageError),
    /// The runtime cannot work on this machine.
    #[error("cannot run containers here; `neargate doctor` says why")]
    Runtime(#[from] node::RuntimeError),
    /// The network cannot be made on this machine.
    #[error("cannot make networks here; `neargate doctor` says why")]
    Network(#[from] node::NetworkError),
    /// Containers do not live by a manual clock.
    #[error("containers live by the machine's clock: --clock manual goes with --node simulated")]
    ManualClock,
    /// The server has not the rights it needs.
    #[error("containers need root: run it with sudo, or without containers: neargate serve --node simulated")]
    NotRoot,
}

/// What an emulator is put together from.
pub struct Parts {
    /// The records.
    pub state: Arc<State>,
    /// What runs tasks.
    pub node: Node,
    /// Which kind of node that is.
    pub node_kind: NodeKind,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Waits for it.
    pub timer: Arc<dyn Timer>,
    /// Lets time pass, if it does not by itself.
    pub manual_time: Option<ManualTime>,
    /// New identifiers.
    pub ids: Ids,
    /// Account and region of requests that name none.
    pub scope: Scope,
}

/// The emulator.
pub struct Emulator {
    state: Arc<State>,
    node: Node,
    node_kind: NodeKind,
    clock: Arc<dyn Clock>,
    ids: Ids,
    scope: Scope,
    controllers: Running,
    timer: Arc<dyn Timer>,
    manual_time: Option<ManualTime>,
    channels: Channels,
    registry: Registry,
    started_at: Timestamp,
}

impl Emulator {
    /// Puts the parts together and starts the controllers. `controllers` is the one whose event sink the node has.
    pub fn start(parts: Parts, controllers: Controllers) -> Arc<Self> {
        let Parts { state, node, node_kind, clock, timer, manual_time, ids, scope } = parts;
        let (shared, clocks) = (Arc::clone(&state), Arc::clone(&clock));
        let api = InProcess { state: Arc::clone(&state), clock: Arc::clone(&clock), ids: ids.clone() };
        let controllers = controllers.with_api(Arc::new(api));
        let controllers = controllers.spawn(shared, node.clone(), clocks, Arc::clone(&timer), ids.clone());
        let started_at = clock.now();
        let channels = Channels::default();
        let registry = Registry::new(Arc::clone(&state), Arc::clone(&clock), ids.clone(), scope.clone());
        Arc::new(Self {
            state,
            node,
            node_kind,
            clock,
            ids,
            scope,
            controllers,
            timer,
            manual_time,
            channels,
            registry,
            started_at,
        })
    }

    /// Answers one request. Never panics: a bug in the routing or in a handler is an `InternalFailure`.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if Registry::is_for(&parts) {
            let request = Request::from_parts(parts, Full::new(body));
            return self.call_registry(request, Sender::User, Duration::MAX).await;
        }
        if self.streams(&parts) {
            let places = Semaphore::new(1);
            return self.call_streamed(Request::from_parts(parts, Full::new(body)), &places, Duration::MAX).await;
        }
        let request_id = self.ids.uuid();
        let routed = OnceLock::new();
        let request = Request::from_parts(parts, body);
        unpanicked(self.answer(request, &request_id, &routed), &request_id, &routed).await
    }

    /// Returns whether the body of a request is to be received by [`Emulator::call_streamed`].
    pub(crate) fn streams(&self, head: &http::request::Parts) -> bool {
        // No service that streams says in a body what a request is for.
        wire::route(head, b"").is_ok_and(|mut routed| wire::resolve(services::ALL, &mut routed, head))
    }

    /// Answers one request whose body goes into a file, if there is a place for one. `wait_max` is how long the next piece of
    /// the body may take.
    pub(crate) async fn call_streamed<B>(
        &self,
        request: Request<B>,
        places: &Semaphore,
        wait_max: Duration,
    ) -> Response<Bytes>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let request_id = self.ids.uuid();
        let routed = OnceLock::new();
        let (parts, body) = request.into_parts();
        let closes = upload::is_never_continued(&parts);
        let answer = async {
            let Ok(_place) = places.try_acquire() else {
                let error = wire::ApiError::new("SlowDown", 503, "Please reduce your request rate.");
                return wire::render_error(wire::Protocol::RestXml, &error, &request_id);
            };
            match upload::receive(&self.state, &parts, body, wait_max).await {
                // `_upload` keeps the file until the handler had it.
                Ok((_upload, content)) => {
                    let mut request = Request::from_parts(parts, Bytes::new());
                    request.extensions_mut().insert(content);
                    self.answer(request, &request_id, &routed).await
                }
                Err(error) => wire::render_error(wire::Protocol::RestXml, &error, &request_id),
            }
        };
        let mut response = unpanicked(answer, &request_id, &routed).await;
        if closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Says how the registries of ECR have images of others, for which there are rules.
    pub(crate) fn use_caches(&self, caches: Arc<PullThrough>) {
        self.registry.use_caches(caches);
    }

    /// Answers one request to a registry of ECR. `pause_max` is how long the body may not go on.
    pub(crate) async fn call_registry<B>(
        &self,
        request: Request<B>,
        sender: Sender,
        pause_max: Duration,
    ) -> Response<Bytes>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let request_id = self.ids.uuid();
        // The path has no secret in it; the query may have.
        let span =
            tracing::debug_span!("registry", method = %request.method(), path = request.uri().path(), %request_id);
        let answer = self.registry.answer(request, sender, pause_max).instrument(span);
        unpanicked(answer, &request_id, &OnceLock::new()).await
    }

    /// Answers one request, and says as soon as it is known where it goes.
    async fn answer(
        &self,
        request: Request<Bytes>,
        request_id: &str,
        routed: &OnceLock<wire::Routed>,
    ) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let routed = match wire::route(&parts, &body) {
            Ok(mut found) => {
                wire::resolve(services::ALL, &mut found, &parts);
                routed.get_or_init(|| found)
            }
            Err(error) => return error.response(request_id),
        };
        let credential = wire::credential(&parts.headers, &parts.uri);
        let account = match self.account_of(credential.as_ref(), &parts) {
            Ok(account) => account,
            Err(refusal) => {
                let error = match refusal {
                    CredentialError::Expired => wire::ApiError::expired_token(routed.protocol),
                    CredentialError::Invalid => wire::ApiError::invalid_token(routed.protocol),
                };
                return wire::render_error(routed.protocol, &error, request_id);
            }
        };
        let mut caller = wire::caller(credential, account, &self.scope, request_id.to_owned());
        caller.host = host_of(&parts);
        let cx = Cx { state: Arc::clone(&self.state), clock: Arc::clone(&self.clock), ids: self.ids.clone(), caller };
        let request = Request::from_parts(parts, body);
        let span = tracing::debug_span!("request", operation = %routed.operation, %request_id);
        wire::handle(services::ALL, routed, &request, &cx, request_id).instrument(span).await
    }

    /// Names the account of credentials that were given out here, and refuses those that are so no longer.
    fn account_of(
        &self,
        credential: Option<&wire::Credential>,
        parts: &http::request::Parts,
    ) -> Result<Option<AccountId>, CredentialError> {
        let Some(credential) = credential else { return Ok(None) };
        let token = wire::session_token(&parts.headers, &parts.uri);
        self.state.iam.account_of(&credential.access_key_id, token.as_deref(), self.clock.now())
    }

    /// Stops every task and empties all state; images stay. Returns when nothing is left of either.
    pub async fn reset(&self) -> Result<(), controllers::ResetError> {
        self.controllers.reset().await
    }

    /// Ends the controllers. Tasks go on running only if the state that knows them is kept; otherwise they are stopped.
    pub async fn shutdown(&self, keeps_tasks: bool) {
        if !keeps_tasks {
            if let Err(error) = self.controllers.shutdown_with_tasks().await {
                tracing::error!(%error, "something is left on this machine; the next start removes it");
            }
            return;
        }
        if let Err(error) = self.controllers.shutdown().await {
            tracing::error!(%error, "a network is left on this machine; the next start uses it again");
        }
        if let Err(error) = self.state.flush() {
            tracing::error!(%error, "the state is not up to date");
        }
    }

    /// Returns the controllers, to wait for them.
    pub fn controllers(&self) -> &Running {
        &self.controllers
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns what lets time pass, if it does not by itself.
    pub(crate) fn manual_time(&self) -> Option<&ManualTime> {
        self.manual_time.as_ref()
    }

    /// Returns what sessions of ECS Exec are served with.
    pub(crate) fn channel_world(&self) -> data_channel::World {
        data_channel::World {
            state: Arc::clone(&self.state),
            node: self.node.clone(),
            clock: Arc::clone(&self.clock),
            timer: Arc::clone(&self.timer),
            ids: self.ids.clone(),
        }
    }

    /// Returns the data channels that are open.
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Returns the records.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Returns what runs the tasks.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns which kind of node runs the tasks.
    pub fn node_kind(&self) -> NodeKind {
        self.node_kind
    }

    /// Returns for how long it has been running.
    pub fn uptime(&self) -> Duration {
        self.clock.now().since(self.started_at)
    }
}

/// Returns where a request was sent to, with its port.
fn host_of(parts: &http::request::Parts) -> Option<String> {
    let header = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    parts.uri.authority().map(http::uri::Authority::as_str).or(header).map(str::to_owned)
}

/// Awaits an answer; a panic in it becomes one in the protocol that the request turned out to speak.
async fn unpanicked(
    answer: impl Future<Output = Response<Bytes>>,
    request_id: &str,
    routed: &OnceLock<wire::Routed>,
) -> Response<Bytes> {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let operation = routed.get().map(|routed| routed.operation.as_str());
            tracing::error!(operation, %request_id, "the answer to a request panicked");
            // Before the protocol is known: every client reads the status, and JSON ones the rest.
            let protocol = routed.get().map_or(wire::Protocol::Json11, |routed| routed.protocol);
            wire::render_error(protocol, &wire::ApiError::internal(), request_id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query_request() -> wire::Routed {
        let uri = "/?X-Amz-Credential=test/20260101/us-east-1/sts/aws4_request&Action=GetCallerIdentity";
        let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        wire::route(&parts, b"").unwrap_or_else(|_| panic!("it has a service"))
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_failure_in_the_protocol_that_is_known_by_then() {
        for (routed, content_type) in [
            (OnceLock::new(), "application/x-amz-json-1.1"),
            (OnceLock::from(query_request()), "text/xml;charset=UTF-8"),
        ] {
            let response = unpanicked(async { panic!("a bug") }, "r-1", &routed).await;
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()[http::header::CONTENT_TYPE], content_type);
            let body = String::from_utf8_lossy(response.body()).into_owned();
            assert!(body.contains("InternalFailure"), "{body}");
        }
    }
}
