//! UpdateContainerAgent.

use api::ecs as api;
use state::Cx;
use state::ecs::{AgentUpdate, ContainerInstance, InstanceStatus};

use super::reference;
use super::view::{self, Include};
use crate::{Error, Result, client, cluster, required};

/// The version of the agent that is offered as an update.
const AGENT_VERSION_LATEST: &str = "1.103.0";

/// Asks the agent of an instance to update itself. It says that it has by registering again.
pub(crate) async fn update_container_agent(
    cx: &Cx,
    input: api::UpdateContainerAgentRequest,
) -> Result<api::UpdateContainerAgentResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let named = required(input.container_instance, "containerInstance")?;
    let key = reference::parse(cx, &cluster, &named)?;
    let mut refusal = None;
    let asked = cx.state.ecs.update_container_instance(cx.scope(), &key, |instance| match check(instance) {
        Ok(()) => instance.agent_update = Some(AgentUpdate::Pending),
        Err(error) => refusal = Some(error),
    });
    let instance = asked.ok_or_else(|| reference::not_found(&named))?;
    match refusal {
        Some(error) => Err(error),
        None => Ok(api::UpdateContainerAgentResponse {
            container_instance: Some(view::container_instance(cx, &instance, Include::NONE)),
        }),
    }
}

/// Returns whether an agent of that version has nothing to be updated to.
pub(super) fn is_latest(version: &str) -> bool {
    numbers(version) >= numbers(AGENT_VERSION_LATEST)
}

fn check(instance: &ContainerInstance) -> Result<()> {
    // Texts unverified but for the one of no update, which tools compare.
    if instance.status == InstanceStatus::Inactive || !instance.is_agent_connected {
        return Err(client("The container agent is not connected."));
    }
    if instance.agent_update == Some(AgentUpdate::Pending) {
        return Err(Error::UpdateInProgress("There is already an update in progress for your container agent.".into()));
    }
    match &instance.agent_version {
        None => Err(Error::MissingVersion(
            "Amazon ECS is unable to determine the current version of the container agent.".to_owned(),
        )),
        Some(version) if is_latest(version) => {
            Err(Error::NoUpdateAvailable("There is no update available for your container agent.".to_owned()))
        }
        Some(_) => Ok(()),
    }
}

/// Reads `1.51.0`; what is no number counts as 0.
fn numbers(version: &str) -> Vec<u32> {
    version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        for (version, expected) in [("1.9.0", false), ("1.103.0", true), ("v1.103.1", true), ("2.0", true), ("", false)]
        {
            assert_eq!(is_latest(version), expected, "{version}");
        }
    }
}
