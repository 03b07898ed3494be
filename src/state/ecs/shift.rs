//! How the traffic of a service goes over from one revision to the next: the strategies BLUE_GREEN, LINEAR and CANARY.

use base::{ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Document;

/// A share of traffic, in tenths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const NONE: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(1000);

    /// Makes a share of so many tenths of a percent; more than all of it is all of it.
    pub fn of_tenths(tenths: u16) -> Self {
        Self(tenths.min(Self::ALL.0))
    }

    /// Returns the share that is left to others.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }

    /// Returns the share with another one added.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self::of_tenths(self.0.saturating_add(more.0))
    }

    /// Returns the share in percent, as the API has it.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// A way to bring traffic over, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifting {
    /// The steps that production traffic takes.
    pub steps: ShiftSteps,
    /// How long both revisions run when all of it has come over, in minutes.
    pub bake_min: u32,
}

/// The steps that production traffic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShiftSteps {
    /// One: BLUE_GREEN.
    AtOnce,
    /// Equal ones: LINEAR.
    Linear {
        /// The share of each.
        step: Weight,
        /// How long the next one waits, in minutes.
        bake_min: u32,
    },
    /// A small one and the rest: CANARY.
    Canary {
        /// The share of the first.
        first: Weight,
        /// How long the second one waits, in minutes.
        bake_min: u32,
    },
}

impl ShiftSteps {
    /// Returns what share comes after `now`.
    pub fn next(self, now: Weight) -> Weight {
        match self {
            Self::Linear { step, .. } => now.plus(step),
            Self::Canary { first, .. } if now == Weight::NONE => first,
            Self::AtOnce | Self::Canary { .. } => Weight::ALL,
        }
    }

    /// Returns how long it takes from one step to the next, in minutes.
    pub fn bake_min(self) -> u32 {
        match self {
            Self::AtOnce => 0,
            Self::Linear { bake_min, .. } | Self::Canary { bake_min, .. } => bake_min,
        }
    }
}

/// How far the traffic has come over to the revision that is deployed. Handlers make it, and write the outcome of a
/// pause when they are told; all else is the service controller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// How it comes over: as it was asked for when the deployment was made.
    pub policy: Shifting,
    /// Who has a say, in the order of the stages.
    pub hooks: Vec<Hook>,
    /// The revision that the traffic was with; none if the service had none that was deployed to the end.
    pub source: Option<ServiceRevisionId>,
    /// Where the deployment is; none before its first step.
    pub stage: Option<LifecycleStage>,
    /// Since when it is there.
    pub entered_at: Option<Timestamp>,
    /// Whether it is on its way back.
    pub is_back: bool,
    /// The share of production traffic that the deployed revision has.
    pub production: Weight,
    /// The share of test traffic that it has.
    pub test: Weight,
    /// Since when production traffic is so.
    pub shifted_at: Option<Timestamp>,
    /// How it goes with the traffic that is being shifted.
    #[serde(flatten)]
    pub tries: ShiftTries,
}

/// How it goes with traffic that is being shifted, until it has been.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftTries {
    /// How often in a row it could not be shifted.
    pub failures: u32,
    /// Since when it is being shifted.
    pub ordered_at: Option<Timestamp>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
    /// Why it could not be shifted the last time.
    pub obstacle: Option<String>,
}

impl Shift {
    /// Makes one that has not begun.
    pub fn new(policy: Shifting, hooks: Vec<Hook>) -> Self {
        Self {
            policy,
            hooks,
            source: None,
            stage: None,
            entered_at: None,
            is_back: false,
            production: Weight::NONE,
            test: Weight::NONE,
            shifted_at: None,
            tries: ShiftTries::default(),
        }
    }

    /// Returns the share of a kind of traffic that the deployed revision has.
    pub fn weight(&self, traffic: Traffic) -> Weight {
        match traffic {
            Traffic::Production => self.production,
            Traffic::Test => self.test,
        }
    }

    /// Returns the share of a kind of traffic that a revision has, where `target` is the one that is deployed.
    pub fn weight_of(&self, traffic: Traffic, revision: &ServiceRevisionId, target: &ServiceRevisionId) -> Weight {
        if revision == target {
            self.weight(traffic)
        } else if self.source.as_ref() == Some(revision) {
            self.weight(traffic).rest()
        } else {
            Weight::NONE
        }
    }
}

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Traffic {
    /// What users send.
    Production,
    /// What comes in by the test listener.
    Test,
}

