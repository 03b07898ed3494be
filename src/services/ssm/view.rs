//! Parameters in responses.

use api::ssm as api;
use state::ssm::{Parameter, Policy, Version};

use crate::value;

/// Shows a version with its value.
pub(crate) fn parameter(
    parameter: &Parameter,
    version: &Version,
    selector: Option<&str>,
    decrypts: bool,
) -> api::Parameter {
    api::Parameter {
        name: Some(parameter.name.clone()),
        r#type: Some(kind(version)),
        value: Some(value::shown(version, decrypts)),
        version: Some(version.number),
        selector: selector.map(|selector| format!(":{selector}")),
        last_modified_date: Some(version.modified_at.into()),
        arn: Some(parameter.arn.to_string()),
        data_type: Some(version.data_type.clone()),
        ..api::Parameter::default()
    }
}

/// Shows what is said about a parameter.
pub(crate) fn metadata(parameter: &Parameter) -> api::ParameterMetadata {
    let version = &parameter.latest;
    api::ParameterMetadata {
        name: Some(parameter.name.clone()),
        arn: Some(parameter.arn.to_string()),
        r#type: Some(kind(version)),
        key_id: version.key_id.clone(),
        last_modified_date: Some(version.modified_at.into()),
        last_modified_user: Some(version.modified_by.to_string()),
        description: version.description.clone(),
        allowed_pattern: version.allowed_pattern.clone(),
        version: Some(version.number),
        tier: Some(tier(version)),
        policies: Some(policies(&version.policies)),
        data_type: Some(version.data_type.clone()),
    }
}

/// Shows a version in a parameter's history.
pub(crate) fn history(parameter: &Parameter, version: &Version, decrypts: bool) -> api::ParameterHistory {
    api::ParameterHistory {
        name: Some(parameter.name.clone()),
        r#type: Some(kind(version)),
        key_id: version.key_id.clone(),
        last_modified_date: Some(version.modified_at.into()),
        last_modified_user: Some(version.modified_by.to_string()),
        description: version.description.clone(),
        value: Some(value::shown(version, decrypts)),
        allowed_pattern: version.allowed_pattern.clone(),
        version: Some(version.number),
        labels: Some(version.labels.clone()),
        tier: Some(tier(version)),
        policies: Some(policies(&version.policies)),
        data_type: Some(version.data_type.clone()),
    }
}

/// Shows a version's tier.
pub(crate) fn tier(version: &Version) -> api::ParameterTier {
    api::ParameterTier::from(version.tier.as_str())
}

fn kind(version: &Version) -> api::ParameterType {
    api::ParameterType::from(version.kind.as_str())
}

fn policies(policies: &[Policy]) -> Vec<api::ParameterInlinePolicy> {
    let view = |policy: &Policy| api::ParameterInlinePolicy {
        policy_text: Some(policy.text.clone()),
        policy_type: Some(policy.kind.clone()),
        // One that is due takes the parameter with it.
        policy_status: Some("Pending".to_owned()),
    };
    policies.iter().map(view).collect()
}
