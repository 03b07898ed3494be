//! The endpoint: from a request and where it comes from to a response.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Clock, Scope};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use node::Node;
use percent_encoding::percent_decode_str;
use state::State;
use state::ecs::{Container, ContainerStatus, Task, TaskDefinition};

use crate::container::{self, ContainerView, NetworkView, Place};
use crate::echoed::Echoed;
use crate::fault::{self, FaultRequest};
use crate::find::{self, Finder, Peer};
use crate::path::{self, FaultAction, FaultName, Of, Route, Version};
use crate::rate::{Buckets, Rate};
use crate::samples::{Sample, Samples};
use crate::stats::{self, StatsView};
use crate::task::{self, Around};
use crate::{credentials, protection, reply};

/// How often a task may ask: the agent's own limits.
const REQUESTS: Rate = Rate { burst: 60, per_thousand_ms: 25_000 };
/// How often a task may ask each API of each fault: once in five seconds.
const FAULT_REQUESTS: Rate = Rate { burst: 1, per_thousand_ms: 5_000_000 };

/// The API of this emulator.
#[async_trait]
pub trait Api: Send + Sync {
    /// Answers a request of a client of AWS.
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes>;
}

/// How well a clock keeps time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockQuality {
    /// How far it may be off, in milliseconds.
    pub error_bound_ms: f64,
    /// Whether somebody corrects it.
    pub is_synchronized: bool,
}

/// What an endpoint is put together from.
pub struct Parts {
    /// The records.
    pub state: Arc<State>,
    /// Counts what containers use, and makes faults.
    pub node: Node,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Tells how good that time is.
    pub clock_quality: fn() -> ClockQuality,
    /// Changes what tasks may change.
    pub api: Arc<dyn Api>,
}

/// Answers tasks at 169.254.170.2.
pub struct TaskMetadata {
    parts: Parts,
    finder: Finder,
    samples: Samples,
    requests: Buckets<Peer>,
    fault_requests: Buckets<(Peer, FaultName, FaultAction)>,
}

/// The task that asks.
struct Asking {
    scope: Scope,
    task: Arc<Task>,
    definition: Option<Arc<TaskDefinition>>,
}

