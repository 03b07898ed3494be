//! The registries of Amazon ECR as clients of images see them: the OCI distribution API, at `/v2/`.
//!
//! What is in a registry, and which rules hold there, is known to [`state::ecr`]; this is how it is asked for over HTTP.
//! Nothing here knows the server that it is part of: a request's body is any body, and layers are answered as stretches of
//! files. Bodies are in memory a piece at a time, whatever their size.

mod answer;
mod authentication;
mod blob;
mod error;
mod listing;
mod manifest;
mod pull_through;
mod range;
mod receive;
mod referrers;
mod route;
mod upload;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{Clock, EcrHost, Ids, Scope};
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use state::State;
use state::ecr::{MadeFor, UploadSender};
use tokio::sync::Semaphore;

pub use crate::pull_through::{NotCached, PullThrough, Upstream, UpstreamError, UpstreamUser, Upstreams};

use crate::error::Error;
use crate::receive::Incoming;
use crate::route::Route;

/// How many bodies are received at once from the user, and as many from tasks; clients try again beyond it.
const BODIES_MAX: usize = 64;

/// The registries of all accounts and regions.
#[derive(Debug)]
pub struct Registry {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    /// The registry that is meant where a request's host names none.
    scope: Scope,
    /// The caches of other registries, if they can be asked.
    caches: OnceLock<Arc<PullThrough>>,
    places: Places,
    places_of_tasks: Places,
}

/// Places for bodies.
#[derive(Debug)]
struct Places(Semaphore);

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The user, or a program of theirs.
    User,
    /// A task.
    Task,
}

impl Sender {
    fn of_uploads(self) -> UploadSender {
        match self {
            Self::User => UploadSender::User,
            Self::Task => UploadSender::Task,
        }
    }
}

/// What a request is answered with the help of.
struct Cx<'a> {
    registry: &'a Registry,
    /// The registry that is asked.
    scope: Scope,
    /// Whose share an upload is counted in.
    sender: UploadSender,
    head: &'a Parts,
}

impl Registry {
    /// Makes the registries of a state. `scope` is asked where a request's host names no account.
    pub fn new(state: Arc<State>, clock: Arc<dyn Clock>, ids: Ids, scope: Scope) -> Self {
        let places = || Places(Semaphore::new(BODIES_MAX));
        let caches = OnceLock::new();
        Self { state, clock, ids, scope, caches, places: places(), places_of_tasks: places() }
    }

    /// Says how images of other registries are had, for which there are rules. Only the first one counts.
    pub fn use_caches(&self, caches: Arc<PullThrough>) {
        _ = self.caches.set(caches);
    }

    /// Tells whether a request is for a registry. Other services have paths under `/v2/` too; requests to them are signed,
    /// but for objects that anybody may read.
    pub fn is_for(head: &Parts) -> bool {
        let path = head.uri.path();
        let is_below = path == "/v2" || path.starts_with("/v2/");
        is_below && wire::credential(&head.headers, &head.uri).is_none() && !wire::is_for_s3(head)
    }

    /// Answers a request. A layer is in the response's extensions as [`wire::Content`]. `pause_max` is how long a body may
    /// not go on.
    pub async fn answer<B>(&self, request: Request<B>, sender: Sender, pause_max: Duration) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let host = host_of(&head);
        let named = host.and_then(EcrHost::parse).map(|host| host.scope);
        let mut cx = Cx { registry: self, scope: self.scope.clone(), sender: sender.of_uploads(), head: &head };
        cx.scope = named.or_else(|| cx.scope_of_password()).unwrap_or(cx.scope);
        let places = match sender {
            Sender::User => &self.places,
            Sender::Task => &self.places_of_tasks,
        };
        let mut body = std::pin::pin!(body.map_err(|error| error.to_string()));
        let mut incoming = Incoming::new(body.as_mut(), pause_max);
        let answered = cx.answer(&mut incoming, places).await;
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                // A client that is still sending would otherwise find its connection cut off before it reads why.
                incoming.drain().await;
                error.response(host)
            }
        };
        answer::finish(response, head.method == Method::HEAD)
    }
}

