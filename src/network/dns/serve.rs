//! Answers what comes in on a VPC's sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::VpcId;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::reply::{self, Transport, Verdict};
use super::upstream::{Upstream, read_message, write_message};
use super::zone::{Endpoints, Zone};
use crate::sockets::{DnsSockets, Life};

/// How many questions over UDP are worked on at once for one VPC; further ones wait in the kernel, as far as it keeps them.
const QUESTIONS_MAX: usize = 256;
/// How many connections there may be at once in one VPC.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The longest question over UDP.
const QUESTION_BYTES_MAX: usize = 4096;
/// How long to wait before taking the next one after the kernel gave none: without a pause that would take a processor.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Knows the names of each VPC.
pub trait Directory: Send + Sync {
    /// Returns the names in a VPC as they are now.
    fn zone(&self, vpc: &VpcId) -> Arc<Zone>;
}

/// The DNS server of every VPC.
pub struct Resolver {
    directory: Arc<dyn Directory>,
    endpoints: Endpoints,
    upstream: Upstream,
}

impl Resolver {
    /// Makes a server that asks the host's resolvers for what it does not know.
    pub fn new(directory: Arc<dyn Directory>, endpoints: Endpoints) -> Arc<Self> {
        Arc::new(Self { directory, endpoints, upstream: Upstream::default() })
    }

    /// Answers at one address of a VPC until the VPC's end.
    ///
    /// # Errors
    ///
    /// The sockets cannot be used.
    pub async fn serve(self: Arc<Self>, vpc: VpcId, sockets: DnsSockets, mut life: Life) -> io::Result<()> {
        let (udp, tcp) = (UdpSocket::from_std(sockets.udp)?, TcpListener::from_std(sockets.tcp)?);
        tokio::select! {
            () = life.ended() => {}
            () = self.clone().serve_udp(&vpc, Arc::new(udp)) => {}
            () = self.clone().serve_tcp(&vpc, tcp) => {}
        }
        Ok(())
    }

