//! The emulator under test, and the passing of time.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use base::{AccountId, Clock, Ids, ManualClock, Region, Scope, SequentialEntropy, Timestamp};
use bytes::Bytes;
use controllers::{Controllers, Paces};
use http::Request;
use node::EventSink;
use node::simulated::SimulatedNode;
use reconcile::ManualTimer;
use serde_json::Value;
use server::{Config, Emulator, Limits, ManualTime, NodeKind, Parts, StartError};
use state::State;

use crate::{Reply, form_request, json_request};

/// When the clock of a simulated kit starts: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The account of a kit's requests.
const ACCOUNT: &str = "123456789012";
/// How long anything may take that has no clock of its own.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How much simulated time a condition may take to come true.
const SIMULATED_WAIT_MAX: Duration = Duration::from_secs(600);
/// How far simulated time goes between two looks at a condition.
const SIMULATED_STEP: Duration = Duration::from_millis(100);
/// How long real time goes between two looks at a condition.
const REAL_STEP: Duration = Duration::from_millis(5);
/// How often the controllers are looked at until they count as at rest: what goes on beside their steps takes some turns to
/// wake them.
const REST_LOOKS: usize = 16;
/// How often others get their turn before the controllers count as waiting for time to pass.
const TURNS_MAX: usize = 2_000;

/// An emulator under test.
pub struct Testkit {
    emulator: Arc<Emulator>,
    scope: Scope,
    time: Time,
}

enum Time {
    Manual { clock: Arc<ManualClock>, node: Arc<SimulatedNode> },
    System,
}

impl Testkit {
    /// Starts an emulator whose node is simulated, whose clock stands at [`START`] and whose identifiers count from one.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The runtime must have one thread, so that what happens is the same each time.
    pub fn simulated() -> Self {
        SimulatedMachine::new().start(State::in_memory(), Controllers::new())
    }

    /// Starts an emulator with the real node, on the machine's clock, with everything it keeps in `data_dir`. Needs
    /// root. The program that calls this is executed anew as a shim for each container: its `main` must become one when
    /// the first argument says so, before any thread exists.
    ///
    /// # Errors
    ///
    /// If the machine or the rights do not do.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn fargate(data_dir: &Path) -> Result<Self, StartError> {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            node: NodeKind::Fargate,
            clock: server::ClockKind::System,
            data_dir: Some(data_dir.to_owned()),
            scope: scope(),
            allowed_hosts: Vec::new(),
            ephemeral_storage_mib: None,
            host_folders: Vec::new(),
            paces: Paces::default(),
            lambda_endpoint: None,
            images: server::ImageConfig { asks_elsewhere: false, ..server::ImageConfig::default() },
            limits: Limits::default(),
        };
        Ok(Self { emulator: server::assemble(&config)?, scope: scope(), time: Time::System })
    }

    /// Returns the emulator.
    pub fn emulator(&self) -> &Arc<Emulator> {
        &self.emulator
    }

    /// Returns the account and region of the kit's requests.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the node of a simulated kit, to arrange what happens on it.
    pub fn node(&self) -> Option<&Arc<SimulatedNode>> {
        match &self.time {
            Time::Manual { node, .. } => Some(node),
            Time::System => None,
        }
    }

    /// Sends a request to a JSON service, such as `("ecs", "RunTask")`.
    pub async fn call(&self, service: &str, operation: &str, input: &Value) -> Reply {
        let region = self.scope.region.as_str();
        self.send(json_request(service, operation, ACCOUNT, region, &input.to_string())).await
    }

    /// Sends a request to a service of the query or EC2 protocol; `parameters` are encoded already.
    pub async fn call_form(&self, service: &str, operation: &str, parameters: &str) -> Reply {
        let region = self.scope.region.as_str();
        self.send(form_request(service, operation, ACCOUNT, region, parameters)).await
    }

    /// Sends a request to ECS that must succeed, and returns its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn ecs(&self, operation: &str, input: &Value) -> Value {
        self.ask("ecs", operation, input).await
    }

    /// Sends a request to a JSON service that must succeed, and returns its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn ask(&self, service: &str, operation: &str, input: &Value) -> Value {
        let reply = self.call(service, operation, input).await;
        assert!(reply.status.is_success(), "{service}.{operation} {input}: {} {}", reply.status, reply.text());
        reply.json()
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        self.emulator.call(request).await.into()
    }

    /// Lets a simulated clock advance, and the node and the controllers do what is due by then.
    ///
    /// # Panics
    ///
    /// If the kit is on the machine's clock.
    pub async fn advance(&self, by: Duration) {
        let Time::Manual { clock, node } = &self.time else { panic!("the machine's clock cannot be advanced") };
        clock.advance(by);
        node.fire_due();
        self.settle().await;
    }

    /// Lets a simulated clock go from each time that somebody waits for to the next, until `by` has passed: everything
    /// happens at its own time, as with `neargate clock advance`.
    ///
    /// # Panics
    ///
    /// If the kit is on the machine's clock.
    pub async fn pass(&self, by: Duration) {
        let Time::Manual { clock, node } = &self.time else { panic!("the machine's clock cannot be advanced") };
        self.come_to_rest().await;
        let until = clock.now().plus(by);
        while clock.now() < until {
            let soonest = clock.now().plus(Duration::from_millis(1));
            let next = clock.next_wait().into_iter().chain(node.next_due()).min();
            clock.advance_to(next.map_or(until, |next| next.clamp(soonest, until)));
            node.fire_due();
            self.come_to_rest().await;
        }
    }

    /// Waits until the controllers have nothing to do, and neither has what they have begun beside their steps.
    async fn come_to_rest(&self) {
        for _ in 0..REST_LOOKS {
            self.settle().await;
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the controllers have nothing to do, or nothing before time passes.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub async fn settle(&self) {
        let mut idle = pin!(self.emulator.controllers().driver().idle());
        match &self.time {
            Time::Manual { .. } => {
                for _ in 0..TURNS_MAX {
                    if poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx).is_ready())).await {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Time::System => tokio::time::timeout(WAIT_MAX, idle).await.expect("the controllers come to rest in time"),
        }
    }

    /// Waits until `look` finds something, letting time pass between looks, and returns it. `what` names it.
    ///
    /// # Panics
    ///
    /// If it takes too long.
    pub async fn wait_for<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        match &self.time {
            Time::Manual { clock, .. } => {
                let until = clock.now().plus(SIMULATED_WAIT_MAX);
                self.settle().await;
                loop {
                    if let Some(found) = look().await {
                        return found;
                    }
                    assert!(clock.now() < until, "{what} does not come in time");
                    self.advance(SIMULATED_STEP).await;
                }
            }
            Time::System => {
                let looking = async {
                    let mut steps = tokio::time::interval(REAL_STEP);
                    loop {
                        steps.tick().await;
                        if let Some(found) = look().await {
                            return found;
                        }
                    }
                };
                let found = tokio::time::timeout(WAIT_MAX, looking).await;
                found.unwrap_or_else(|_| panic!("{what} does not come in time"))
            }
        }
    }

    /// Ends the emulator with all its tasks.
    pub async fn shutdown(self) {
        self.emulator.shutdown(false).await;
    }
}

