//! The host's own resolvers, asked from the host's network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::reply::Transport;
use crate::sockets::DNS_PORT;

/// How many resolvers are asked, one after the other: as many as the C library asks.
const RESOLVERS_MAX: usize = 3;
/// How long each may take. All together take less than a program waits for one answer, 5 seconds.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);
/// How many datagrams that are no answer to the question are passed over.
const STRAYS_MAX: usize = 16;

/// The host's resolvers.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// The file that names them. Read for each question: it is short, and changes as the host moves.
    pub(super) configuration: PathBuf,
    pub(super) port: u16,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { configuration: PathBuf::from("/etc/resolv.conf"), port: DNS_PORT }
    }
}

impl Upstream {
    /// Asks a question as it is; none if nobody answers.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let configuration = tokio::fs::read_to_string(&self.configuration).await.unwrap_or_default();
        for resolver in resolvers(&configuration) {
            let address = SocketAddr::new(resolver, self.port);
            let asking = async {
                match transport {
                    Transport::Udp => over_udp(address, question).await,
                    Transport::Tcp => over_tcp(address, question).await,
                }
            };
            match timeout(ANSWER_WAIT, asking).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver does not answer"),
                Err(_) => tracing::debug!(%resolver, "a resolver does not answer in time"),
            }
        }
        None
    }
}

/// Reads the resolvers out of resolv.conf.
fn resolvers(configuration: &str) -> Vec<IpAddr> {
    let named = configuration.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    });
    named.take(RESOLVERS_MAX).collect()
}

async fn over_udp(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    socket.send(question).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    for _ in 0..STRAYS_MAX {
        let length = socket.recv(&mut answer).await?;
        // The id comes first; the kernel has seen to the sender.
        if length > 2 && answer[..2] == question[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
    Err(io::Error::other("it answers something else"))
}

async fn over_tcp(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    write_message(&mut stream, question).await?;
    read_message(&mut stream).await
}

/// Writes a message with its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(2 + message.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}

/// Reads a message with its length before it.
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_resolvers_of_the_configuration_are_asked() {
        let configuration = "# nameserver 1.1.1.1\nsearch example\nnameserver 10.0.0.1\nnameserver  fd00::1 \n\
                             nameserver nonsense\noptions edns0\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let found = resolvers(configuration).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found, ["10.0.0.1", "fd00::1", "10.0.0.3"]);
        assert_eq!(resolvers(""), Vec::<IpAddr>::new());
    }
}
