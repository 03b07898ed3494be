//! The records of EventBridge Scheduler: schedules and their groups.

use std::sync::Arc;

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::events::Target;
use crate::journal::{Journal, JournalError};
use crate::{Label, Record, Table, Tag};

/// The group of schedules that name none. Every account has it in every region.
pub const DEFAULT_GROUP: &str = "default";

/// The tables of EventBridge Scheduler.
#[derive(Debug)]
pub struct Scheduler {
    /// Schedules.
    pub schedules: Table<ScheduleKey, Schedule>,
    /// Groups, but for the default one as long as nothing was said of it.
    pub groups: Table<String, ScheduleGroup>,
}

/// What names a schedule: its group and its name. So the schedules of a group lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScheduleKey {
    /// The group.
    pub group: String,
    /// The schedule.
    pub name: String,
}

/// A schedule. Handlers write all but `ran_at` and `is_completed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Group and name.
    pub key: ScheduleKey,
    /// Its ARN.
    pub arn: Arn,
    /// When: a schedule expression.
    pub expression: String,
    /// By whose clocks; none for UTC.
    pub time_zone: Option<String>,
    /// From when on.
    pub start: Option<Timestamp>,
    /// Until when.
    pub end: Option<Timestamp>,
    /// Within how many minutes after its time it may be seen to; none is on time.
    pub window_minutes: Option<u32>,
    /// Whether it does anything.
    pub is_enabled: bool,
    /// Whether it is deleted after its last time.
    pub deletes_itself: bool,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// The key that it is said to be encrypted with.
    pub kms_key: Option<String>,
    /// What it calls.
    pub target: Target,
    /// The token of the request that made it, and that request's digest.
    pub client_token: Option<(String, u64)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
    /// The last of its times that has been seen to. Written by the controller of schedules; a change of the schedule
    /// forgets it.
    #[serde(default)]
    pub ran_at: Option<Timestamp>,
}

/// A group of schedules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduleGroup {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The token of the request that made it.
    pub client_token: Option<String>,
    /// When it was made; none for a default group.
    pub created_at: Option<Timestamp>,
    /// When it was last changed; none for a default group.
    pub modified_at: Option<Timestamp>,
}

impl Record for Schedule {
    fn labels(&self) -> Vec<Label> {
        vec![Self::state_label(self.is_enabled)]
    }
}

impl Record for ScheduleGroup {}

impl Schedule {
    /// Returns what finds the schedules that are enabled, or those that are not.
    pub fn state_label(is_enabled: bool) -> Label {
        Label::new(&[if is_enabled { "ENABLED" } else { "DISABLED" }])
    }
}

impl ScheduleGroup {
    /// Makes a group of which only the name is known.
    pub fn new(scope: &Scope, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arn: Arn::new("scheduler", scope, &format!("schedule-group/{name}")),
            tags: Vec::new(),
            client_token: None,
            created_at: None,
            modified_at: None,
        }
    }
}

impl Scheduler {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { schedules: Table::new("scheduler.schedules", journal), groups: Table::new("scheduler.groups", journal) }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.groups.load(journal)?;
        self.schedules.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.schedules.clear();
        self.groups.clear();
    }

    /// Returns a group. The default one is there unless somebody has changed it, and then is as it was changed.
    pub fn group(&self, scope: &Scope, name: &str) -> Option<Arc<ScheduleGroup>> {
        let known = self.groups.get(scope, &name.to_owned());
        known.or_else(|| (name == DEFAULT_GROUP).then(|| Arc::new(ScheduleGroup::new(scope, name))))
    }

    /// Walks the schedules of a group in the order of their names.
    pub fn schedules_of(&self, scope: &Scope, group: &str) -> impl Iterator<Item = Arc<Schedule>> {
        let first = ScheduleKey { group: group.to_owned(), name: String::new() };
        let group = group.to_owned();
        let rows = self.schedules.walk_from(scope, first).take_while(move |(key, _)| key.group == group);
        rows.map(|(_, schedule)| schedule)
    }
}
