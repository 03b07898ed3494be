//! Deliveries: what is in the queues is handed to the targets, in order, and again if need be.
//!
//! Targets that are delivered to are log groups, clusters, buses, API destinations, and functions where an operator has said
//! where they are. Others, such as queues and topics, are taken by PutTargets as AWS takes them; an event for one is a failed
//! invocation, and is said so in the log.

use std::time::Duration;

use async_trait::async_trait;
use base::{Arn, Scope, Timestamp};
use reconcile::{Key, Reconciler, Step};
use serde_json::Value;
use state::Document;
use state::events::{Delivery, DeliveryKey, Event, HOPS_MAX};

use super::{SEPARATOR, api_destination, function, log_group, run_task};
use crate::World;

/// How many deliveries one step makes before others get their turn.
const DELIVERIES_PER_STEP_MAX: usize = 32;
/// How long a delivery waits that has failed for the first time.
const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait: 185 attempts take about as long as the 24 hours that EventBridge tries.
const RETRY_WAIT_MAX: Duration = Duration::from_mins(10);

/// Which way a delivery goes: those that may take long have places of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Within this process.
    Own,
    /// To an HTTP endpoint.
    Http,
}

impl Lane {
    /// Returns the lane that a target is on.
    pub(super) fn of_target(arn: &str) -> Self {
        if arn.contains(":api-destination/") || arn.contains(":lambda:") { Self::Http } else { Self::Own }
    }

    /// Returns the lane that a queue is on: its name begins with it.
    pub(super) fn of(queue: &str) -> Self {
        if queue.split(SEPARATOR).next() == Some(Self::Http.prefix()) { Self::Http } else { Self::Own }
    }

    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Http => "http",
        }
    }

    pub(super) fn reconciler(self) -> &'static str {
        match self {
            Self::Own => "events.deliveries",
            Self::Http => "events.http_deliveries",
        }
    }
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was made.
    Done,
    /// It may be made later.
    Retry {
        why: String,
        /// When the target says that it may be asked again.
        after: Option<Duration>,
    },
    /// It will never be made.
    Failed { why: String },
}

impl Outcome {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into() }
    }

    pub(super) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }
}

/// Works the queues of one lane off.
pub(crate) struct DeliveryReconciler {
    world: World,
    lane: Lane,
}

impl DeliveryReconciler {
    pub(crate) fn new(world: World, lane: Lane) -> Self {
        Self { world, lane }
    }
}

#[async_trait]
impl Reconciler for DeliveryReconciler {
    fn name(&self) -> &'static str {
        self.lane.reconciler()
    }

    fn candidates(&self) -> Vec<Key> {
        let rows = self.world.state.events.deliveries.keys().into_iter();
        let rows = rows.filter(|(_, key)| Lane::of(&key.queue) == self.lane);
        let mut queues = rows.map(|(scope, key)| Key::new(scope, key.queue)).collect::<Vec<_>>();
        queues.dedup();
        queues
    }

    async fn step(&self, key: &Key) -> Step {
        let first = DeliveryKey { queue: key.name.to_string(), number: 0 };
        let table = &self.world.state.events.deliveries;
        let rows = table.walk_from(&key.scope, first).take_while(|(row, _)| *row.queue == *key.name);
        let mut next: Option<Timestamp> = None;
        let mut made = 0;
        for (row, delivery) in rows.collect::<Vec<_>>() {
            if delivery.due_at > self.world.clock.now() {
                next = Some(next.map_or(delivery.due_at, |known| known.min(delivery.due_at)));
                continue;
            }
            if made == DELIVERIES_PER_STEP_MAX {
                return Step::Again;
            }
            made += 1;
            let outcome = self.deliver(key, &delivery).await;
            if let Some(at) = self.settle(key, &row, &delivery, outcome) {
                next = Some(next.map_or(at, |known| known.min(at)));
            }
        }
        next.map_or(Step::Settled, Step::At)
    }
}

impl DeliveryReconciler {
    async fn deliver(&self, key: &Key, delivery: &Delivery) -> Outcome {
        let Some(arn) = Arn::parse(&delivery.target.arn) else { return Outcome::failed("its ARN is none") };
        let scope = scope_of(&arn, &key.scope);
        match (arn.service(), &delivery.target.ecs) {
            ("ecs", Some(wanted)) => run_task::deliver(&self.world, &scope, wanted, delivery).await,
            ("logs", _) => log_group::deliver(&self.world, &scope, &key.name, &arn, delivery),
            ("events", _) if arn.resource_of("event-bus").is_some() => {
                pass_on(&self.world, &scope, arn.resource_of("event-bus").unwrap_or_default(), delivery)
            }
            ("events", _) if arn.resource_of("api-destination").is_some() => {
                api_destination::deliver(&self.world, &scope, &arn, delivery).await
            }
            ("lambda", _) => function::deliver(&self.world, &arn, delivery).await,
            (service, _) => Outcome::failed(format!("targets of {service} are not implemented")),
        }
    }

    /// Takes a delivery out of its queue, or says when it is to be tried again.
    fn settle(&self, key: &Key, row: &DeliveryKey, delivery: &Delivery, outcome: Outcome) -> Option<Timestamp> {
        let (state, now) = (&self.world.state, self.world.clock.now());
        let gone = |why: &str| {
            let (target, dead_letter) = (&delivery.target.arn, &delivery.target.dead_letter);
            let attempts = delivery.attempts + 1;
            tracing::warn!(queue = %key.name, target, attempts, dead_letter, why, "an event was not delivered");
        };
        match outcome {
            Outcome::Done => {}
            Outcome::Failed { why } => gone(&why),
            Outcome::Retry { why, after } => match retry_at(delivery, after, now) {
                Some(due_at) => {
                    tracing::debug!(queue = %key.name, attempts = delivery.attempts + 1, why, "a delivery is tried again");
                    state.events.deliveries.update(&key.scope, row, |delivery| {
                        delivery.attempts += 1;
                        delivery.due_at = due_at;
                    });
                    return Some(due_at);
                }
                None => gone(&why),
            },
        }
        state.events.deliveries.remove(&key.scope, row);
        None
    }
}

