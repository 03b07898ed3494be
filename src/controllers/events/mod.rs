//! The controllers of EventBridge and its Scheduler: what becomes of events, and what happens at which times.
//!
//! An event goes from the outbox of ECS, or from PutEvents, past the rules of its bus into queues, one for each target of a
//! rule; so a target that does not answer holds no other up. A schedule puts what it calls into a queue of its own. A queue
//! is worked off in order; what fails is tried again until its target's retry policy says no.

mod api_destination;
mod delivery;
mod function;
mod input;
mod log_group;
mod own_api;
mod recurrence;
mod route;
mod rule_schedule;
mod run_task;
mod schedule;

pub use own_api::{ApiFault, OwnApi};

pub(crate) use delivery::{DeliveryReconciler, Lane};
pub(crate) use own_api::NoApi;
pub(crate) use route::{OutboxReconciler, PostedReconciler};
pub(crate) use rule_schedule::RuleScheduleReconciler;
pub(crate) use schedule::ScheduleReconciler;

use std::sync::Arc;

use base::Scope;
use reconcile::{Key, Wakeups};
use state::State;
use state::events::RuleKey;
use state::scheduler::ScheduleKey;

/// The reconciler of occurrences of ECS that are still to be told.
const OUTBOX: &str = "events.outbox";
/// The reconciler of events that are still to be matched with rules.
const POSTED: &str = "events.posted";
/// The reconciler of rules with a schedule.
const RULE_SCHEDULES: &str = "events.rule_schedules";
/// The reconciler of schedules.
const SCHEDULES: &str = "scheduler.schedules";
/// The key of what there is one of in each account and region.
const ALL: &str = "all";
/// What stands between the parts of a key: no name has it.
const SEPARATOR: char = '|';

/// Follows the tables: each change wakes the reconciler that it concerns.
pub(crate) fn watch(state: &Arc<State>, wakeups: &Wakeups) {
    let waker = wakeups.clone();
    state.ecs.outbox.rows.watch(move |scope, _| waker.wake(OUTBOX, Key::new(scope.clone(), ALL)));
    let waker = wakeups.clone();
    state.events.posted.watch(move |scope, _| waker.wake(POSTED, Key::new(scope.clone(), ALL)));
    let waker = wakeups.clone();
    state.events.rules.table.watch(move |scope, rule| waker.wake(RULE_SCHEDULES, key_of_rule(scope, rule)));
    let waker = wakeups.clone();
    state.scheduler.schedules.watch(move |scope, schedule| waker.wake(SCHEDULES, key_of_schedule(scope, schedule)));
    let waker = wakeups.clone();
    let wake = move |scope: &Scope, key: &state::events::DeliveryKey| {
        waker.wake(Lane::of(&key.queue).reconciler(), Key::new(scope.clone(), key.queue.as_str()));
    };
    state.events.deliveries.watch(wake);
}

fn key_of_rule(scope: &Scope, rule: &RuleKey) -> Key {
    Key::new(scope.clone(), format!("{}{SEPARATOR}{}", rule.bus, rule.name))
}

fn key_of_schedule(scope: &Scope, schedule: &ScheduleKey) -> Key {
    Key::new(scope.clone(), format!("{}{SEPARATOR}{}", schedule.group, schedule.name))
}
