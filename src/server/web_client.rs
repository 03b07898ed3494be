//! The node's HTTP client: what controllers ask of webhooks and of endpoints that stand in for functions.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use node::{HTTP_ANSWER_BYTES_MAX, HTTP_REQUEST_BYTES_MAX, HttpAnswer, HttpClient, HttpError, HttpRequest};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Response};

/// How long a connection may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Asks by HTTP and HTTPS.
pub(crate) struct WebClient {
    /// For this machine: never through a proxy.
    near: Client,
    far: Client,
}

impl WebClient {
    pub(crate) fn new() -> Self {
        Self { near: client(|| Client::builder().no_proxy()), far: client(Client::builder) }
    }

    fn client(&self, host: &str) -> &Client {
        let is_near = host == "localhost"
            || host.ends_with(".localhost")
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_near { &self.near } else { &self.far }
    }
}

impl fmt::Debug for WebClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebClient")
    }
}

#[async_trait]
impl HttpClient for WebClient {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let invalid = |why: &dyn fmt::Display| HttpError::Invalid { why: why.to_string() };
        if request.body.len() > HTTP_REQUEST_BYTES_MAX {
            return Err(invalid(&"the body is too large"));
        }
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| invalid(&error))?;
        let url = request.url.parse::<reqwest::Url>().map_err(|error| invalid(&error))?;
        let client = self.client(url.host_str().unwrap_or_default());
        let mut asked = client.request(method, url).timeout(request.wait_max).body(request.body);
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        let asked = asked.build().map_err(|error| invalid(&root_cause(error)))?;
        let unreachable = |error: reqwest::Error| HttpError::Unreachable { why: root_cause(error) };
        let answer = client.execute(asked).await.map_err(unreachable)?;
        read(answer).await.map_err(unreachable)
    }
}

async fn read(mut answer: Response) -> Result<HttpAnswer, reqwest::Error> {
    let status = answer.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut body = Vec::new();
    while body.len() < HTTP_ANSWER_BYTES_MAX {
        let Some(piece) = answer.chunk().await? else { break };
        body.extend_from_slice(&piece);
    }
    body.truncate(HTTP_ANSWER_BYTES_MAX);
    Ok(HttpAnswer { status, headers, body })
}

fn client(builder: impl Fn() -> ClientBuilder) -> Client {
    // Somebody in this process may have named one already: then that one serves.
    _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("neargate/", env!("CARGO_PKG_VERSION"));
    let settings =
        || builder().user_agent(agent).connect_timeout(CONNECT_WAIT_MAX).redirect(Policy::none()).http1_only();
    settings().build().unwrap_or_else(|error| {
        tracing::warn!(%error, "no certificates are trusted on this machine; nothing with TLS can be asked");
        settings().tls_certs_only(Vec::new()).build().expect("without certificates there is nothing that can fail")
    })
}

/// Says what was at the bottom of it; an address may hold secrets, and is left out.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() }
}
