//! What of a task definition is only shown: read out of the document that it came as.

use std::collections::BTreeMap;

use serde::Deserialize;
use state::ecs::TaskDefinition;

/// The containers of a definition.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Echoed {
    container_definitions: Vec<EchoedContainer>,
}

/// What a container's metadata shows of its definition.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EchoedContainer {
    name: String,
    pub(crate) docker_labels: BTreeMap<String, String>,
    pub(crate) log_configuration: Option<LogConfiguration>,
    pub(crate) mount_points: Vec<MountPoint>,
    pub(crate) port_mappings: Vec<PortMapping>,
}

/// Where a container's output goes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogConfiguration {
    pub(crate) log_driver: String,
    pub(crate) options: BTreeMap<String, String>,
}

/// Where a volume is seen.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MountPoint {
    pub(crate) container_path: String,
    pub(crate) source_volume: String,
}

/// A port that others reach.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PortMapping {
    pub(crate) container_port: Option<u16>,
    pub(crate) protocol: Option<String>,
}

impl Echoed {
    /// Reads a definition.
    pub(crate) fn read(definition: Option<&TaskDefinition>) -> Self {
        let Some(definition) = definition else { return Self::default() };
        serde_json::from_str(definition.document.as_str()).unwrap_or_else(|error| {
            tracing::error!(definition = %definition.arn, %error, "a definition's document cannot be read");
            Self::default()
        })
    }

    /// Returns a container.
    pub(crate) fn container(&self, name: &str) -> Option<&EchoedContainer> {
        self.container_definitions.iter().find(|container| container.name == name)
    }
}
