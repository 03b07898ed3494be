//! Whether the end of a task would survive a kill of the server: before that, the node must not forget it.
//!
//! The journal is behind the records. A server that is killed between the removal of a sandbox and the batch that holds
//! its exit codes would come back to a task that was running, of which nobody knows how it ended.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::TaskId;
use state::{Moment, State};

/// How long after it was not kept it is looked again.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// The ends of tasks that wait for the journal.
#[derive(Default)]
pub(super) struct KeptEnds {
    moments: Mutex<HashMap<TaskId, Moment>>,
}

impl KeptEnds {
    /// Returns whether all that the record of a task said when this was first asked would survive the process.
    pub(super) fn is_kept(&self, state: &State, task: &TaskId) -> bool {
        let mut moments = self.moments();
        let moment = *moments.entry(task.clone()).or_insert_with(|| state.moment());
        let is_kept = state.is_kept(moment);
        if is_kept {
            moments.remove(task);
        }
        is_kept
    }

    /// Forgets a task that is gone.
    pub(super) fn forget(&self, task: &TaskId) {
        self.moments().remove(task);
    }

    fn moments(&self) -> MutexGuard<'_, HashMap<TaskId, Moment>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Scope};
    use state::ecs::AccountSetting;

    use super::*;

    #[test]
    fn an_end_is_kept_as_soon_as_the_journal_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.redb")).unwrap();
        let (ends, task) = (KeptEnds::default(), TaskId::new("t"));
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let key =
            state::ecs::AccountSettingKey { principal: base::Arn::global("iam", &scope, "root"), name: "n".to_owned() };
        // While the writer is held back, nothing is kept.
        state.together(|| {
            state.ecs.account_settings.insert(&scope, &key, AccountSetting { value: "1".to_owned() });
            assert!(!ends.is_kept(&state, &task));
        });
        state.flush().unwrap();
        // What changes later does not matter.
        state.together(|| {
            state.ecs.account_settings.insert(&scope, &key, AccountSetting { value: "2".to_owned() });
            assert!(ends.is_kept(&state, &task));
        });
        assert_eq!(ends.moments().len(), 0);
    }

    #[test]
    fn without_a_journal_there_is_nothing_to_wait_for() {
        assert!(KeptEnds::default().is_kept(&State::in_memory(), &TaskId::new("t")));
    }
}
