//! The records of AWS CodeDeploy: applications, deployment groups, configurations and deployments for ECS services.

mod app_spec;
mod hook;
mod revision;
mod yaml;

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use base::{Ids, Scope, ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ecs::{ServiceKey, ShiftTries};
use crate::journal::{Journal, JournalError};
use crate::{Document, Label, Record, Table, Tag};

pub use app_spec::AppSpec;
pub use hook::{HookAnswer, HookCall, HookExecution};
pub use revision::{NoAppSpec, Revision, RevisionKey, RevisionObject};

/// The tables of CodeDeploy.
#[derive(Debug)]
pub struct CodeDeploy {
    /// Applications by name.
    pub applications: Table<String, Application>,
    /// Deployment groups; those of an application lie together.
    pub groups: Table<DeploymentGroupKey, DeploymentGroup>,
    /// The deployment configurations of the user, by name.
    pub configs: Table<String, DeploymentConfig>,
    /// Deployments by id.
    pub deployments: Table<String, Deployment>,
    /// The revisions that applications know; those of an application lie together.
    pub revisions: Table<RevisionKey, Revision>,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What names a deployment group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeploymentGroupKey {
    /// The application.
    pub application: String,
    /// Its name in the application.
    pub name: String,
}

/// A deployment group: which service is deployed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentGroup {
    /// Application and name.
    pub key: DeploymentGroupKey,
    /// Its id.
    pub id: String,
    /// How deployments go unless they say otherwise.
    pub settings: GroupSettings,
    /// What a request said, a JSON object; echoed.
    pub document: Document,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// How the deployments of a group go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// The service that is deployed.
    pub service: ServiceKey,
    /// The configuration's name.
    pub config: String,
    /// When a deployment is rolled back.
    pub rollback: AutoRollback,
    /// How long a deployment waits to be told to shift traffic; none shifts it at once.
    pub ready_wait_min: Option<u32>,
    /// How long the original tasks stay after a success; none keeps them.
    pub termination_wait_min: Option<u32>,
    /// The CloudWatch alarms that stop a deployment.
    pub alarms: Vec<String>,
    /// The target groups between which the traffic changes.
    pub target_groups: Vec<String>,
    /// Whether there is a listener for test traffic.
    pub has_test_route: bool,
}

/// When a deployment is rolled back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRollback {
    /// After it failed.
    pub on_failure: bool,
    /// After an alarm stopped it.
    pub on_alarm: bool,
    /// After a user stopped it.
    pub on_request: bool,
}

/// A deployment configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfig {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How traffic is shifted.
    pub routing: TrafficRouting,
}

/// How traffic is shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficRouting {
    /// In one go.
    AllAtOnce,
    /// A part first, and the rest after a while.
    Canary {
        /// The first part, in percent.
        percent: u32,
        /// How long until the rest, in minutes.
        interval_min: u32,
    },
    /// In equal parts.
    Linear {
        /// A part, in percent.
        percent: u32,
        /// How long between two parts, in minutes.
        interval_min: u32,
    },
}

impl TrafficRouting {
    /// Returns the percentage that has been shifted after so many parts.
    pub fn percent_after(self, parts: u32) -> u32 {
        match (self, parts) {
            (_, 0) => 0,
            (Self::AllAtOnce, _) => 100,
            (Self::Canary { percent, .. }, 1) => percent.min(100),
            (Self::Canary { .. }, _) => 100,
            (Self::Linear { percent, .. }, parts) => percent.saturating_mul(parts).min(100),
        }
    }

    /// Returns how long it is between two parts.
    pub fn interval(self) -> Duration {
        let minutes = match self {
            Self::AllAtOnce => 0,
            Self::Canary { interval_min, .. } | Self::Linear { interval_min, .. } => interval_min,
        };
        Duration::from_secs(u64::from(minutes) * 60)
    }
}

