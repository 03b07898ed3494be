//! ECS's words for requests that the model forbids.
//!
//! SDKs check these before they send, so AWS's own wording is rarely seen. Where none was (marked below), the message
//! follows the form of its neighbours.

use wire::{ApiError, Kind, Violation};

/// The members at the top of RegisterTaskDefinition alone. Its checks end in `ClientException`, those of others in
/// `InvalidParameterException`.
const TASK_DEFINITION_MEMBERS: [&str; 8] = [
    "containerDefinitions",
    "ephemeralStorage",
    "family",
    "ipcMode",
    "networkMode",
    "pidMode",
    "proxyConfiguration",
    "volumes",
];

/// Words the first violation: ECS reports one at a time.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    let Some(violation) = violations.first() else { return ApiError::internal() };
    let top = violation.path.split(['.', '[']).next().unwrap_or_default();
    let code = if TASK_DEFINITION_MEMBERS.contains(&top) { "ClientException" } else { "InvalidParameterException" };
    ApiError::client(code, message(violation))
}

fn message(violation: &Violation) -> String {
    let member = violation.path.rsplit('.').next().unwrap_or_default();
    match &violation.kind {
        // RegisterTaskDefinition without containers: PF container-definitions-empty.
        Kind::Required if violation.path == "containerDefinitions" => "Container list cannot be empty".to_owned(),
        // DescribeTasks without tasks: the same as with none.
        Kind::Required if violation.path == "tasks" => "Tasks cannot be empty.".to_owned(),
        // The form of "Container.image should not be null or empty."; unverified for other members.
        Kind::Required => format!("{} should not be null or empty.", titled(&violation.path)),
        // Fargate's own list of drivers: PFr.
        Kind::Enum { actual, .. } if member == "logDriver" => {
            format!("{actual} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]")
        }
        // "launch type should be one of [EC2,FARGATE,EXTERNAL]": moto.
        Kind::Enum { allowed, .. } => format!("{} should be one of [{}]", spaced(member), allowed.join(",")),
        Kind::Length { .. } | Kind::Range { .. } | Kind::Pattern { .. } => {
            format!("Invalid '{}' setting. {violation}", violation.path)
        }
    }
}

/// `containerDefinitions[0].healthCheck.command` → `ContainerDefinitions[0].healthCheck.command`.
fn titled(path: &str) -> String {
    let mut chars = path.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// `launchType` → `launch type`.
fn spaced(member: &str) -> String {
    let member = member.split('[').next().unwrap_or_default();
    member.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii_uppercase() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
        text
    })
}
