//! HTTP/1.1 as far as a benchmark needs it: a connection that is kept open, answers with a length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer whose end is known.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body: usize,
    /// Where the answer ends.
    pub(crate) end: usize,
    /// The server closes the connection after it.
    pub(crate) closes: bool,
    /// Where what was made is.
    pub(crate) location: Option<String>,
}

/// Finds the answer at the start of what has arrived; none if it is not whole yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).context("the head is no text")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let (mut length, mut closes, mut location) = (None, status_line.starts_with("HTTP/1.0"), None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("location") {
            location = Some(value.trim().to_owned());
        }
    }
    let (body, length) = (head + 4, length.context("the answer has no length")?);
    ensure!(length <= ANSWER_BYTES_MAX, "the answer is too long");
    let end = body + length;
    Ok((bytes.len() >= end).then_some(Answer { status, body, end, closes, location }))
}

/// A connection on which requests are sent one after the other.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    /// Makes a connection when the first request is sent.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request and returns status and body.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.exchange(request).map(|(answer, body)| (answer.status, body))
    }

    /// Sends a request and returns the answer and its body.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<(Answer, Vec<u8>)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request)?;
        let mut bytes = Vec::with_capacity(16 * 1024);
        let mut chunk = [0; 16 * 1024];
        loop {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                bail!("the server hung up");
            }
            bytes.extend_from_slice(&chunk[..count]);
            if let Some(answer) = parse(&bytes)? {
                if !answer.closes {
                    self.stream = Some(stream);
                }
                bytes.truncate(answer.end);
                let body = bytes.split_off(answer.body);
                return Ok((answer, body));
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1";
        for end in 0..40 {
            assert!(parse(&bytes[..end]).unwrap().is_none(), "{end}");
        }
        let answer = parse(bytes).unwrap().unwrap();
        assert_eq!((answer.status, &bytes[answer.body..answer.end], answer.closes), (200, &b"{}"[..], false));
    }

    #[test]
    fn an_older_server_closes_unless_it_says_otherwise() {
        let closes =
            |head: &str| parse(format!("{head}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap().unwrap().closes;
        assert!(closes("HTTP/1.0 200 OK"));
        assert!(!closes("HTTP/1.0 200 OK\r\nConnection: keep-alive"));
        assert!(closes("HTTP/1.1 200 OK\r\nConnection: close"));
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