impl Cx<'_> {
    async fn answer(&self, body: &mut Incoming<'_>, places: &Places) -> Result<Response<Bytes>, Error> {
        let route = Route::of(self.head.uri.path());
        self.authenticate(&route)?;
        let method = &self.head.method;
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let place = || places.0.try_acquire().map_err(|_| Error::too_many_requests());
        match (&route, method.as_str()) {
            (Route::Base, _) if is_read => Ok(answer::base()),
            (Route::Catalog, "GET") => self.catalog(),
            (Route::Tags { name }, "GET") => self.tags(name),
            (Route::Referrers { name, digest }, "GET") => self.referrers(name, digest),
            (Route::Blob { name, digest }, _) if is_read => self.blob(name, digest).await,
            (Route::Blob { name, digest }, "DELETE") => self.delete_blob(name, digest).await,
            (Route::Uploads { name }, "POST") => {
                let _place = place()?;
                self.begin_upload(name, body).await
            }
            (Route::Upload { name, id }, "GET") => self.upload_status(name, id).await,
            (Route::Upload { name, id }, "DELETE") => self.cancel_upload(name, id).await,
            (Route::Upload { name, id }, "PATCH") => {
                let _place = place()?;
                self.append(name, id, body).await
            }
            (Route::Upload { name, id }, "PUT") => {
                let _place = place()?;
                self.complete(name, id, body).await
            }
            (Route::Manifest { name, reference }, _) if is_read => self.manifest(name, reference).await,
            (Route::Manifest { name, reference }, "PUT") => {
                let _place = place()?;
                self.put_manifest(name, reference, body).await
            }
            (Route::Manifest { name, reference }, "DELETE") => self.delete_manifest(name, reference).await,
            (Route::Unknown, _) => Err(Error::not_found()),
            (_, _) => Err(Error::unsupported()),
        }
    }

    fn ecr(&self) -> &state::ecr::Ecr {
        &self.registry.state.ecr
    }

    fn now(&self) -> base::Timestamp {
        self.registry.clock.now()
    }

    /// Returns the repository's name if there is such a repository.
    fn existing(&self, name: &str) -> Result<(), Error> {
        if !route::is_name(name) {
            return Err(Error::name_invalid(name));
        }
        let found = self.ecr().repository(&self.scope, name);
        found.map(drop).ok_or_else(|| self.name_unknown(name))
    }

    /// Returns the repository's name if there is such a repository, or if a template is for those that are pushed to.
    fn existing_for_push(&self, name: &str) -> Result<(), Error> {
        if route::is_name(name) {
            self.ecr().repository_made_for(&self.scope, name, MadeFor::Push, self.now());
        }
        self.existing(name)
    }

    fn name_unknown(&self, name: &str) -> Error {
        Error::name_unknown(name, &self.scope.account)
    }

    fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns a parameter of the query, decoded. A plus stands for itself: no parameter has spaces, and types have pluses.
    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.head.uri.query()?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| route::decoded(value))
        })
    }

    /// Does something with the records of the registries that may wait for the disk, or for somebody who does.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&state::ecr::Ecr, &Scope) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (state, scope) = (Arc::clone(&self.registry.state), self.scope.clone());
        receive::off_thread(move || work(&state.ecr, &scope)).await
    }

    /// Waits until what was changed would survive the end of this process. A client that is told of a success relies on it.
    async fn keep(&self) -> Result<(), Error> {
        let state = Arc::clone(&self.registry.state);
        receive::off_thread(move || state.flush()).await?.map_err(|error| {
            tracing::error!(%error, "what was changed would not survive the server");
            Error::internal()
        })
    }
}

/// Returns where a request was sent to, with its port.
fn host_of(head: &Parts) -> Option<&str> {
    let header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    head.uri.authority().map(http::uri::Authority::as_str).or(header)
}

#[cfg(test)]
mod tests;