impl TaskMetadata {
    /// Makes an endpoint.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            finder: Finder::default(),
            samples: Samples::default(),
            requests: Buckets::new(REQUESTS),
            fault_requests: Buckets::new(FAULT_REQUESTS),
        }
    }

    /// Answers one request of a task.
    pub async fn answer(&self, peer: &Peer, request: &Request<Bytes>) -> Response<Bytes> {
        let now = self.parts.clock.now();
        if !self.requests.take(peer.clone(), now) {
            return reply::too_many();
        }
        let query = request.uri().query().unwrap_or_default();
        let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
        let id = id.map(|id| percent_decode_str(id).decode_utf8_lossy());
        let Some(route) = path::parse(request.uri().path(), id.as_deref()) else { return reply::no_such_page() };
        let asking = self.asking(peer, route.named()).await;
        match route {
            Route::Metadata { version, of, container } => {
                self.metadata(version, of, container.as_deref(), asking.as_ref(), peer).await
            }
            Route::Credentials { version, id } => {
                let task = asking.as_ref().map(|asking| &*asking.task);
                credentials::answer(&self.parts.state, task, version, &id, now)
            }
            Route::Protection { container } => {
                let asking = asking.as_ref().filter(|asking| asking.has(&container));
                let asking = asking.map(|asking| (&asking.scope, &*asking.task));
                protection::answer(&self.parts.state, &*self.parts.api, asking, request, now).await
            }
            Route::Fault { .. } if request.method() != Method::POST => reply::no_such_method(),
            Route::Fault { container, fault: name, action } => {
                if !self.fault_requests.take((peer.clone(), name, action), now) {
                    return reply::too_many();
                }
                let asking = asking.as_ref().filter(|asking| asking.has(&container));
                let task = asking.map(|asking| (&*asking.task, asking.allows_faults()));
                let request = FaultRequest { name, action, container: &container, body: request.body() };
                fault::answer(&*self.parts.node.network, task, request).await
            }
        }
    }

    async fn asking(&self, peer: &Peer, named: Option<&str>) -> Option<Asking> {
        let found = self.finder.find(&self.parts.state, peer);
        let (scope, task) = found.or_else(|| find::on_instance(&self.parts.state, peer, named?))?;
        let task = self.up_to_date(task).await;
        let definition = self.parts.state.ecs.task_definitions.get(&scope, &task.definition);
        Some(Asking { scope, task, definition })
    }

    /// Adds what the node knows already: a program may ask about itself before its record says that it runs.
    async fn up_to_date(&self, mut task: Arc<Task>) -> Arc<Task> {
        let is_pending = |container: &Container| container.status == ContainerStatus::Pending;
        let pending =
            task.containers.iter().filter(|container| is_pending(container) && container.image_digest.is_some());
        let pending = pending.map(|container| container.id.clone()).collect::<Vec<_>>();
        for id in pending {
            let Some(state) = self.parts.node.runtime.container(&id).await.filter(|state| state.exit.is_none()) else {
                continue;
            };
            let containers = &mut Arc::make_mut(&mut task).containers;
            if let Some(container) = containers.iter_mut().find(|container| container.id == id) {
                container.status = ContainerStatus::Running;
                container.started_at.get_or_insert(state.started_at);
            }
        }
        task
    }

    async fn metadata(
        &self,
        version: Version,
        of: Of,
        container: Option<&str>,
        asking: Option<&Asking>,
        peer: &Peer,
    ) -> Response<Bytes> {
        let named = asking.filter(|asking| container.is_none_or(|id| asking.has(id)));
        let Some(asking) = named else { return unknown(version, of, container, peer) };
        match of {
            Of::Task => self.task(version, asking, false).await,
            Of::TaskWithTags => self.task(version, asking, true).await,
            Of::TaskStats => self.task_stats(asking).await,
            Of::Container | Of::ContainerStats => {
                let Some(container) = container.and_then(|id| asking.container(id)) else {
                    return unknown(version, of, container, peer);
                };
                if of == Of::Container {
                    let networks = self.networks(version, asking);
                    reply::json(StatusCode::OK, &asking.view(version, container, &asking.echoed(), networks))
                } else {
                    self.container_stats(asking, container).await
                }
            }
        }
    }

    async fn task(&self, version: Version, asking: &Asking, shows_tags: bool) -> Response<Bytes> {
        let (echoed, networks) = (asking.echoed(), self.networks(version, asking));
        // What was not pulled yet is not there for the agent.
        let shown = asking.task.containers.iter().filter(|each| each.image_digest.is_some());
        let containers = shown.map(|each| asking.view(version, each, &echoed, networks.clone())).collect();
        let around = Around {
            now: self.parts.clock.now(),
            clock: (self.parts.clock_quality)(),
            storage_used: self.parts.node.runtime.storage_used(&asking.task.key.id).await,
            allows_fault_injection: asking.allows_faults(),
            shows_tags,
        };
        reply::json(StatusCode::OK, &task::view(version, &asking.task, containers, &around))
    }

    fn networks(&self, version: Version, asking: &Asking) -> Vec<NetworkView> {
        let (ec2, scope) = (&self.parts.state.ec2, &asking.scope);
        let subnet = asking.task.eni.as_ref().and_then(|eni| ec2.subnets.get(scope, &eni.subnet));
        let vpc = subnet.as_ref().and_then(|subnet| ec2.vpcs.get(scope, &subnet.vpc));
        let place = vpc.as_deref().zip(subnet.as_deref()).map(|(vpc, subnet)| Place { vpc, subnet });
        container::networks(version, &asking.task, place)
    }

    async fn container_stats(&self, asking: &Asking, container: &Container) -> Response<Bytes> {
        match self.stats(asking, container).await {
            Some(stats) => reply::json(StatusCode::OK, &stats),
            None => {
                let message = format!("Unable to get container stats for: {}", container.id);
                reply::json(StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
        }
    }

    async fn task_stats(&self, asking: &Asking) -> Response<Bytes> {
        let mut all = BTreeMap::new();
        for container in asking.task.containers.iter().filter(|each| each.status != ContainerStatus::Pending) {
            all.insert(container.id.to_string(), self.stats(asking, container).await);
        }
        reply::json(StatusCode::OK, &all)
    }

    /// Looks at what a container uses; none if it does not run.
    async fn stats(&self, asking: &Asking, container: &Container) -> Option<StatsView> {
        let Node { runtime, network, .. } = &self.parts.node;
        let counted = runtime.stats(&container.id).await?;
        let interface = network.stats(&asking.task.key.id).await;
        let sample = Sample { container: counted, interface };
        let before = self.samples.take(&container.id, &sample);
        Some(stats::view(&container.id, &container.name, asking.task.memory_mib, &sample, before.as_ref()))
    }
}

impl Asking {
    fn container(&self, id: &str) -> Option<&Container> {
        self.task.containers.iter().find(|container| container.id.as_str() == id)
    }

    fn has(&self, container: &str) -> bool {
        self.container(container).is_some()
    }

    fn allows_faults(&self) -> bool {
        self.definition.as_ref().is_some_and(|definition| definition.allows_fault_injection)
    }

    fn echoed(&self) -> Echoed {
        Echoed::read(self.definition.as_deref())
    }

    fn view(
        &self,
        version: Version,
        container: &Container,
        echoed: &Echoed,
        networks: Vec<NetworkView>,
    ) -> ContainerView {
        container::view(version, &self.task, container, echoed.container(&container.name), networks)
    }
}

/// Answers that no such container is the asking task's.
fn unknown(version: Version, of: Of, container: Option<&str>, peer: &Peer) -> Response<Bytes> {
    let what = match of {
        Of::Container => "container metadata",
        Of::Task | Of::TaskWithTags => "task metadata",
        Of::ContainerStats => "container stats",
        Of::TaskStats => "task stats",
    };
    let why = match (version, of, container) {
        // The texts of version 2 are unverified.
        (Version::V2, ..) => {
            format!("unable to get task ARN from request: unable to associate '{}' with task", peer.address)
        }
        (_, Of::Container, id) => format!(
            "unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {}",
            id.unwrap_or_default()
        ),
        (_, _, id) => format!(
            "unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {}",
            id.unwrap_or_default()
        ),
    };
    reply::json(StatusCode::NOT_FOUND, &format!("V{} {what} handler: {why}", version.number()))
}
