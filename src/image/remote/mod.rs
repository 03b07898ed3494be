//! Registries elsewhere, asked by OCI's distribution protocol.
//!
//! `oci-client` is not used: it keeps `Retry-After` to itself, goes on after no break, and its errors do not say which
//! request failed, which AWS's words for them do.

mod authorization;
mod challenge;
mod credential_helper;
mod docker_config;
mod drip;
mod fault;
mod login;
mod pieces;
mod retry;

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::Clock;
use node::{ImageError, NetworkFault, PullStage, RegistryFault};
use reqwest::header::{ACCEPT, HeaderMap, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::authorization::{Authorization, Owner};
pub(crate) use self::docker_config::default_path as docker_config_path;
use self::drip::{Floor, Flow};
pub use self::login::KnownLogin;
use crate::digest::Digest;
use crate::origin::{Asked, Blob, Document, Origin};
use crate::reference::Reference;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a registry may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take until an answer begins, and until a document is there.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(120);
const REDIRECTS_MAX: usize = 5;
/// The longest manifest: what registries take.
const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The users of repositories that are remembered.
const AUTHORIZATIONS_MAX: usize = 1024;
/// How many credential helpers run at once.
const HELPERS_AT_ONCE_MAX: usize = 4;
/// Where docker's hub really is.
const HUB_HOST: &str = "registry-1.docker.io";
const MANIFEST_KINDS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";
const CONTENT_DIGEST: &str = "docker-content-digest";

/// The registries that this machine can reach.
#[derive(Clone)]
pub struct Registries {
    inner: Arc<Inner>,
}

struct Inner {
    /// For registries on this machine: without a proxy.
    near: Client,
    far: Client,
    /// Whether only those on this machine are asked.
    asks_near_only: bool,
    /// Docker's file of users.
    users: Option<PathBuf>,
    /// Places for the credential helpers that the file names.
    helpers: Semaphore,
    /// How slow a registry may be.
    floor: Floor,
    clock: Arc<dyn Clock>,
    authorizations: Mutex<HashMap<Owner, Authorization>>,
}

/// A request that came to nothing.
struct Failed {
    fault: RegistryFault,
    /// The status, if there was an answer.
    status: Option<StatusCode>,
    /// Whether it may be answered better later.
    is_transient: bool,
    retry_after: Option<Duration>,
}

/// A request to a registry.
struct Wanted<'a> {
    asked: &'a Asked,
    method: Method,
    /// What follows the repository.
    path: String,
    /// From which byte on.
    offset: u64,
}

impl Registries {
    /// Makes a client. Users of registries are those of docker's `config.json`, if `users` names one.
    /// `asks_near_only` leaves out those that are not on this machine.
    pub fn new(clock: Arc<dyn Clock>, users: Option<PathBuf>, asks_near_only: bool) -> Self {
        let near = client(Client::builder().no_proxy());
        let far = client(Client::builder());
        let authorizations = Mutex::default();
        let helpers = Semaphore::new(HELPERS_AT_ONCE_MAX);
        let floor = Floor::default();
        Self { inner: Arc::new(Inner { near, far, asks_near_only, users, helpers, floor, clock, authorizations }) }
    }

    /// Asks more, or less, of registries than usual.
    #[cfg(test)]
    pub(crate) fn with_floor(mut self, bytes: u64, stretch: Duration) -> Self {
        Arc::get_mut(&mut self.inner).expect("nobody else has it yet").floor = Floor { bytes, stretch };
        self
    }

    /// Makes a client that knows the users whom `docker login` has noted for the user of this process.
    pub fn with_docker_users(clock: Arc<dyn Clock>, asks_near_only: bool) -> Self {
        Self::new(clock, docker_config_path(), asks_near_only)
    }
}

#[async_trait]
impl Origin for Registries {
    fn serves(&self, reference: &Reference) -> bool {
        !self.inner.asks_near_only || is_near(reference.registry())
    }

    async fn resolve(&self, asked: &Asked) -> Result<Option<Digest>, ImageError> {
        let tag = asked.reference.tag().unwrap_or_default();
        let wanted = Wanted { asked, method: Method::HEAD, path: format!("manifests/{tag}"), offset: 0 };
        let (headers, _) = self.inner.fetch(&wanted, PullStage::Resolve).await?;
        Ok(headers.get(CONTENT_DIGEST).and_then(|digest| Digest::parse(digest.to_str().ok()?)))
    }

