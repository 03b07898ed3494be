//! What a path asks for. Pure.

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Metadata or stats.
    Metadata {
        /// In the shape of this version.
        version: Version,
        /// Of what.
        of: Of,
        /// The container that the path names; none where the task is told by its address alone.
        container: Option<String>,
    },
    /// Credentials, by their id.
    Credentials { version: u8, id: String },
    /// The task's protection.
    Protection { container: String },
    /// A fault of the task's network.
    Fault { container: String, fault: FaultName, action: FaultAction },
}

impl Route {
    /// Returns the id that the path names: a container's, or that of credentials.
    pub(crate) fn named(&self) -> Option<&str> {
        match self {
            Self::Metadata { container, .. } => container.as_deref(),
            Self::Credentials { id, .. } => Some(id),
            Self::Protection { container } | Self::Fault { container, .. } => Some(container),
        }
    }
}

/// A version of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V2,
    V3,
    V4,
}

impl Version {
    /// Returns its number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// What metadata there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Container,
    Task,
    TaskWithTags,
    ContainerStats,
    TaskStats,
}

/// A fault, as its API is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultName {
    BlackholePort,
    Latency,
    PacketLoss,
}

impl FaultName {
    /// Returns the name in paths and messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BlackholePort => "network-blackhole-port",
            Self::Latency => "network-latency",
            Self::PacketLoss => "network-packet-loss",
        }
    }
}

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultAction {
    Start,
    Stop,
    Status,
}

impl FaultAction {
    /// Returns the words for it in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Status => "check status",
        }
    }
}

/// Reads a path, with or without a slash at its end. `query` is decoded by the caller; only `id` matters.
pub(crate) fn parse(path: &str, id: Option<&str>) -> Option<Route> {
    let mut parts = path.strip_prefix('/')?.split('/').collect::<Vec<_>>();
    if parts.len() > 1 && parts.last() == Some(&"") && parts[..2] != ["v2", "credentials"] {
        parts.pop();
    }
    let route = match parts.as_slice() {
        ["v1", "credentials"] => Route::Credentials { version: 1, id: id.unwrap_or_default().to_owned() },
        ["v2", "credentials"] => Route::Credentials { version: 2, id: String::new() },
        ["v2", "credentials", id] => Route::Credentials { version: 2, id: (*id).to_owned() },
        ["v2", "metadata"] => metadata(Version::V2, Of::Task, None),
        ["v2", "metadata", container] => metadata(Version::V2, Of::Container, Some(container)),
        ["v2", "stats"] => metadata(Version::V2, Of::TaskStats, None),
        ["v2", "stats", container] => metadata(Version::V2, Of::ContainerStats, Some(container)),
        ["v3", container, rest @ ..] => metadata(Version::V3, of(rest)?, Some(container)),
        ["v4", container, rest @ ..] => metadata(Version::V4, of(rest)?, Some(container)),
        ["api", container, "task-protection", "v1", "state"] => {
            Route::Protection { container: (*container).to_owned() }
        }
        ["api", container, "fault", "v1", fault, action] => Route::Fault {
            container: (*container).to_owned(),
            fault: fault_name(fault)?,
            action: fault_action(action)?,
        },
        _ => return None,
    };
    Some(route)
}

fn metadata(version: Version, of: Of, container: Option<&str>) -> Route {
    Route::Metadata { version, of, container: container.map(str::to_owned) }
}

fn of(rest: &[&str]) -> Option<Of> {
    match rest {
        [] => Some(Of::Container),
        ["task"] => Some(Of::Task),
        ["taskWithTags"] => Some(Of::TaskWithTags),
        ["stats"] => Some(Of::ContainerStats),
        ["task", "stats"] => Some(Of::TaskStats),
        _ => None,
    }
}

fn fault_name(text: &str) -> Option<FaultName> {
    [FaultName::BlackholePort, FaultName::Latency, FaultName::PacketLoss]
        .into_iter()
        .find(|fault| fault.as_str() == text)
}

fn fault_action(text: &str) -> Option<FaultAction> {
    match text {
        "start" => Some(FaultAction::Start),
        "stop" => Some(FaultAction::Stop),
        "status" => Some(FaultAction::Status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_ecs_agent_has_them() {
        let metadata = |version, of, container: &str| {
            Some(Route::Metadata { version, of, container: (!container.is_empty()).then(|| container.to_owned()) })
        };
        let credentials = |version, id: &str| Some(Route::Credentials { version, id: id.to_owned() });
        let fault = |fault, action| Some(Route::Fault { container: "c".to_owned(), fault, action });
        for (path, route) in [
            ("/v4/c", metadata(Version::V4, Of::Container, "c")),
            ("/v4/c/", metadata(Version::V4, Of::Container, "c")),
            ("/v4/c/task", metadata(Version::V4, Of::Task, "c")),
            ("/v4/c/task/", metadata(Version::V4, Of::Task, "c")),
            ("/v4/c/taskWithTags", metadata(Version::V4, Of::TaskWithTags, "c")),
            ("/v4/c/stats", metadata(Version::V4, Of::ContainerStats, "c")),
            ("/v4/c/task/stats", metadata(Version::V4, Of::TaskStats, "c")),
            ("/v4/c/task/other", None),
            ("/v4", None),
            ("/v3/c", metadata(Version::V3, Of::Container, "c")),
            ("/v3/c/task/stats", metadata(Version::V3, Of::TaskStats, "c")),
            ("/v2/metadata", metadata(Version::V2, Of::Task, "")),
            ("/v2/metadata/", metadata(Version::V2, Of::Task, "")),
            ("/v2/metadata/c", metadata(Version::V2, Of::Container, "c")),
            ("/v2/stats", metadata(Version::V2, Of::TaskStats, "")),
            ("/v2/stats/c", metadata(Version::V2, Of::ContainerStats, "c")),
            ("/v2/credentials", credentials(2, "")),
            ("/v2/credentials/", credentials(2, "")),
            ("/v2/credentials/x", credentials(2, "x")),
            ("/v1/credentials", credentials(1, "query")),
            ("/api/c/task-protection/v1/state", Some(Route::Protection { container: "c".to_owned() })),
            ("/api/c/fault/v1/network-blackhole-port/start", fault(FaultName::BlackholePort, FaultAction::Start)),
            ("/api/c/fault/v1/network-latency/stop", fault(FaultName::Latency, FaultAction::Stop)),
            ("/api/c/fault/v1/network-packet-loss/status", fault(FaultName::PacketLoss, FaultAction::Status)),
            ("/api/c/fault/v1/network-packet-loss/pause", None),
            ("/api/c/fault/v2/network-latency/start", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(parse(path, Some("query")), route, "{path}");
        }
    }
}