/// Says when a delivery that has failed is tried again; none if its target's policy is against that.
fn retry_at(delivery: &Delivery, after: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    if delivery.attempts >= delivery.target.retry.attempts {
        return None;
    }
    let grown = RETRY_WAIT_FIRST.saturating_mul(2u32.saturating_pow(delivery.attempts)).min(RETRY_WAIT_MAX);
    let at = now.plus(after.map_or(grown, |after| after.clamp(RETRY_WAIT_FIRST, RETRY_WAIT_MAX)));
    let age_max = Duration::from_secs(u64::from(delivery.target.retry.age_s));
    (at.since(delivery.at) <= age_max).then_some(at)
}

/// Returns the account and region that an ARN names, or else those of who asks.
fn scope_of(arn: &Arn, own: &Scope) -> Scope {
    let region = arn.region().unwrap_or_else(|| own.region.clone());
    Scope::new(arn.account().unwrap_or(own.account), region)
}

/// Puts an event on another bus. Rules that send events in a circle end after [`HOPS_MAX`] buses.
fn pass_on(world: &World, scope: &Scope, bus: &str, delivery: &Delivery) -> Outcome {
    if world.state.events.bus(scope, bus).is_none() {
        return Outcome::failed(format!("the event bus {bus} does not exist"));
    }
    let hops = delivery.hops + 1;
    if hops >= HOPS_MAX {
        return Outcome::failed(format!("the event came over {HOPS_MAX} buses"));
    }
    let event = match &delivery.target.posts_as {
        Some((source, detail_type)) => Some(Event {
            id: delivery.token.clone(),
            source: source.clone(),
            detail_type: detail_type.clone(),
            account: scope.account,
            at: delivery.at,
            region: scope.region.clone(),
            resources: Vec::new(),
            detail: Document::new(delivery.payload.as_str()),
            hops,
        }),
        None => event_of(&delivery.payload, hops),
    };
    let Some(event) = event else { return Outcome::failed("what its target makes of the event is no event") };
    if world.state.events.post(scope, bus, event) { Outcome::Done } else { Outcome::retry("the bus is full") }
}

/// Reads an event back that was written for targets.
fn event_of(text: &str, hops: u8) -> Option<Event> {
    let value: Value = serde_json::from_str(text).ok()?;
    let member = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let resources = value.get("resources").and_then(Value::as_array)?;
    Some(Event {
        id: member("id")?,
        source: member("source")?,
        detail_type: member("detail-type")?,
        account: base::AccountId::parse(&member("account")?)?,
        at: Timestamp::parse_iso(&member("time")?)?,
        region: base::Region::parse(&member("region")?)?,
        resources: resources.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        detail: Document::new(value.get("detail")?.to_string()),
        hops,
    })
}

#[cfg(test)]
mod tests {
    use state::events::{Input, Retry, Target};

    use super::*;

    fn delivery(attempts: u32, retry: Retry) -> Delivery {
        Delivery {
            target: Target {
                id: "1".to_owned(),
                arn: String::new(),
                input: Input::Event,
                ecs: None,
                http: None,
                posts_as: None,
                retry,
                dead_letter: None,
                shown: Document::new("{}"),
            },
            payload: String::new(),
            token: String::new(),
            started_by: String::new(),
            hops: 0,
            at: Timestamp::from_millis(0),
            attempts,
            due_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn the_wait_grows_until_the_policy_is_against_another_attempt() {
        let usual = Retry::default();
        let few = Retry { attempts: 2, age_s: 86_400 };
        let young = Retry { attempts: 185, age_s: 60 };
        let said = Some(Duration::from_secs(30));
        let too_long = Some(Duration::from_secs(86_400));
        for (attempts, retry, after, now_s, expected_s) in [
            (0, usual, None, 0, Some(1)),
            (1, usual, None, 1, Some(3)),
            (5, usual, None, 100, Some(132)),
            (50, usual, None, 1_000, Some(1_600)),
            (184, usual, None, 1_000, Some(1_600)),
            (185, usual, None, 1_000, None),
            (0, usual, said, 0, Some(30)),
            (0, usual, too_long, 0, Some(600)),
            (1, few, None, 1, Some(3)),
            (2, few, None, 3, None),
            (0, Retry { attempts: 0, age_s: 60 }, None, 0, None),
            (5, young, None, 20, Some(52)),
            (5, young, None, 40, None),
        ] {
            let at = retry_at(&delivery(attempts, retry), after, Timestamp::from_millis(now_s * 1000));
            assert_eq!(at.map(|at| at.as_millis() / 1000), expected_s, "{attempts} {retry:?} {now_s}");
        }
    }

    #[test]
    fn slow_targets_have_a_lane_of_their_own() {
        let http = "arn:aws:events:us-east-1:123456789012:api-destination/a/b";
        assert_eq!(Lane::of_target(http), Lane::Http);
        assert_eq!(Lane::of_target("arn:aws:lambda:us-east-1:123456789012:function:f"), Lane::Http);
        assert_eq!(Lane::of_target("arn:aws:ecs:us-east-1:123456789012:cluster/default"), Lane::Own);
        for lane in [Lane::Own, Lane::Http] {
            assert_eq!(Lane::of(&format!("{}|rule|default|r|1", lane.prefix())), lane);
        }
    }
}