/// A deployment. Handlers write what it is to be, and `wanted`; the controller writes `observed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id, `d-` and nine letters and digits.
    pub id: String,
    /// The group.
    pub group: DeploymentGroupKey,
    /// How it goes: the group's settings when it was made, with what the request said.
    pub settings: GroupSettings,
    /// How it shifts traffic.
    pub routing: TrafficRouting,
    /// What it deploys, where the request says it; none of a rollback, which goes back to what there was.
    pub spec: Option<AppSpec>,
    /// Where in S3 it says what it deploys.
    #[serde(default)]
    pub object: Option<RevisionObject>,
    /// What the request said of the revision, a JSON object.
    pub revision: Option<Document>,
    /// What the group said, a JSON object.
    pub document: Document,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The deployment that it takes back.
    pub rolls_back: Option<String>,
    /// What users have asked for since.
    pub wanted: Wanted,
    /// What became of it.
    pub observed: Observed,
}

/// What users have asked for of a deployment that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// To stop; whether to go back too.
    pub stop: Option<StopWanted>,
    /// To shift the traffic now.
    pub shift: bool,
    /// To end the original tasks now.
    pub terminate: bool,
    /// What the functions of its hooks have said; one answer each.
    #[serde(default)]
    pub hook_answers: Vec<HookAnswer>,
}

/// How a deployment is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopWanted {
    /// Whether what it did is taken back.
    pub rolls_back: bool,
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// How it goes.
    pub status: DeploymentStatus,
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub stage_since: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why it failed or was stopped: code and words.
    pub error: Option<(String, String)>,
    /// The task set that took the traffic before.
    pub original: Option<ServiceRevisionId>,
    /// The task set that is to take it.
    pub replacement: Option<ServiceRevisionId>,
    /// The part of the traffic that the replacement takes, in percent.
    pub weight: u32,
    /// How many parts of the traffic have been shifted; of a rollback, how many kinds of traffic are back.
    pub parts: u32,
    /// Whether the test traffic goes to the replacement.
    pub has_test_traffic: bool,
    /// Its lifecycle events, in their order.
    pub events: Vec<LifecycleEvent>,
    /// The deployment that took it back.
    pub rolled_back_by: Option<String>,
    /// What it deploys, where that was read from S3.
    #[serde(default)]
    pub spec: Option<AppSpec>,
    /// The functions that were called, or are to be, in the order of their events.
    #[serde(default)]
    pub hooks: Vec<HookExecution>,
    /// How it goes with the traffic that is being shifted.
    #[serde(default)]
    pub tries: ShiftTries,
}

/// How a deployment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStatus {
    /// It was made.
    Created,
    /// It runs.
    InProgress,
    /// It waits to be told to shift traffic.
    Ready,
    /// It did what it was to do.
    Succeeded,
    /// It could not.
    Failed,
    /// It was stopped.
    Stopped,
}

impl DeploymentStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::InProgress => "InProgress",
            Self::Ready => "Ready",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    /// Returns whether nothing comes after it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Created | Self::InProgress | Self::Ready => false,
            Self::Succeeded | Self::Failed | Self::Stopped => true,
        }
    }
}

/// Where a deployment is, in the order of the lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing has begun.
    Begin,
    /// A function has its say before there is anything.
    BeforeInstall,
    /// The replacement task set is being made, until it is stable.
    Install,
    /// A function has its say about the replacement.
    AfterInstall,
    /// The test traffic goes to the replacement.
    AllowTestTraffic,
    /// A function has its say about the test traffic.
    AfterAllowTestTraffic,
    /// Somebody is to say that the traffic may be shifted.
    WaitReady,
    /// A function has its say before traffic is shifted.
    BeforeAllowTraffic,
    /// The traffic is being shifted.
    AllowTraffic,
    /// A function has its say about the traffic.
    AfterAllowTraffic,
    /// All traffic goes to the replacement; the original tasks stay for a while.
    WaitTermination,
    /// The original tasks end.
    Terminate,
    /// Everything is done.
    End,
}

