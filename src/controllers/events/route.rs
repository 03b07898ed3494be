//! Past the rules: which targets an event goes to.

use async_trait::async_trait;
use base::{Scope, Timestamp};
use reconcile::{Key, Reconciler, Step};
use state::events::{DEFAULT_BUS, Delivery, Event, Rule, Target};

use super::delivery::Lane;
use super::{ALL, OUTBOX, POSTED, SEPARATOR, input};
use crate::World;
use crate::ecs::event_of;

/// How many events one step sees to before others get their turn.
const EVENTS_PER_STEP_MAX: usize = 100;
/// How many characters of who started them tasks show, as in EventBridge.
const STARTED_BY_CHARS_MAX: usize = 36;

/// Tells the rules of the default bus what has happened to resources of ECS.
pub(crate) struct OutboxReconciler {
    world: World,
}

/// Tells the rules of each bus of the events that were put on it.
pub(crate) struct PostedReconciler {
    world: World,
}

impl OutboxReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

impl PostedReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl Reconciler for OutboxReconciler {
    fn name(&self) -> &'static str {
        OUTBOX
    }

    fn candidates(&self) -> Vec<Key> {
        scopes(self.world.state.ecs.outbox.rows.keys())
    }

    async fn step(&self, key: &Key) -> Step {
        let (state, scope) = (&self.world.state, &key.scope);
        let rows = state.ecs.outbox.rows.walk(scope, None).take(EVENTS_PER_STEP_MAX).collect::<Vec<_>>();
        let is_all = rows.len() < EVENTS_PER_STEP_MAX;
        for (number, untold) in rows {
            let at = untold.at.unwrap_or_else(|| self.world.clock.now());
            let event = event_of(&untold.occurrence, scope, at, self.world.ids.uuid());
            // A server that is killed in between tells it again: EventBridge may do so too.
            state.together(|| {
                route(&self.world, scope, DEFAULT_BUS, &event);
                state.ecs.outbox.rows.remove(scope, &number);
            });
        }
        if is_all { Step::Settled } else { Step::Again }
    }
}

#[async_trait]
impl Reconciler for PostedReconciler {
    fn name(&self) -> &'static str {
        POSTED
    }

    fn candidates(&self) -> Vec<Key> {
        scopes(self.world.state.events.posted.keys())
    }

    async fn step(&self, key: &Key) -> Step {
        let (state, scope) = (&self.world.state, &key.scope);
        let rows = state.events.posted.walk(scope, None).take(EVENTS_PER_STEP_MAX).collect::<Vec<_>>();
        let is_all = rows.len() < EVENTS_PER_STEP_MAX;
        for (number, posted) in rows {
            state.together(|| {
                route(&self.world, scope, &posted.bus, &posted.event);
                state.events.posted.remove(scope, &number);
            });
        }
        if is_all { Step::Settled } else { Step::Again }
    }
}

fn scopes(keys: Vec<(Scope, u64)>) -> Vec<Key> {
    let mut scopes = keys.into_iter().map(|(scope, _)| scope).collect::<Vec<_>>();
    scopes.dedup();
    scopes.into_iter().map(|scope| Key::new(scope, ALL)).collect()
}

/// Queues an event for the targets of every rule that is for it.
fn route(world: &World, scope: &Scope, bus: &str, event: &Event) {
    let value = event.value();
    for rule in world.state.events.rules.with_pattern(scope, bus) {
        if rule.pattern.as_ref().is_some_and(|pattern| pattern.matches(&value)) {
            queue_for(world, scope, &rule, event);
        }
    }
}

/// Queues an event for the targets of a rule.
pub(super) fn queue_for(world: &World, scope: &Scope, rule: &Rule, event: &Event) {
    for target in &rule.targets {
        let queue = queue_of(rule, target);
        let delivery = Delivery {
            target: target.clone(),
            payload: input::payload(&target.input, event, rule),
            token: world.ids.uuid(),
            started_by: cut(format!("events-rule/{}", rule.key.name)),
            hops: event.hops,
            at: event.at,
            attempts: 0,
            due_at: Timestamp::from_millis(0),
        };
        world.state.events.queue(scope, &queue, delivery);
    }
}

/// Cuts a text as EventBridge cuts who tasks are started by. (The length was seen; unverified.)
pub(super) fn cut(started_by: String) -> String {
    started_by.chars().take(STARTED_BY_CHARS_MAX).collect()
}

fn queue_of(rule: &Rule, target: &Target) -> String {
    let lane = Lane::of_target(&target.arn).prefix();
    format!("{lane}{SEPARATOR}rule{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{}", rule.key.bus, rule.key.name, target.id)
}
