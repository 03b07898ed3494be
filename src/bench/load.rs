//! Load: connections that are kept open, each with one request under way, from one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{http, process, timing};

/// How many connections there are.
const CONNECTIONS: usize = 16;
/// How long the load lasts before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the server may answer none of the connections.
const SILENCE_MAX: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// What came of a load.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// The server's time on a processor, for each request.
    pub(crate) cpu: Duration,
}

struct Client {
    stream: TcpStream,
    arrived: Vec<u8>,
    sent_at: Instant,
}

/// Sends one request over and over.
pub(crate) fn run(address: SocketAddr, pid: u32, request: &[u8], seconds: u64) -> Result<Measured> {
    let mut clients = (0..CONNECTIONS).map(|_| Client::connect(address, request)).collect::<Result<Vec<_>>>()?;
    let begin = timing::now() + WARM_UP;
    let end = begin + Duration::from_secs(seconds);
    let mut latencies = Vec::new();
    let (mut counted_from, mut cpu_before) = (None, Duration::ZERO);
    while timing::now() < end {
        if counted_from.is_none() && timing::now() >= begin {
            (counted_from, cpu_before) = (Some(timing::now()), process::cpu(pid)?);
            latencies.clear();
        }
        for index in ready(&clients)? {
            let client = &mut clients[index];
            let Some(closes) = client.receive()? else { continue };
            latencies.push(timing::now().duration_since(client.sent_at));
            if closes {
                *client = Client::connect(address, request)?;
            } else {
                client.send(request)?;
            }
        }
    }
    let elapsed = timing::now().duration_since(counted_from.context("the load was too short")?);
    let count = u32::try_from(latencies.len()).context("too many requests")?.max(1);
    Ok(Measured {
        per_second: f64::from(count) / elapsed.as_secs_f64(),
        median: timing::quantile(&mut latencies, 0.5),
        p99: timing::quantile(&mut latencies, 0.99),
        cpu: (process::cpu(pid)? - cpu_before) / count,
    })
}

/// Waits until some connections have something to read, and returns which.
fn ready(clients: &[Client]) -> Result<Vec<usize>> {
    let mut polled =
        clients.iter().map(|client| PollFd::from_borrowed_fd(client.stream.as_fd(), PollFlags::IN)).collect::<Vec<_>>();
    ensure!(poll(&mut polled, Some(&SILENCE_MAX))? > 0, "the server answers no more");
    let is_ready = |(_, each): &(usize, &PollFd<'_>)| !each.revents().is_empty();
    Ok(polled.iter().enumerate().filter(is_ready).map(|(index, _)| index).collect())
}

impl Client {
    fn connect(address: SocketAddr, request: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, arrived: Vec::new(), sent_at: timing::now() };
        client.send(request)?;
        client.stream.set_nonblocking(true)?;
        Ok(client)
    }

    /// Sends the request. It is short enough for a socket's buffer that is empty.
    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent_at = timing::now();
        self.stream.write_all(request).context("cannot send")
    }

    /// Reads what is there; once the answer is whole, returns whether the server closes the connection.
    fn receive(&mut self) -> Result<Option<bool>> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server hung up"),
            Ok(count) => self.arrived.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(answer) = http::parse(&self.arrived)? else { return Ok(None) };
        let body = String::from_utf8_lossy(&self.arrived[answer.body..]);
        ensure!(answer.status == 200, "{}: {body}", answer.status);
        self.arrived.clear();
        Ok(Some(answer.closes))
    }
}
