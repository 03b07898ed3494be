//! What the node can ask of the world by HTTP: webhooks, endpoints that stand in for functions.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// How much of an answer is read; what comes beyond it is dropped.
pub const HTTP_ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How many bytes the body of a request may have: an event is smaller.
pub const HTTP_REQUEST_BYTES_MAX: usize = 6 * 1024 * 1024;

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `POST`, `GET` and so on.
    pub method: String,
    /// The whole address, with its query.
    pub url: String,
    /// Headers. Among them may be secrets.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the answer may take altogether, by the machine's clock.
    pub wait_max: Duration,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and body may hold secrets: never into a log. So may what follows the path.
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{} {url} ({} bytes)", self.method, self.body.len())
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Headers; their names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, up to [`HTTP_ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// Returns the value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It cannot be asked so.
    #[error("cannot ask so: {why}")]
    Invalid {
        /// What is wrong with the request.
        why: String,
    },
    /// Nobody answers, or not in time, or not to the end.
    #[error("no answer: {why}")]
    Unreachable {
        /// What happened.
        why: String,
    },
}

/// Asks by HTTP. Follows no redirect: whoever calls decides.
#[async_trait]
pub trait HttpClient: Send + Sync + fmt::Debug {
    /// Sends a request and reads the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError>;
}