impl Stage {
    /// The stages at which a function may have its say, in their order.
    pub const HOOKS: [Self; 5] = [
        Self::BeforeInstall,
        Self::AfterInstall,
        Self::AfterAllowTestTraffic,
        Self::BeforeAllowTraffic,
        Self::AfterAllowTraffic,
    ];

    /// Returns the name of the lifecycle event that an AppSpec may have a function for.
    pub fn hook(self) -> Option<&'static str> {
        match self {
            Self::BeforeInstall => Some("BeforeInstall"),
            Self::AfterInstall => Some("AfterInstall"),
            Self::AfterAllowTestTraffic => Some("AfterAllowTestTraffic"),
            Self::BeforeAllowTraffic => Some("BeforeAllowTraffic"),
            Self::AfterAllowTraffic => Some("AfterAllowTraffic"),
            Self::Begin
            | Self::Install
            | Self::AllowTestTraffic
            | Self::WaitReady
            | Self::AllowTraffic
            | Self::WaitTermination
            | Self::Terminate
            | Self::End => None,
        }
    }
}

/// Something that happens to the service in a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleEvent {
    /// Its name.
    pub name: String,
    /// How it goes.
    pub status: LifecycleStatus,
    /// Why it was not done.
    pub message: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How a lifecycle event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecycleStatus {
    /// It has not begun.
    Pending,
    /// It goes on.
    InProgress,
    /// It is done.
    Succeeded,
    /// It went wrong.
    Failed,
    /// There was nothing to do, or nobody to do it.
    Skipped,
}

impl LifecycleStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

impl Record for Application {}
impl Record for DeploymentGroup {}
impl Record for DeploymentConfig {}

impl Record for Deployment {
    fn labels(&self) -> Vec<Label> {
        if self.observed.status.is_final() {
            return Vec::new();
        }
        let alarms = self.settings.alarms.iter().map(|name| OpenDeployments::Watching(name));
        std::iter::once(OpenDeployments::Of(&self.settings.service)).chain(alarms).map(OpenDeployments::label).collect()
    }
}

/// What deployments that are not over are found by.
#[derive(Clone, Copy, Debug)]
pub enum OpenDeployments<'a> {
    /// The service that is deployed.
    Of(&'a ServiceKey),
    /// An alarm that stops them.
    Watching(&'a str),
}

impl OpenDeployments<'_> {
    /// Returns what finds these deployments.
    pub fn label(self) -> Label {
        match self {
            Self::Of(service) => Label::new(&["service", service.cluster.as_str(), service.name.as_str()]),
            Self::Watching(alarm) => Label::new(&["alarm", alarm]),
        }
    }
}

impl Deployment {
    /// Returns what it deploys, once that is known.
    pub fn app_spec(&self) -> Option<&AppSpec> {
        self.spec.as_ref().or(self.observed.spec.as_ref())
    }

    /// Makes an id: `d-` and nine capital letters and digits.
    pub fn new_id(ids: &Ids) -> String {
        const DIGITS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut bits = ids.bits();
        let digits = (0..9).map(|_| {
            let digit = usize::try_from(bits % 36).unwrap_or_default();
            bits /= 36;
            char::from(DIGITS[digit])
        });
        format!("d-{}", digits.collect::<String>())
    }
}

impl Observed {
    /// Returns what is known of a deployment that was just made.
    pub fn new(now: Timestamp) -> Self {
        Self {
            status: DeploymentStatus::Created,
            stage: Stage::Begin,
            stage_since: now,
            started_at: None,
            completed_at: None,
            error: None,
            original: None,
            replacement: None,
            weight: 0,
            parts: 0,
            has_test_traffic: false,
            events: Vec::new(),
            rolled_back_by: None,
            spec: None,
            hooks: Vec::new(),
            tries: ShiftTries::default(),
        }
    }
}

