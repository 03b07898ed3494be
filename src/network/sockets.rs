//! Sockets inside a VPC or a sandbox, for the server to answer on without a route to them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use base::VpcId;
use tokio::sync::watch;

use crate::namespace;

/// Where tasks find their metadata and credentials, on port 80, and the API.
pub const TASK_SERVICES: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// The port of the metadata and credentials.
pub const METADATA_PORT: u16 = 80;
/// The port of the API, the same as on the host.
pub const API_PORT: u16 = 4566;
/// The DNS server that every VPC has beside the one at the base of its range.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The port of DNS.
pub const DNS_PORT: u16 = 53;

/// Takes the sockets of a VPC, on a thread where it may block for a moment.
pub type SocketSink = Arc<dyn Fn(VpcSockets) + Send + Sync>;

/// What a server answers on inside a VPC. Nobody reaches them but who is in there.
#[derive(Debug)]
pub struct VpcSockets {
    /// The VPC.
    pub vpc: VpcId,
    /// The metadata and credentials of tasks.
    pub metadata: TcpListener,
    /// The API.
    pub api: TcpListener,
    /// DNS, at each of its addresses.
    pub dns: Vec<DnsSockets>,
    /// The life of the VPC: the sockets are to be closed at its end, since they keep it from going.
    pub life: Life,
}

/// DNS at one address.
#[derive(Debug)]
pub struct DnsSockets {
    /// Short questions.
    pub udp: UdpSocket,
    /// Long answers.
    pub tcp: TcpListener,
}

/// How long something lives.
#[derive(Clone, Debug)]
pub struct Life(watch::Receiver<()>);

/// Keeps a [`Life`] going until it is dropped.
#[derive(Debug)]
pub(crate) struct Alive(watch::Sender<()>);

impl Alive {
    /// Begins a life.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Returns the life.
    pub(crate) fn life(&self) -> Life {
        Life(self.0.subscribe())
    }
}

impl Life {
    /// Waits for the end.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: only the sender's end can be seen.
        while self.0.changed().await.is_ok() {}
    }
}

impl VpcSockets {
    /// Opens them in the calling thread's network namespace, which has the addresses.
    pub(crate) fn open(vpc: &VpcId, resolvers: &[Ipv4Addr], life: Life) -> io::Result<Self> {
        let dns = resolvers.iter().map(|&address| {
            let address = SocketAddr::from((address, DNS_PORT));
            let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok(DnsSockets { udp, tcp })
        });
        let dns = dns.collect::<io::Result<Vec<_>>>()?;
        let listen = |port| {
            let listener = TcpListener::bind((TASK_SERVICES, port))?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        Ok(Self { vpc: vpc.clone(), metadata: listen(METADATA_PORT)?, api: listen(API_PORT)?, dns, life })
    }
}

/// Listens on an address inside the network namespace. The listener works from any thread.
///
/// # Errors
///
/// The namespace cannot be entered, or the address is in use there or not one of its own.
pub fn listen(namespace: &Path, address: SocketAddr) -> io::Result<TcpListener> {
    namespace::within(namespace, || TcpListener::bind(address))?
}