    async fn manifest(&self, asked: &Asked, digest: Option<Digest>) -> Result<Document, ImageError> {
        let tag = || asked.reference.tag().unwrap_or_default().to_owned();
        let name = digest.map_or_else(tag, |digest| digest.to_string());
        let wanted = Wanted { asked, method: Method::GET, path: format!("manifests/{name}"), offset: 0 };
        let (_, content) = self.inner.fetch(&wanted, PullStage::Manifest).await?;
        Ok(Document { content })
    }

    async fn blob(&self, asked: &Asked, blob: Blob, stage: PullStage) -> Result<Box<dyn Read + Send>, ImageError> {
        let (sender, pieces) = pieces::channel(blob.size_bytes);
        let (inner, asked) = (Arc::clone(&self.inner), asked.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = asked.waiting.over() => {}
                () = sender.closed() => {}
                failed = inner.stream(&asked, blob, stage, &sender) => {
                    if let Err(error) = failed {
                        // A reader that has gone does not miss it.
                        _ = sender.send(Err(error)).await;
                    }
                }
            }
        });
        Ok(Box::new(pieces))
    }
}

impl Inner {
    /// Asks until there is an answer that is worth having, and reads it whole.
    async fn fetch(&self, wanted: &Wanted<'_>, stage: PullStage) -> Result<(HeaderMap, Vec<u8>), ImageError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match timeout(DOCUMENT_TIME_MAX, self.fetch_once(wanted)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(failed)) => failed,
                Err(_) => self.too_slow(wanted),
            };
            if !failed.is_transient || tries >= retry::TRIES_MAX {
                return Err(failed.told(wanted.asked, stage, tries));
            }
            let wait = retry::wait(tries, failed.retry_after);
            tracing::debug!(reference = %wanted.asked.reference, fault = %failed.fault, ?wait, "asking again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn fetch_once(&self, wanted: &Wanted<'_>) -> Result<(HeaderMap, Vec<u8>), Failed> {
        let mut response = self.send(wanted).await?;
        let mut content = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(wanted, &error))? {
            if content.len() + piece.len() > DOCUMENT_BYTES_MAX {
                let why = format!("{} is longer than {DOCUMENT_BYTES_MAX} bytes", wanted.url());
                return Err(Failed::finally(RegistryFault::Broken(why)));
            }
            content.extend_from_slice(&piece);
        }
        Ok((response.headers().clone(), content))
    }

    /// Sends a blob to its reader, and goes on after breaks where they were.
    async fn stream(
        &self,
        asked: &Asked,
        blob: Blob,
        stage: PullStage,
        reader: &pieces::Sender,
    ) -> Result<(), ImageError> {
        let (mut offset, mut tries, mut resumes) = (0, 0, 0);
        while offset < blob.size_bytes || tries == 0 {
            tries += 1;
            let path = format!("blobs/{}", blob.digest);
            let wanted = Wanted { asked, method: Method::GET, path, offset };
            let before = offset;
            let Err(failed) = self.stream_once(&wanted, blob, &mut offset, reader).await else { return Ok(()) };
            // Who only drips is asked no more often than who sends nothing.
            let is_too_slow = matches!(failed.fault, RegistryFault::Unreachable { why: NetworkFault::Slow, .. });
            if offset > before && !is_too_slow {
                tries = 1;
            }
            resumes += 1;
            if !failed.is_transient || tries >= retry::TRIES_MAX || resumes >= retry::RESUMES_MAX {
                return Err(failed.told(asked, stage, tries));
            }
            let wait = retry::wait(tries, failed.retry_after);
            tracing::debug!(blob = %blob.digest, offset, fault = %failed.fault, ?wait, "fetching the rest of a blob");
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn stream_once(
        &self,
        wanted: &Wanted<'_>,
        blob: Blob,
        offset: &mut u64,
        reader: &pieces::Sender,
    ) -> Result<(), Failed> {
        let answered = timeout(DOCUMENT_TIME_MAX, self.send(wanted)).await;
        let mut response = answered.map_err(|_| self.too_slow(wanted))??;
        // Who does not know ranges begins anew.
        let mut skipped = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { wanted.offset };
        let mut flow = Flow::new(self.floor);
        loop {
            let asked_at = Instant::now();
            let piece = response.chunk().await.map_err(|error| self.unreachable(wanted, &error))?;
            let Some(mut piece) = piece else { break };
            let is_enough = flow.note(asked_at.elapsed(), piece.len());
            let skip = skipped.min(piece.len() as u64);
            skipped -= skip;
            _ = piece.split_to(usize::try_from(skip).expect("it is shorter than the piece"));
            *offset += piece.len() as u64;
            if !piece.is_empty() && reader.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
            if !is_enough && *offset < blob.size_bytes {
                return Err(self.too_slow(wanted));
            }
        }
        match *offset < blob.size_bytes {
            true => Err(Failed::for_now(RegistryFault::Unreachable {
                method: "Get",
                url: wanted.url(),
                why: NetworkFault::Broken,
            })),
            false => Ok(()),
        }
    }

    /// Sends a request with what the registry wants to see of its user, and returns an answer that is a success.
    async fn send(&self, wanted: &Wanted<'_>) -> Result<Response, Failed> {
        let owner = self.owner(wanted.asked).await;
        let known = self.authorization(&owner);
        let had_one = known.is_some();
        let response = self.send_as(wanted, known).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.checked(wanted, response).await;
        }
        if had_one {
            self.forget(&owner);
        }
        let authorization = self.authorize(wanted, &owner, &response).await?;
        let response = self.send_as(wanted, Some(authorization)).await?;
        self.checked(wanted, response).await
    }

    async fn send_as(&self, wanted: &Wanted<'_>, authorization: Option<Authorization>) -> Result<Response, Failed> {
        let mut request = self.client(wanted.asked).request(wanted.method.clone(), wanted.url());
        request = request.header(ACCEPT, MANIFEST_KINDS);
        if wanted.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", wanted.offset));
        }
        request = match authorization {
            None => request,
            Some(Authorization::Basic(user)) => request.basic_auth(user.username, Some(user.password)),
            Some(Authorization::Bearer { token, .. }) => request.bearer_auth(token),
        };
        request.send().await.map_err(|error| self.unreachable(wanted, &error))
    }

    /// Passes a success on, and reads what a registry says otherwise.
    async fn checked(&self, wanted: &Wanted<'_>, response: Response) -> Result<Response, Failed> {
        let status = response.status();
        let starts_there = || {
            let range = response.headers().get(reqwest::header::CONTENT_RANGE);
            let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes "));
            range.is_none_or(|range| range.starts_with(&format!("{}-", wanted.offset)))
        };
        if status == StatusCode::PARTIAL_CONTENT && !starts_there() {
            return Err(Failed::for_now(RegistryFault::Broken("the answer is of another range".to_owned())));
        }
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry::asked_for(response.headers());
        let message = fault::message(&beginning(response).await);
        let shown = shown(status);
        let fault = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let registry = wanted.asked.reference.registry().to_owned();
                RegistryFault::Denied { registry, message: message.unwrap_or(shown) }
            }
            _ => RegistryFault::Status { method: wanted.go_method(), url: wanted.url(), status: shown, message },
        };
        Err(Failed { fault, status: Some(status), is_transient: retry::is_transient(status.as_u16()), retry_after })
    }

    fn unreachable(&self, wanted: &Wanted<'_>, error: &reqwest::Error) -> Failed {
        let why = fault::network_fault(error, &wanted.address());
        Failed::for_now(RegistryFault::Unreachable { method: wanted.go_method(), url: wanted.url(), why })
    }

    fn too_slow(&self, wanted: &Wanted<'_>) -> Failed {
        let (method, url) = (wanted.go_method(), wanted.url());
        Failed::for_now(RegistryFault::Unreachable { method, url, why: NetworkFault::Slow })
    }

    fn client(&self, asked: &Asked) -> &Client {
        if is_near(asked.reference.registry()) { &self.near } else { &self.far }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Authorization>> {
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failed {
    fn for_now(fault: RegistryFault) -> Self {
        Self { fault, status: None, is_transient: true, retry_after: None }
    }

    fn finally(fault: RegistryFault) -> Self {
        Self { fault, status: None, is_transient: false, retry_after: None }
    }

    fn told(self, asked: &Asked, stage: PullStage, tries: u32) -> ImageError {
        let reference = asked.reference.to_string();
        let is_missing = self.status == Some(StatusCode::NOT_FOUND);
        match stage {
            PullStage::Resolve | PullStage::Manifest if is_missing => ImageError::NotFound { reference },
            _ => ImageError::Registry { reference, stage, tries, fault: self.fault },
        }
    }
}

impl Wanted<'_> {
    fn url(&self) -> String {
        let reference = &self.asked.reference;
        let scheme = if is_near(reference.registry()) { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{}", host(reference), reference.repository(), self.path)
    }

    /// Returns host and port.
    fn address(&self) -> String {
        let registry = self.asked.reference.registry();
        let host = host(&self.asked.reference);
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        match has_port {
            true => host.to_owned(),
            false => format!("{host}:{}", if is_near(registry) { 80 } else { 443 }),
        }
    }

    /// Returns the method as programs in Go write it in errors.
    fn go_method(&self) -> &'static str {
        if self.method == Method::HEAD { "Head" } else { "Get" }
    }
}

fn host(reference: &Reference) -> &str {
    if reference.registry() == "docker.io" { HUB_HOST } else { reference.registry() }
}

/// Says whether a registry is on this machine, which docker speaks to without TLS.
fn is_near(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    };
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

/// Says whether a request to `host` ends on this machine, also where docker would not call it near.
fn leads_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let address = address.map(|address| address.to_canonical());
    let is_here = address.is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    is_here || is_near(host.strip_suffix('.').unwrap_or(host))
}

