//! The collector, over HTTP or HTTPS. Its calls block.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::Agent;
use ureq::tls::TlsConfig;

/// Where events are sent to.
const PATH: &str = "/services/collector/event/1.0";
/// How long a connection may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a request may take altogether.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(15);
/// How much of an answer is read, to say why a batch was refused.
const ANSWER_BYTES_MAX: u64 = 1024;

/// How a collector is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// Scheme, host and port: `https://splunk.example:8088`.
    pub url: String,
    /// What it is asked with. A secret.
    pub token: String,
    /// Whether anybody's certificate will do.
    pub is_insecure: bool,
    /// How hard bodies are compressed, 0 to 9; none leaves them as they are.
    pub gzip_level: Option<u32>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A collector.
pub struct Collector {
    connection: Connection,
    agent: Agent,
}

/// Why a collector did not take events.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// It is not there, or does not answer.
    #[error("cannot reach {url}")]
    Unreachable {
        /// The collector.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It does not want them.
    #[error("{url} answers {status}: {answer}")]
    Refused {
        /// The collector.
        url: String,
        /// The status.
        status: u16,
        /// The answer.
        answer: String,
    },
}

impl Collector {
    /// Prepares to send to a collector; nothing is sent yet.
    pub fn new(connection: Connection) -> Self {
        let tls = TlsConfig::builder().disable_verification(connection.is_insecure).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WAIT_MAX))
            .timeout_global(Some(ANSWER_WAIT_MAX));
        Self { agent: config.build().new_agent(), connection }
    }

    /// Finds out whether it is a collector.
    ///
    /// # Errors
    ///
    /// If it is none, or cannot be reached.
    pub fn verify(&self) -> Result<(), CollectorError> {
        self.answered(self.agent.options(self.path()).call())
    }

    /// Sends a batch of events.
    ///
    /// # Errors
    ///
    /// If the collector did not say that it has taken all of them.
    pub fn send(&self, batch: &[u8]) -> Result<(), CollectorError> {
        let request = self
            .agent
            .post(self.path())
            .header("Authorization", format!("Splunk {}", self.connection.token))
            .content_type("application/json");
        self.answered(match self.connection.gzip_level {
            Some(level) => request.header("Content-Encoding", "gzip").send(compressed(batch, level)),
            None => request.send(batch),
        })
    }

    /// Returns scheme, host and port.
    pub fn url(&self) -> &str {
        &self.connection.url
    }

    fn path(&self) -> String {
        format!("{}{PATH}", self.connection.url.trim_end_matches('/'))
    }

    fn answered(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(), CollectorError> {
        let url = self.connection.url.clone();
        let mut answer =
            answer.map_err(|source| CollectorError::Unreachable { url: url.clone(), source: Box::new(source) })?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
        Err(CollectorError::Refused { url, status, answer: text })
    }
}

fn compressed(batch: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level.min(9)));
    encoder.write_all(batch).and_then(|()| encoder.finish()).expect("memory takes what is written")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request, and returns its head and body.
    fn receiver(status: &'static str) -> (String, thread::JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut head, mut body) = (String::new(), Vec::new());
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).unwrap() > 0);
            }
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            body.resize(length.unwrap_or(0), 0);
            stream.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            (head, body)
        });
        (url, served)
    }

    fn collector(url: String, gzip_level: Option<u32>) -> Collector {
        Collector::new(Connection { url, token: "secret-token".to_owned(), is_insecure: false, gzip_level })
    }

    #[test]
    fn a_batch_comes_with_its_token() {
        let (url, served) = receiver("200 OK");
        collector(format!("{url}/"), None).send(b"{}{}").unwrap();
        let (head, body) = served.join().unwrap();
        assert!(head.starts_with("POST /services/collector/event/1.0 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("\r\nauthorization: splunk secret-token\r\n"), "{head}");
        assert_eq!(body, b"{}{}");
    }

    #[test]
    fn a_batch_is_compressed_where_that_is_asked_for() {
        let (url, served) = receiver("200 OK");
        collector(url, Some(6)).send(b"{}{}").unwrap();
        let (head, body) = served.join().unwrap();
        assert!(head.to_ascii_lowercase().contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, b"{}{}");
    }

    #[test]
    fn what_is_not_taken_is_an_error_without_the_token() {
        let (url, served) = receiver("403 Forbidden");
        let error = collector(url, None).send(b"{}").unwrap_err();
        assert!(matches!(&error, CollectorError::Refused { status: 403, answer, .. } if answer == "no"), "{error:?}");
        served.join().unwrap();
        let (url, served) = receiver("302 Found");
        assert!(collector(url, None).verify().is_err());
        assert!(served.join().unwrap().0.starts_with("OPTIONS "));
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unreachable = collector(format!("http://{nobody}"), None);
        let error = unreachable.verify().unwrap_err();
        assert!(matches!(error, CollectorError::Unreachable { .. }));
        let said = format!("{error:?} {:?}", unreachable.connection);
        assert!(!said.contains("secret-token"), "{said}");
    }
}
