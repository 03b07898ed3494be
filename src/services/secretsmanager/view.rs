//! Secrets in responses.

use std::collections::BTreeMap;

use api::secretsmanager as api;
use state::Cx;
use state::secretsmanager::Secret;

use crate::{Result, lookup, required, tag};

/// Describes a secret without its value, even if it is marked for deletion.
pub(crate) async fn describe_secret(cx: &Cx, input: api::DescribeSecretRequest) -> Result<api::DescribeSecretResponse> {
    let secret = lookup::find(cx, &required(input.secret_id, "SecretId")?)?;
    let entry = entry(&secret);
    Ok(api::DescribeSecretResponse {
        arn: entry.arn,
        name: entry.name,
        r#type: entry.r#type,
        description: entry.description,
        kms_key_id: entry.kms_key_id,
        last_changed_date: entry.last_changed_date,
        last_accessed_date: entry.last_accessed_date,
        deleted_date: entry.deleted_date,
        tags: entry.tags,
        version_ids_to_stages: entry.secret_versions_to_stages,
        created_date: entry.created_date,
        ..api::DescribeSecretResponse::default()
    })
}

/// Shows a secret in a listing.
pub(crate) fn entry(secret: &Secret) -> api::SecretListEntry {
    let staged = secret.versions.iter().filter(|version| !version.stages.is_empty());
    let stages = staged.map(|version| (version.id.clone(), version.stages.clone())).collect::<BTreeMap<_, _>>();
    api::SecretListEntry {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        r#type: secret.kind.clone(),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key_id.clone(),
        last_changed_date: Some(secret.changed_at.into()),
        last_accessed_date: secret.accessed_on.map(Into::into),
        deleted_date: secret.deleted_at.map(Into::into),
        tags: tag::view_if_any(&secret.tags),
        secret_versions_to_stages: (!stages.is_empty()).then_some(stages),
        created_date: Some(secret.created_at.into()),
        ..api::SecretListEntry::default()
    }
}
