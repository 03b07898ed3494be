//! The reconciler of task definitions: takes away those that are to be deleted, once nothing needs them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Scope, Timestamp};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;
use state::ecs::{Family, TaskDefinitionName, TaskDefinitionStatus};

use super::TASK_DEFINITIONS;
use crate::World;

/// How long a definition is seen as DELETE_IN_PROGRESS at least. AWS says no more than that it takes a while.
const SHOWN_FOR: Duration = Duration::from_secs(60);
/// How often it is looked whether a definition is still needed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Removes each definition that was asked to be deleted.
pub(crate) struct TaskDefinitionReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for TaskDefinitionReconciler {
    fn name(&self) -> &'static str {
        TASK_DEFINITIONS
    }

    fn candidates(&self) -> Vec<Key> {
        let table = &self.world.state.ecs.task_definitions;
        let is_going = |(scope, name): &(Scope, TaskDefinitionName)| {
            table.get(scope, name).is_some_and(|row| row.status == TaskDefinitionStatus::DeleteInProgress)
        };
        table.keys().into_iter().filter(is_going).map(|(scope, name)| key_of(&scope, &name)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let ecs = &self.world.state.ecs;
        let Some(name) = definition_of(key) else { return Step::Settled };
        let Some(definition) = ecs.task_definitions.get(&key.scope, &name) else { return Step::Settled };
        let is_in_use = || ecs.is_definition_in_use(&key.scope, &name);
        let asked_at = match definition.status {
            TaskDefinitionStatus::Active | TaskDefinitionStatus::Inactive => None,
            TaskDefinitionStatus::DeleteInProgress => definition.delete_requested_at,
        };
        match next(asked_at, is_in_use, self.world.clock.now()) {
            Action::Keep => Step::Settled,
            Action::LookAgain(at) => Step::At(at),
            Action::Remove => {
                ecs.task_definitions.remove(&key.scope, &name);
                Step::Settled
            }
        }
    }
}

impl TaskDefinitionReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Wakes the reconciler when a definition is to be deleted.
pub(crate) fn watch_task_definitions(state: &Arc<State>, wakeups: &Wakeups) {
    let (wakeups, weak) = (wakeups.clone(), Arc::downgrade(state));
    state.ecs.task_definitions.watch(move |scope, name| {
        let row = weak.upgrade().and_then(|state| state.ecs.task_definitions.get(scope, name));
        if row.is_some_and(|row| row.status == TaskDefinitionStatus::DeleteInProgress) {
            wakeups.wake(TASK_DEFINITIONS, key_of(scope, name));
        }
    });
}

/// What is to be done with a definition.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Keep,
    LookAgain(Timestamp),
    Remove,
}

/// Decides; `asked_at` is when deletion was asked for. Whether the definition is in use is asked only when that matters.
fn next(asked_at: Option<Timestamp>, is_in_use: impl FnOnce() -> bool, now: Timestamp) -> Action {
    let Some(asked_at) = asked_at else { return Action::Keep };
    let shown_until = asked_at.plus(SHOWN_FOR);
    if now < shown_until {
        Action::LookAgain(shown_until)
    } else if is_in_use() {
        Action::LookAgain(now.plus(LOOK_EVERY))
    } else {
        Action::Remove
    }
}

fn key_of(scope: &Scope, name: &TaskDefinitionName) -> Key {
    Key::new(scope.clone(), name.to_string())
}

fn definition_of(key: &Key) -> Option<TaskDefinitionName> {
    let (family, revision) = key.name.rsplit_once(':')?;
    Some(TaskDefinitionName { family: Family::parse(family)?, revision: revision.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_goes_when_it_was_shown_for_a_while_and_no_task_needs_it() {
        let at = |seconds: u64| Timestamp::from_millis(0).plus(Duration::from_secs(seconds));
        let rows = [
            (None, false, at(1_000), Action::Keep),
            (Some(at(0)), false, at(0), Action::LookAgain(at(60))),
            (Some(at(0)), true, at(59), Action::LookAgain(at(60))),
            (Some(at(0)), true, at(60), Action::LookAgain(at(70))),
            (Some(at(0)), false, at(60), Action::Remove),
        ];
        for (asked_at, is_in_use, now, expected) in rows {
            assert_eq!(next(asked_at, || is_in_use, now), expected, "{asked_at:?} {is_in_use} {now:?}");
        }
    }
}
