//! Rules with a schedule: at each of its times such a rule makes an event for its own targets.

use async_trait::async_trait;
use base::Timestamp;
use reconcile::{Key, Reconciler, Step};
use schedule::{Dialect, Expression, Zone};
use state::Document;
use state::events::{Event, Rule, RuleKey};

use super::recurrence::{Due, Recurrence};
use super::{RULE_SCHEDULES, SEPARATOR, key_of_rule, route};
use crate::World;

/// Sees to the times of rules.
pub(crate) struct RuleScheduleReconciler {
    world: World,
}

impl RuleScheduleReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl Reconciler for RuleScheduleReconciler {
    fn name(&self) -> &'static str {
        RULE_SCHEDULES
    }

    fn candidates(&self) -> Vec<Key> {
        let rules = self.world.state.events.rules.table.keys();
        rules.into_iter().map(|(scope, rule)| key_of_rule(&scope, &rule)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some((bus, name)) = key.name.split_once(SEPARATOR) else { return Step::Settled };
        let rule = RuleKey { bus: bus.to_owned(), name: name.to_owned() };
        let table = &self.world.state.events.rules.table;
        let Some(rule) = table.get(&key.scope, &rule).filter(|rule| rule.is_enabled()) else { return Step::Settled };
        let Some(expression) = rule.schedule.as_deref().and_then(|text| Expression::parse(text, Dialect::Rule).ok())
        else {
            return Step::Settled;
        };
        let recurrence = Recurrence {
            expression: &expression,
            zone: &Zone::UTC,
            anchor: rule.scheduled_from,
            after: rule.ran_at.unwrap_or(rule.scheduled_from),
            end: None,
        };
        match recurrence.due(self.world.started_at, self.world.clock.now()) {
            Due::Never => Step::Settled,
            Due::Later(at) => Step::At(at),
            Due::Now(at) => {
                self.run(key, &rule, at);
                Step::Again
            }
        }
    }
}

impl RuleScheduleReconciler {
    fn run(&self, key: &Key, rule: &Rule, at: Timestamp) {
        let event = Event {
            id: self.world.ids.uuid(),
            source: "aws.events".to_owned(),
            detail_type: "Scheduled Event".to_owned(),
            account: key.scope.account,
            at,
            region: key.scope.region.clone(),
            resources: vec![rule.arn.to_string()],
            detail: Document::new("{}"),
            hops: 0,
        };
        let state = &self.world.state;
        state.together(|| {
            route::queue_for(&self.world, &key.scope, rule, &event);
            // A rule that was changed meanwhile has its times from then on.
            state.events.rules.table.update(&key.scope, &rule.key, |row| {
                if row.scheduled_from == rule.scheduled_from {
                    row.ran_at = Some(at);
                }
            });
        });
    }
}