/// Says why a redirect is not followed, if it is not.
fn refusal(from: &Url, to: &Url) -> Option<&'static str> {
    let is_here = |url: &Url| url.host_str().is_some_and(leads_here);
    if from.scheme() == "https" && to.scheme() != "https" {
        return Some("a redirect to a connection without TLS");
    }
    // This server's API is there, and would take the request for one of this machine's user.
    (is_here(to) && !is_here(from)).then_some("a redirect from elsewhere to this machine")
}

fn shown(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()).trim_end().to_owned()
}

async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() >= fault::ERROR_BYTES_MAX {
            break;
        }
    }
    body
}

/// Builds a client. It follows redirects without the user's authorization where they lead to another host, and never
/// from a safe connection to an unsafe one, or from elsewhere to this machine.
fn client(builder: ClientBuilder) -> Client {
    // Somebody in this process may have named one already: then that one serves.
    _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error("too many redirects");
        }
        match attempt.previous().last().and_then(|from| refusal(from, attempt.url())) {
            Some(why) => attempt.error(why),
            None => attempt.follow(),
        }
    });
    let agent = concat!("neargate/", env!("CARGO_PKG_VERSION"));
    let settings = |builder: ClientBuilder| {
        builder.user_agent(agent).connect_timeout(CONNECT_TIMEOUT).read_timeout(IDLE_TIMEOUT).http1_only()
    };
    settings(builder).redirect(redirects).build().unwrap_or_else(|error| {
        tracing::warn!(%error, "no certificates are trusted on this machine; registries with TLS cannot be asked");
        let bare = settings(Client::builder()).tls_certs_only(Vec::new()).redirect(Policy::none());
        bare.build().expect("without certificates there is nothing that can fail")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_registry::{Reply, TestRegistry};

    #[test]
    fn registries_on_this_machine_are_told_by_their_names() {
        for near in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "a.localhost:1"] {
            assert!(is_near(near), "{near}");
        }
        for far in ["docker.io", "localhost.example:5000", "10.0.0.1:5000", "[fe80::1]:5000", "1.127.0.0"] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn redirects_lead_to_no_unsafe_connection_and_from_nowhere_to_this_machine() {
        let rows = [
            ("https://ghcr.io/v2/", "https://cdn.example/blob", true),
            ("https://ghcr.io/v2/", "http://cdn.example/blob", false),
            ("https://ghcr.io/v2/", "https://127.0.0.1:4566/", false),
            ("https://ghcr.io/v2/", "https://2130706433/", false),
            ("https://ghcr.io/v2/", "https://a.localhost./", false),
            ("https://ghcr.io/v2/", "https://0.0.0.0/", false),
            ("https://ghcr.io/v2/", "https://[::1]/", false),
            ("https://ghcr.io/v2/", "https://[::ffff:127.0.0.1]/", false),
            ("http://cdn.example/blob", "http://localhost:5000/", false),
            ("http://localhost:5000/v2/", "http://127.0.0.1:5001/blob", true),
            ("http://localhost:5000/v2/", "https://cdn.example/blob", true),
        ];
        for (from, to, is_followed) in rows {
            let refusal = refusal(&Url::parse(from).unwrap(), &Url::parse(to).unwrap());
            assert_eq!(refusal.is_none(), is_followed, "{from} to {to}: {refusal:?}");
        }
    }

    #[tokio::test]
    async fn a_registry_elsewhere_has_no_token_fetched_on_this_machine() {
        let here = TestRegistry::new();
        let registries = Registries::new(Arc::new(base::SystemClock), None, false);
        for (reference, expected) in [("evil.example/a", 0), ("localhost:5000/a", 1)] {
            let asked = asked(reference);
            let wanted = Wanted { asked: &asked, method: Method::GET, path: String::new(), offset: 0 };
            let realm = format!("http://{}/?Action=ListUsers&Version=2010-05-08", here.address);
            let failed = registries.inner.token(&wanted, &realm, None, "repository:a:pull", None).await.err().unwrap();
            assert!(!failed.is_transient, "{:?}", failed.fault);
            assert_eq!(here.take_log().len(), expected, "{reference}");
        }
    }

    #[test]
    fn a_client_without_the_internet_serves_this_machines_registries_only() {
        let clock: Arc<dyn Clock> = Arc::new(base::SystemClock);
        let names = ["httpd", "ghcr.io/o/a:1", "localhost:5000/a", "127.0.0.1:5000/a"];
        let served = |asks_near_only| {
            let registries = Registries::new(Arc::clone(&clock), None, asks_near_only);
            names.map(|name| registries.serves(&Reference::parse(name).unwrap()))
        };
        assert_eq!([served(true), served(false)], [[false, false, true, true], [true; 4]]);
    }

    #[test]
    fn urls_and_addresses_are_those_of_the_registry() {
        let rows = [
            ("httpd", "https://registry-1.docker.io/v2/library/httpd/manifests/x", "registry-1.docker.io:443"),
            ("localhost:5000/a/b", "http://localhost:5000/v2/a/b/manifests/x", "localhost:5000"),
            ("ghcr.io/o/a:1", "https://ghcr.io/v2/o/a/manifests/x", "ghcr.io:443"),
            ("localhost/a", "http://localhost/v2/a/manifests/x", "localhost:80"),
        ];
        for (reference, url, address) in rows {
            let asked = asked(reference);
            let wanted = Wanted { asked: &asked, method: Method::GET, path: "manifests/x".to_owned(), offset: 0 };
            assert_eq!((wanted.url().as_str(), wanted.address().as_str()), (url, address), "{reference}");
        }
    }

    #[tokio::test]
    async fn who_gives_tokens_may_say_when_to_ask_again() {
        let busy = |_: &crate::test_registry::Asked, _| Some(Reply::status(429)?.header("retry-after", "7"));
        let realm = TestRegistry::with(busy);
        let registries = Registries::new(Arc::new(base::SystemClock), None, true);
        let asked = asked("localhost:5000/a");
        let wanted = Wanted { asked: &asked, method: Method::GET, path: String::new(), offset: 0 };
        let realm = format!("http://{}/token", realm.address);
        let failed = registries.inner.token(&wanted, &realm, None, "repository:a:pull", None).await.err().unwrap();
        assert_eq!((failed.is_transient, failed.retry_after), (true, Some(Duration::from_secs(7))));
    }

    fn asked(reference: &str) -> Asked {
        let reference = Reference::parse(reference).unwrap();
        let (waiting, login) = (crate::Waiting::default(), KnownLogin::default());
        Asked { reference, platform: node::Platform::host(), credentials: None, login, waiting }
    }
}
