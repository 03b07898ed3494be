//! What the events of a service say, and how often they say it.

use std::time::Duration;

use base::{ServiceRevisionId, Timestamp};
use state::ecs::{Service, deployment_id};

/// How long ECS does not say the same again.
const REPEAT_AFTER: Duration = Duration::from_secs(6 * 3600);
/// What a service says that has all that it wants.
pub(in crate::ecs) const STEADY: &str = "has reached a steady state.";

/// What keeps a service from having what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ecs) enum Obstacle {
    /// Its tasks end before they run.
    KeepsFailing,
    /// Neither may a task be stopped nor one more be started.
    Percentages,
    /// More tasks of a deployment are protected than it is to have.
    Protected(ServiceRevisionId),
    /// So many tasks are in each availability zone.
    Unbalanced(Vec<(String, usize)>),
}

impl Obstacle {
    /// Words what keeps a service from having what it wants, as its events do.
    pub(in crate::ecs) fn words(&self) -> String {
        match self {
            Self::KeepsFailing => "is unable to consistently start tasks successfully.".to_owned(),
            Self::Percentages => {
                "was unable to stop or start tasks during a deployment because of the service deployment configuration. \
                 Update the minimumHealthyPercent or maximumPercent value and try again."
                    .to_owned()
            }
            Self::Protected(revision) => format!(
                "was unable to reach steady state because task set ({}) was unable to scale in. Reason: The number of \
                 protected tasks are more than the desired count of tasks.",
                deployment_id(revision)
            ),
            // Text unverified.
            Self::Unbalanced(zones) => {
                let zones = zones.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect::<Vec<_>>();
                format!("is not AZ balanced with {}. AZ Rebalancing in progress.", zones.join(", "))
            }
        }
    }
}

/// Makes the whole text of an event.
pub(in crate::ecs) fn message(service: &Service, what: &str) -> String {
    format!("(service {}) {what}", service.key.name)
}

/// Makes the whole text of an event of a task set. (The prefix was seen where connections are drained.)
pub(in crate::ecs) fn message_of_task_set(service: &Service, task_set: &ServiceRevisionId, what: &str) -> String {
    format!("(service {}, taskSet {}) {what}", service.key.name, deployment_id(task_set))
}

/// Whether an event is to be said, or was said since `since` and only some hours ago.
pub(in crate::ecs) fn is_due(service: &Service, what: &str, since: Timestamp, now: Timestamp) -> bool {
    let message = message(service, what);
    let mut recent = service.events.iter().take_while(|event| event.at >= since && now < event.at.plus(REPEAT_AFTER));
    !recent.any(|event| event.message == message)
}

/// Returns when it is to be said again that nothing has happened since the service said that it is steady; none if
/// something has.
pub(super) fn steady_again_at(service: &Service) -> Option<Timestamp> {
    let newest = service.events.first()?;
    (newest.message == message(service, STEADY)).then(|| newest.at.plus(REPEAT_AFTER))
}