    async fn serve_udp(self: Arc<Self>, vpc: &VpcId, socket: Arc<UdpSocket>) {
        let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
        let mut buffer = vec![0; QUESTION_BYTES_MAX];
        loop {
            let place = take(&places).await;
            match socket.recv_from(&mut buffer).await {
                Ok((length, peer)) => {
                    let (resolver, vpc, socket) = (Arc::clone(&self), vpc.clone(), Arc::clone(&socket));
                    let question = buffer[..length].to_vec();
                    tokio::spawn(async move {
                        resolver.answer_datagram(&vpc, &socket, &question, peer).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%vpc, %error, "cannot receive a question");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn answer_datagram(&self, vpc: &VpcId, socket: &UdpSocket, question: &[u8], peer: SocketAddr) {
        let Some(answer) = self.answer(vpc, question, Transport::Udp).await else { return };
        if let Err(error) = socket.send_to(&answer, peer).await {
            tracing::debug!(%vpc, %peer, %error, "cannot send an answer");
        }
    }

    async fn serve_tcp(self: Arc<Self>, vpc: &VpcId, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = take(&places).await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (resolver, vpc) = (Arc::clone(&self), vpc.clone());
                    tokio::spawn(async move {
                        if let Err(error) = resolver.converse(&vpc, stream).await {
                            tracing::trace!(%vpc, %peer, %error, "a connection has ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%vpc, %error, "cannot accept a connection");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Answers one question after the other, until the client goes or is silent.
    async fn converse(&self, vpc: &VpcId, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let question = timeout(SILENCE_MAX, read_message(&mut stream)).await??;
            let Some(answer) = self.answer(vpc, &question, Transport::Tcp).await else { return Ok(()) };
            timeout(SILENCE_MAX, write_message(&mut stream, &answer)).await??;
        }
    }

    async fn answer(&self, vpc: &VpcId, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let verdict = match reply::decide(question, transport, &self.directory.zone(vpc), &self.endpoints) {
            Verdict::Forward => match self.upstream.ask(question, transport).await {
                Some(answer) => Verdict::Answer(answer),
                None => reply::failure(question, transport),
            },
            decided => decided,
        };
        match verdict {
            Verdict::Answer(answer) => Some(answer),
            Verdict::Forward | Verdict::Drop => None,
        }
    }
}

async fn take(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::str::FromStr;

    use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};

    use super::*;
    use crate::sockets::Alive;

    struct Names;

    impl Directory for Names {
        fn zone(&self, vpc: &VpcId) -> Arc<Zone> {
            let hosts = (vpc.as_str() == "vpc-1")
                .then(|| ("ip-172-31-0-9.ec2.internal".to_owned(), Ipv4Addr::new(172, 31, 0, 9)));
            Arc::new(Zone::new(hosts))
        }
    }

    /// A server on the loopback, which asks a resolver there.
    struct Bench {
        address: SocketAddr,
        upstream: UdpSocket,
        upstream_tcp: TcpListener,
        alive: Option<Alive>,
        ended: tokio::task::JoinHandle<io::Result<()>>,
        _folder: tempfile::TempDir,
    }

    /// Returns sockets of both transports at the same port. Of one that is free for datagrams, somebody else's connection
    /// may use the number for streams.
    fn one_port() -> (std::net::UdpSocket, std::net::TcpListener) {
        let sockets = (0..100).find_map(|_| {
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let tcp = std::net::TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        });
        let (udp, tcp) = sockets.expect("one of a hundred ports is free for both");
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        (udp, tcp)
    }

    async fn bench() -> Bench {
        let (udp, tcp) = one_port();
        let port = udp.local_addr().unwrap().port();
        let (upstream, upstream_tcp) = (UdpSocket::from_std(udp).unwrap(), TcpListener::from_std(tcp).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("resolv.conf");
        std::fs::write(&configuration, "nameserver 127.0.0.1\n").unwrap();
        let upstream_settings = Upstream { configuration, port };
        let endpoints = Endpoints::new(["ecs".to_owned()]);
        let resolver = Arc::new(Resolver { directory: Arc::new(Names), endpoints, upstream: upstream_settings });
        let (udp, tcp) = one_port();
        let address = udp.local_addr().unwrap();
        let alive = Alive::new();
        let life = alive.life();
        let ended = tokio::spawn(resolver.serve(VpcId::new("vpc-1"), DnsSockets { udp, tcp }, life));
        Bench { address, upstream, upstream_tcp, alive: Some(alive), ended, _folder: folder }
    }

    fn question(name: &str) -> Vec<u8> {
        let mut message = Message::new(9, MessageType::Query, OpCode::Query);
        message.queries = vec![Query::query(Name::from_str(name).unwrap(), RecordType::A)];
        message.to_vec().unwrap()
    }

    async fn ask_udp(bench: &Bench, name: &str) -> Message {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(&question(name), bench.address).await.unwrap();
        let mut answer = vec![0; 4096];
        let (length, _) = client.recv_from(&mut answer).await.unwrap();
        Message::from_vec(&answer[..length]).unwrap()
    }

    #[tokio::test]
    async fn names_of_the_vpc_are_answered_over_both_transports() {
        let bench = bench().await;
        let name = "ip-172-31-0-9.ec2.internal.";
        assert_eq!(ask_udp(&bench, name).await.answers[0].data.to_string(), "172.31.0.9");
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        for _ in 0..2 {
            write_message(&mut stream, &question(name)).await.unwrap();
            let answer = Message::from_vec(&read_message(&mut stream).await.unwrap()).unwrap();
            assert_eq!(answer.answers[0].data.to_string(), "172.31.0.9");
        }
    }

    #[tokio::test]
    async fn other_names_are_asked_of_the_hosts_resolver_over_the_same_transport() {
        let bench = bench().await;
        let upstream = async {
            let mut asked = vec![0; 4096];
            let (length, peer) = bench.upstream.recv_from(&mut asked).await.unwrap();
            let asked = Message::from_vec(&asked[..length]).unwrap();
            let stray = Message::error_msg(1, OpCode::Query, ResponseCode::Refused).to_vec().unwrap();
            bench.upstream.send_to(&stray, peer).await.unwrap();
            let answer = Message::error_msg(asked.metadata.id, OpCode::Query, ResponseCode::YXDomain);
            bench.upstream.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask_udp(&bench, "example.com."), upstream);
        assert_eq!(answer.metadata.response_code, ResponseCode::YXDomain);
        let upstream = async {
            let (mut stream, _) = bench.upstream_tcp.accept().await.unwrap();
            let asked = read_message(&mut stream).await.unwrap();
            write_message(&mut stream, &asked).await.unwrap();
        };
        let client = async {
            let mut stream = TcpStream::connect(bench.address).await.unwrap();
            write_message(&mut stream, &question("example.com.")).await.unwrap();
            read_message(&mut stream).await.unwrap()
        };
        assert_eq!(tokio::join!(client, upstream).0, question("example.com."));
    }

    #[tokio::test]
    async fn without_a_resolver_of_the_host_the_server_fails() {
        let mut bench = bench().await;
        let Bench { upstream, upstream_tcp, .. } = bench;
        drop((upstream, upstream_tcp));
        (bench.upstream, bench.upstream_tcp) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        assert_eq!(ask_udp(&bench, "example.com.").await.metadata.response_code, ResponseCode::ServFail);
    }

    #[tokio::test]
    async fn it_ends_with_the_vpc() {
        let mut bench = bench().await;
        bench.alive = None;
        timeout(SILENCE_MAX, bench.ended).await.unwrap().unwrap().unwrap();
        TcpListener::bind(bench.address).await.unwrap();
    }
}