/// A stage of a deployment whose traffic is shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LifecycleStage {
    /// Revisions of deployments that were not finished go.
    ReconcileService,
    /// Nothing is started yet.
    PreScaleUp,
    /// The new tasks are started.
    ScaleUp,
    /// The new tasks run.
    PostScaleUp,
    /// Test traffic goes over to them.
    TestTrafficShift,
    /// Test traffic has gone over.
    PostTestTrafficShift,
    /// Production traffic goes over.
    ProductionTrafficShift,
    /// Production traffic has gone over.
    PostProductionTrafficShift,
    /// Old and new tasks run for a while.
    BakeTime,
    /// The old tasks end.
    CleanUp,
}

impl LifecycleStage {
    /// Returns the stage as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// A stage at which a hook has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookStage {
    /// Before anything is done, while several revisions have tasks.
    ReconcileService,
    /// Before the new tasks are started.
    PreScaleUp,
    /// When the new tasks run.
    PostScaleUp,
    /// While test traffic goes over to them.
    TestTrafficShift,
    /// When test traffic has gone over.
    PostTestTrafficShift,
    /// Before production traffic goes over. Deployments show the stage that it comes before.
    PreProductionTrafficShift,
    /// While production traffic goes over to them.
    ProductionTrafficShift,
    /// When production traffic has gone over.
    PostProductionTrafficShift,
}

impl HookStage {
    /// Returns the stage as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
        }
    }
}

/// Somebody who has a say at a stage of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// A UUID.
    pub id: String,
    /// The stage.
    pub stage: HookStage,
    /// Who.
    pub target: HookTarget,
    /// How long the deployment waits at most, in minutes.
    pub timeout_min: u32,
    /// What happens then.
    pub on_timeout: HookAction,
    /// Whether it is asked on the way back.
    pub is_back: bool,
    /// When the deployment came here.
    pub begun_at: Option<Timestamp>,
    /// Until when it waits.
    pub expires_at: Option<Timestamp>,
    /// When the function is called next.
    pub call_at: Option<Timestamp>,
    /// How often in a row it could not be called.
    pub call_failures: u32,
    /// How it went on.
    pub outcome: Option<HookOutcome>,
}

impl Hook {
    /// Returns whether the deployment waits for it now.
    pub fn is_under_way(&self) -> bool {
        self.begun_at.is_some() && self.outcome.is_none()
    }
}

/// Who has a say at a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookTarget {
    /// Whoever calls ContinueServiceDeployment.
    Pause,
    /// A function.
    Lambda {
        /// Its ARN.
        function: String,
        /// `hookDetails`: what it is told besides, or what it has said of itself the last time.
        details: Option<Document>,
    },
}

/// How a deployment is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookAction {
    /// To the next stage.
    Continue,
    /// Back to where it came from.
    RollBack,
}

/// How a deployment went on from a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookOutcome {
    /// It was told to.
    Told(HookAction),
    /// Nobody said anything in time.
    TimedOut,
    /// The function had nothing against it.
    Succeeded,
    /// The function was against it, or said nothing that can be understood.
    Failed {
        /// What it did, in words.
        reason: String,
    },
    /// There is nowhere to call functions.
    Skipped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_traffic_comes_over_in_the_steps_of_its_strategy() {
        let tenths = Weight::of_tenths;
        let rows = [
            (ShiftSteps::AtOnce, vec![1000]),
            (ShiftSteps::Canary { first: tenths(50), bake_min: 10 }, vec![50, 1000]),
            (ShiftSteps::Canary { first: tenths(1000), bake_min: 10 }, vec![1000]),
            (ShiftSteps::Linear { step: tenths(333), bake_min: 6 }, vec![333, 666, 999, 1000]),
            (ShiftSteps::Linear { step: tenths(500), bake_min: 6 }, vec![500, 1000]),
            (ShiftSteps::Linear { step: tenths(1000), bake_min: 6 }, vec![1000]),
        ];
        for (steps, expected) in rows {
            let shares = std::iter::successors(Some(steps.next(Weight::NONE)), |&now| {
                (now != Weight::ALL).then(|| steps.next(now))
            });
            assert_eq!(shares.map(|share| share.0).collect::<Vec<_>>(), expected, "{steps:?}");
        }
    }

    #[test]
    fn a_share_and_the_rest_are_all_of_it() {
        for tenths in [0, 1, 999, 1000, 1001, u16::MAX] {
            let share = Weight::of_tenths(tenths);
            assert_eq!(share.plus(share.rest()), Weight::ALL);
            assert!(share.percent() <= 100.0);
        }
    }
}