/// A simulated node with a clock that a test advances. It outlives the emulators that run on it, as a machine does.
pub struct SimulatedMachine {
    clock: Arc<ManualClock>,
    node: Arc<SimulatedNode>,
    events: Arc<Mutex<Option<EventSink>>>,
    ids: Ids,
}

impl SimulatedMachine {
    /// Makes one whose clock stands at [`START`] and whose identifiers count from one.
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let events = Arc::<Mutex<Option<EventSink>>>::default();
        let sink = Arc::clone(&events);
        let tell = move |event| {
            let sink = sink.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Without an emulator nobody hears it: the next one looks for itself.
            if let Some(sink) = sink {
                sink(event);
            }
        };
        let node = SimulatedNode::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(tell));
        Self { clock, node, events, ids: Ids::new(Arc::new(SequentialEntropy::default())) }
    }

    /// Returns the node, to arrange what happens on it.
    pub fn node(&self) -> &Arc<SimulatedNode> {
        &self.node
    }

    /// Returns what its clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Starts an emulator on it. To kill one, drop it with the runtime that it runs on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The runtime must have one thread, so that what happens is the same each time.
    pub fn start(&self, state: Arc<State>, controllers: Controllers) -> Testkit {
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = Some(controllers.event_sink());
        let (clock, node) = (Arc::clone(&self.clock), Arc::clone(&self.node));
        let parts = Parts {
            state,
            node: node.node(),
            node_kind: NodeKind::Simulated,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            timer: Arc::new(ManualTimer::new(Arc::clone(&clock))),
            manual_time: Some(ManualTime::new(Arc::clone(&clock), Arc::clone(&node))),
            ids: self.ids.clone(),
            scope: scope(),
        };
        let emulator = Emulator::start(parts, controllers);
        Testkit { emulator, scope: scope(), time: Time::Manual { clock, node } }
    }
}

impl Default for SimulatedMachine {
    fn default() -> Self {
        Self::new()
    }
}

fn scope() -> Scope {
    let account = AccountId::parse(ACCOUNT).expect("it has twelve digits");
    Scope::new(account, Region::default())
}
