//! Schedules of EventBridge Scheduler: at each of its times a schedule calls its target.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use base::Timestamp;
use reconcile::{Key, Reconciler, Step};
use schedule::{Dialect, Expression, Zone};
use state::events::{Delivery, Input};
use state::scheduler::{Schedule, ScheduleKey};

use super::delivery::Lane;
use super::recurrence::{Due, Recurrence};
use super::{SCHEDULES, SEPARATOR, key_of_schedule, route};
use crate::World;

/// Sees to the times of schedules.
pub(crate) struct ScheduleReconciler {
    world: World,
}

impl ScheduleReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl Reconciler for ScheduleReconciler {
    fn name(&self) -> &'static str {
        SCHEDULES
    }

    fn candidates(&self) -> Vec<Key> {
        let schedules = self.world.state.scheduler.schedules.keys();
        schedules.into_iter().map(|(scope, schedule)| key_of_schedule(&scope, &schedule)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some((group, name)) = key.name.split_once(SEPARATOR) else { return Step::Settled };
        let place = ScheduleKey { group: group.to_owned(), name: name.to_owned() };
        let table = &self.world.state.scheduler.schedules;
        let Some(schedule) = table.get(&key.scope, &place).filter(|schedule| schedule.is_enabled) else {
            return Step::Settled;
        };
        let zone = schedule.time_zone.as_deref().map_or(Some(Zone::UTC), Zone::get);
        let expression = Expression::parse(&schedule.expression, Dialect::Scheduler).ok();
        let Some((expression, zone)) = expression.zip(zone) else { return Step::Settled };
        let recurrence = recurrence(&schedule, &expression, &zone);
        let now = self.world.clock.now();
        match recurrence.due(self.world.started_at, now) {
            Due::Never if schedule.deletes_itself => {
                table.remove_if(&key.scope, &place, |row| row.modified_at == schedule.modified_at);
                Step::Settled
            }
            Due::Never => Step::Settled,
            Due::Later(at) => Step::At(in_window(&schedule, at)),
            Due::Now(at) if in_window(&schedule, at) > now => Step::At(in_window(&schedule, at)),
            Due::Now(at) => {
                self.run(key, &schedule, at, schedule.deletes_itself && recurrence.is_last(at));
                Step::Again
            }
        }
    }
}

/// A rate without a start begins at once, one with a start then. Times before the schedule was made or changed are none.
fn recurrence<'a>(schedule: &Schedule, expression: &'a Expression, zone: &'a Zone) -> Recurrence<'a> {
    // The model's documentation of both: one-time schedules ignore them.
    let (start, end) = match expression {
        Expression::At(_) => (None, None),
        Expression::Rate(_) | Expression::Cron(_) => (schedule.start, schedule.end),
    };
    let anchor = start.unwrap_or(schedule.modified_at);
    let from = Timestamp::from_millis(anchor.max(schedule.modified_at).as_millis() - 1);
    Recurrence { expression, zone, anchor, after: schedule.ran_at.unwrap_or(from), end }
}

/// Returns when within its window a time is seen to: anywhere, but always at the same place.
fn in_window(schedule: &Schedule, at: Timestamp) -> Timestamp {
    let Some(minutes) = schedule.window_minutes else { return at };
    let mut hasher = DefaultHasher::new();
    (schedule.arn.as_str(), at).hash(&mut hasher);
    let window_ms = u64::from(minutes) * 60_000;
    at.plus(Duration::from_millis(hasher.finish() % window_ms.max(1)))
}

impl ScheduleReconciler {
    fn run(&self, key: &Key, schedule: &Schedule, at: Timestamp, is_over: bool) {
        let token = self.world.ids.uuid();
        let input = match &schedule.target.input {
            Input::Constant(text) => text.as_str(),
            Input::Event | Input::Path(_) | Input::Template { .. } => "{}",
        };
        let delivery = Delivery {
            target: schedule.target.clone(),
            payload: filled(input, schedule, at, &token),
            token,
            started_by: route::cut(format!("chronos-schedule/{}", schedule.key.name)),
            hops: 0,
            at: in_window(schedule, at),
            attempts: 0,
            due_at: at,
        };
        let lane = Lane::of_target(&schedule.target.arn).prefix();
        let queue =
            format!("{lane}{SEPARATOR}schedule{SEPARATOR}{}{SEPARATOR}{}", schedule.key.group, schedule.key.name);
        let (state, table) = (&self.world.state, &self.world.state.scheduler.schedules);
        state.together(|| {
            state.events.queue(&key.scope, &queue, delivery);
            // A schedule that was changed meanwhile has its times from then on.
            if is_over {
                table.remove_if(&key.scope, &schedule.key, |row| row.modified_at == schedule.modified_at);
            } else {
                table.update(&key.scope, &schedule.key, |row| {
                    if row.modified_at == schedule.modified_at {
                        row.ran_at = Some(at);
                    }
                });
            }
        });
    }
}

/// Fills in what an input says of its schedule.
fn filled(input: &str, schedule: &Schedule, at: Timestamp, token: &str) -> String {
    let parts = [
        ("<aws.scheduler.schedule-arn>", schedule.arn.as_str()),
        ("<aws.scheduler.scheduled-time>", &at.iso_seconds()),
        ("<aws.scheduler.execution-id>", token),
        ("<aws.scheduler.attempt-number>", "1"),
    ];
    parts.into_iter().fold(input.to_owned(), |text, (name, value)| text.replace(name, value))
}
