//! A rule of a bus: which events, or which times, lead to which targets.

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Label, Record, Tag};

use super::{Pattern, Target};

/// What names a rule: its bus and its name. So the rules of a bus lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleKey {
    /// The bus.
    pub bus: String,
    /// The rule.
    pub name: String,
}

/// Whether a rule does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleState {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It does, also for management events of CloudTrail, which are not emitted here.
    EnabledWithAllCloudTrail,
}

impl RuleState {
    /// Returns the state as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::EnabledWithAllCloudTrail => "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
        }
    }

    /// Reads a state as the API spells it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled, Self::EnabledWithAllCloudTrail].into_iter().find(|state| state.as_str() == text)
    }
}

/// A rule. Handlers write all but `ran_at`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Bus and name.
    pub key: RuleKey,
    /// Its ARN.
    pub arn: Arn,
    /// Which events it is for.
    pub pattern: Option<Pattern>,
    /// At which times it makes an event of its own: a schedule expression.
    pub schedule: Option<String>,
    /// Whether it does anything.
    pub state: RuleState,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// The role that it is said to act in.
    pub role: Option<String>,
    /// Where its events go, by their ids, in the order in which they came.
    pub targets: Vec<Target>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Since when its schedule holds: when it was made, enabled, or its schedule changed.
    pub scheduled_from: Timestamp,
    /// The last of its times that has been seen to. Written by the controller of schedules.
    #[serde(default)]
    pub ran_at: Option<Timestamp>,
}

impl Rule {
    /// Returns whether it does anything.
    pub fn is_enabled(&self) -> bool {
        self.state != RuleState::Disabled
    }

    /// Returns what finds the enabled rules of a bus that have a pattern.
    pub(super) fn watching(bus: &str) -> Label {
        Label::new(&["pattern", bus])
    }
}

impl Record for Rule {
    fn labels(&self) -> Vec<Label> {
        let watches = self.is_enabled() && self.pattern.is_some();
        watches.then(|| Self::watching(&self.key.bus)).into_iter().collect()
    }
}
