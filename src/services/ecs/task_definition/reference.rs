//! How requests name a task definition: family, `family:revision`, or ARN.

use std::sync::Arc;

use base::Arn;
use state::Cx;
use state::ecs::{Family, TaskDefinition, TaskDefinitionName, TaskDefinitionStatus};

use crate::{Result, client, invalid};

/// A family, and a revision of it if one was named.
pub(crate) struct Reference {
    family: Option<Family>,
    revision: Option<u32>,
}

impl Reference {
    /// Parses a family, `family:revision` or an ARN of this account. A family of impossible form is one that is missing.
    pub(crate) fn parse(cx: &Cx, text: &str) -> Result<Self> {
        let name = if text.starts_with("arn:") {
            let arn = Arn::parse(text).ok_or_else(|| invalid("The ARN provided is invalid."))?;
            if arn.account() != Some(cx.scope().account) {
                return Err(invalid("AccountIDs mismatch"));
            }
            let is_here = arn.service() == "ecs" && arn.region().as_ref() == Some(&cx.scope().region);
            arn.resource_of("task-definition").filter(|_| is_here).unwrap_or_default().to_owned()
        } else {
            text.to_owned()
        };
        let Some((family, revision)) = name.rsplit_once(':') else {
            return Ok(Self { family: Family::parse(&name), revision: None });
        };
        // The text is moto's.
        let number = revision.parse().map_err(|_| invalid(format!("Invalid revision number. Number: {revision}")))?;
        Ok(Self { family: Family::parse(family), revision: Some(number) })
    }

    /// Returns family and revision, if both were named.
    pub(crate) fn name(&self) -> Option<TaskDefinitionName> {
        // A family that cannot be is looked up like one that is not.
        let family = self.family.clone().or_else(|| Family::parse("-"))?;
        Some(TaskDefinitionName { family, revision: self.revision? })
    }

    /// Finds the named revision, or the newest active one of the family.
    pub(crate) fn find(&self, cx: &Cx) -> Option<Arc<TaskDefinition>> {
        let family = self.family.as_ref()?;
        match self.revision {
            None => cx.state.ecs.latest_active(cx.scope(), family),
            Some(revision) => {
                let name = TaskDefinitionName { family: family.clone(), revision };
                cx.state.ecs.task_definitions.get(cx.scope(), &name)
            }
        }
    }
}

/// Finds a definition that tasks can be started from.
pub(crate) fn find_active(cx: &Cx, text: &str) -> Result<Arc<TaskDefinition>> {
    let definition = Reference::parse(cx, text)?.find(cx).ok_or_else(|| client("TaskDefinition not found."))?;
    match definition.status {
        TaskDefinitionStatus::Active => Ok(definition),
        TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
            Err(client("TaskDefinition is inactive"))
        }
    }
}
