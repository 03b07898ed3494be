//! Answers tasks inside their VPCs: their metadata, the API, DNS.
//!
//! Each VPC hands its sockets over as it comes to be. What is answered on them holds the emulator only for as long as a
//! request takes, so that it can go; and ends with the VPC.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use base::{Clock, VpcId};
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use network::dns::Resolver;
use network::sockets::{Life, SocketSink, VpcSockets};
use state::State;
use task_metadata::{Api, Parts, Peer, TaskMetadata};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use crate::body::Room;
use crate::data_channel::Place;
use crate::download::{Outgoing, with_body};
use crate::gateway::{self, Site};
use crate::upload::UPLOADS_MAX;
use crate::vpc_names::VpcNames;
use crate::{Config, Emulator, Limits, clock_quality, guard, vpc_names};

/// How many VPCs may wait for somebody to answer in them.
const VPCS_WAITING_MAX: usize = 16;
/// How many connections there may be at once to each port in a VPC.
const CONNECTIONS_MAX: usize = 1_024;
/// The longest body of a request to the metadata's port that is not one to the API.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The VPCs that wait for somebody to answer in them.
pub(crate) struct WaitingVpcs(mpsc::Receiver<VpcSockets>);

/// Makes the way of sockets from the network to the server.
pub(crate) fn channel() -> (SocketSink, WaitingVpcs) {
    let (given, taken) = mpsc::channel(VPCS_WAITING_MAX);
    let sink: SocketSink = Arc::new(move |sockets: VpcSockets| {
        let vpc = sockets.vpc.clone();
        // Fails when the server is ending: then nobody needs them.
        if given.blocking_send(sockets).is_err() {
            tracing::debug!(%vpc, "nobody answers in this VPC any more");
        }
    });
    (sink, WaitingVpcs(taken))
}

/// Answers tasks.
pub(crate) struct VpcServer {
    emulator: Weak<Emulator>,
    metadata: TaskMetadata,
    resolver: Arc<Resolver>,
    allowed_hosts: Vec<String>,
    limits: Limits,
    room: Room,
    uploads: Arc<Semaphore>,
}

/// The API, for as long as there is an emulator.
struct Calls(Weak<Emulator>);

#[async_trait]
impl Api for Calls {
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        match self.0.upgrade() {
            Some(emulator) => emulator.call(request).await,
            None => gone(),
        }
    }
}

impl VpcServer {
    /// Makes a server for the tasks of an emulator.
    pub(crate) fn new(emulator: &Arc<Emulator>, clock: Arc<dyn Clock>, config: &Config) -> Arc<Self> {
        let state: &Arc<State> = emulator.state();
        let metadata = TaskMetadata::new(Parts {
            state: Arc::clone(state),
            node: emulator.node().clone(),
            clock,
            clock_quality: clock_quality::machine,
            api: Arc::new(Calls(Arc::downgrade(emulator))),
        });
        let names = Arc::new(VpcNames::new(Arc::clone(state)));
        Arc::new(Self {
            emulator: Arc::downgrade(emulator),
            metadata,
            resolver: Resolver::new(names, vpc_names::endpoints()),
            allowed_hosts: config.allowed_hosts.clone(),
            limits: config.limits,
            room: Room::new(config.limits.bodies_bytes),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        })
    }

    /// Answers in each VPC that comes, until none can come any more.
    pub(crate) async fn run(self: Arc<Self>, WaitingVpcs(mut vpcs): WaitingVpcs) {
        while let Some(sockets) = vpcs.recv().await {
            let vpc = sockets.vpc.clone();
            if let Err(error) = self.serve(sockets) {
                tracing::error!(%vpc, %error, "tasks in this VPC find no metadata, no API and no DNS");
            }
        }
    }

    fn serve(self: &Arc<Self>, sockets: VpcSockets) -> std::io::Result<()> {
        let VpcSockets { vpc, metadata, api, dns, life } = sockets;
        for dns in dns {
            let serving = Arc::clone(&self.resolver).serve(vpc.clone(), dns, life.clone());
            let vpc = vpc.clone();
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%vpc, %error, "tasks in this VPC find no DNS");
                }
            });
        }
        for (listener, port) in [(metadata, Port::Metadata), (api, Port::Api)] {
            let listener = TcpListener::from_std(listener)?;
            tokio::spawn(Arc::clone(self).listen(vpc.clone(), port, listener, life.clone()));
        }
        Ok(())
    }

    async fn listen(self: Arc<Self>, vpc: VpcId, port: Port, listener: TcpListener, mut life: Life) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = life.ended() => return,
                accepted = gateway::accept(&listener, &places, self.limits.write_timeout) => accepted,
            };
            let Some((stream, address, place)) = accepted else { continue };
            let (server, vpc, mut life) = (Arc::clone(&self), vpc.clone(), life.clone());
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(self.limits.head_timeout)
                .max_headers(self.limits.headers)
                .max_buf_size(self.limits.head_bytes);
            let place = Arc::new(place);
            let held = Place::new(&place);
            let service = service_fn(move |mut request: Request<Incoming>| {
                // A connection that becomes a data channel keeps its place.
                request.extensions_mut().insert(held.clone());
                let (server, vpc) = (Arc::clone(&server), vpc.clone());
                async move { Ok::<_, std::convert::Infallible>(server.answer(&vpc, port, address, request).await) }
            });
            let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
            tokio::spawn(async move {
                tokio::select! {
                    () = life.ended() => {}
                    ended = connection => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a task's connection ended early");
                        }
                    }
                }
                drop(place);
            });
        }
    }

    async fn answer(
        &self,
        vpc: &VpcId,
        port: Port,
        address: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Outgoing> {
        let Some(emulator) = self.emulator.upgrade() else { return with_body(gone()) };
        if port == Port::Api || is_for_aws(&request) {
            let site = Site {
                emulator,
                allowed_hosts: self.allowed_hosts.clone(),
                limits: self.limits,
                room: self.room.clone(),
                uploads: Arc::clone(&self.uploads),
                is_for_tasks: true,
            };
            return site.answer(request).await;
        }
        let IpAddr::V4(address) = address.ip() else { return with_body(gone()) };
        let limits = Limits { body_bytes: BODY_BYTES_MAX, ..self.limits };
        let (parts, body) = request.into_parts();
        match self.room.receive(body, &limits).await {
            Ok(body) => {
                let request = Request::from_parts(parts, body.bytes.clone());
                with_body(self.metadata.answer(&Peer { vpc: vpc.clone(), address }, &request).await)
            }
            Err(error) => {
                tracing::debug!(%error, "the body of a task's request was not received");
                with_body(plain(error.code().0))
            }
        }
    }
}

/// A port that tasks reach at 169.254.170.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Metadata,
    Api,
}

/// Says whether a request to the metadata's port is for an endpoint of AWS, whose names lead to the same address.
fn is_for_aws(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(guard::is_aws_host)
}

/// Answers when there is no emulator any more.
fn gone() -> Response<Bytes> {
    plain(StatusCode::SERVICE_UNAVAILABLE)
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