impl CodeDeploy {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            applications: Table::new("codedeploy.applications", journal),
            groups: Table::new("codedeploy.deployment_groups", journal),
            configs: Table::new("codedeploy.deployment_configs", journal),
            deployments: Table::new("codedeploy.deployments", journal),
            revisions: Table::new("codedeploy.revisions", journal),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.applications.load(journal)?;
        self.groups.load(journal)?;
        self.configs.load(journal)?;
        self.deployments.load(journal)?;
        self.revisions.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.applications.clear();
        self.groups.clear();
        self.configs.clear();
        self.deployments.clear();
        self.revisions.clear();
    }

    /// Returns the groups of an application, by name.
    pub fn groups_of<'a>(
        &'a self,
        scope: &Scope,
        application: &'a str,
    ) -> impl Iterator<Item = Arc<DeploymentGroup>> + use<'a> {
        let first = DeploymentGroupKey { application: application.to_owned(), name: String::new() };
        let groups = self.groups.walk_from(scope, first).take_while(move |(key, _)| key.application == application);
        groups.map(|(_, group)| group)
    }

    /// Returns the revisions that an application knows.
    pub fn revisions_of<'a>(
        &'a self,
        scope: &Scope,
        application: &'a str,
    ) -> impl Iterator<Item = (RevisionKey, Arc<Revision>)> + use<'a> {
        let first = RevisionKey { application: application.to_owned(), digest: String::new() };
        self.revisions.walk_from(scope, first).take_while(move |(key, _)| key.application == application)
    }

    /// Returns the deployments that are not over and of which something holds.
    pub fn open_deployments(
        &self,
        scope: &Scope,
        which: OpenDeployments<'_>,
    ) -> impl Iterator<Item = Arc<Deployment>> + use<'_> {
        let everywhere = (Bound::Unbounded, Bound::Unbounded);
        self.deployments.walk_between(scope, Some(which.label()), everywhere).map(|(_, deployment)| deployment)
    }

    /// Returns the deployments of a group, the newest first.
    pub fn deployments_of(&self, scope: &Scope, group: &DeploymentGroupKey) -> Vec<Arc<Deployment>> {
        let all = self.deployments.walk(scope, None).map(|(_, deployment)| deployment);
        let mut deployments = all.filter(|deployment| deployment.group == *group).collect::<Vec<_>>();
        deployments.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        deployments
    }

    /// Returns how a configuration shifts traffic: one of CodeDeploy's own for ECS, or one of the user's.
    pub fn routing(&self, scope: &Scope, config: &str) -> Option<TrafficRouting> {
        let own = OWN_CONFIGS.iter().find(|(name, _)| *name == config).map(|(_, routing)| *routing);
        own.or_else(|| self.configs.get(scope, &config.to_owned()).map(|config| config.routing))
    }
}

/// CodeDeploy's own configurations for ECS.
pub const OWN_CONFIGS: [(&str, TrafficRouting); 5] = [
    ("CodeDeployDefault.ECSAllAtOnce", TrafficRouting::AllAtOnce),
    ("CodeDeployDefault.ECSCanary10Percent15Minutes", TrafficRouting::Canary { percent: 10, interval_min: 15 }),
    ("CodeDeployDefault.ECSCanary10Percent5Minutes", TrafficRouting::Canary { percent: 10, interval_min: 5 }),
    ("CodeDeployDefault.ECSLinear10PercentEvery1Minutes", TrafficRouting::Linear { percent: 10, interval_min: 1 }),
    ("CodeDeployDefault.ECSLinear10PercentEvery3Minutes", TrafficRouting::Linear { percent: 10, interval_min: 3 }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_shifted_in_parts() {
        let shifted = |routing: TrafficRouting| [0, 1, 2, 4, 9].map(|parts| routing.percent_after(parts));
        assert_eq!(shifted(TrafficRouting::AllAtOnce), [0, 100, 100, 100, 100]);
        assert_eq!(shifted(TrafficRouting::Canary { percent: 10, interval_min: 5 }), [0, 10, 100, 100, 100]);
        assert_eq!(shifted(TrafficRouting::Linear { percent: 30, interval_min: 1 }), [0, 30, 60, 100, 100]);
    }
}
