//! Values: reading and writing them.

use std::sync::Arc;

use api::secretsmanager as api;
use aws_smithy_types::{Blob, base64};
use base::{Page, PageToken, Timestamp};
use state::Cx;
use state::secretsmanager::{CURRENT, NoVersion, Secret, Value, Version};
use wire::ApiError;

use crate::{Error, Result, create, filter, invalid, lookup, refused, required};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How many values a page has, by default and at most.
const BATCH_MAX: usize = 20;
const LISTING: &str = "BatchGetSecretValue";

/// Gives a version's value.
pub(crate) async fn get_secret_value(
    cx: &Cx,
    input: api::GetSecretValueRequest,
) -> Result<api::GetSecretValueResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let (version_id, stage) = (input.version_id.as_deref(), input.version_stage.as_deref());
    let entry = read(cx, &*lookup::find_active(cx, &id)?, version_id, stage)?;
    Ok(api::GetSecretValueResponse {
        arn: entry.arn,
        name: entry.name,
        version_id: entry.version_id,
        secret_binary: entry.secret_binary,
        secret_string: entry.secret_string,
        version_stages: entry.version_stages,
        created_date: entry.created_date,
    })
}

/// Gives the current values of several secrets. What fails for one of them is told beside the others.
pub(crate) async fn batch_get_secret_value(
    cx: &Cx,
    input: api::BatchGetSecretValueRequest,
) -> Result<api::BatchGetSecretValueResponse> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    let mut next_token = None;
    match (input.secret_id_list, input.filters) {
        // Text unverified.
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid("Either 'SecretIdList' or 'Filters' must be provided, but not both."));
        }
        (Some(_), None) if input.max_results.is_some() => {
            return Err(invalid(
                "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
            ));
        }
        (Some(ids), None) => {
            for id in ids {
                match lookup::find_active(cx, &id).and_then(|secret| read(cx, &secret, None, None)) {
                    Ok(value) => values.push(value),
                    Err(error) => errors.push(failure(id, error)),
                }
            }
        }
        (None, Some(filters)) => {
            let page = matching(cx, filters, input.max_results, input.next_token)?;
            values.extend(page.items.iter().filter_map(|secret| read(cx, secret, None, None).ok()));
            next_token = page.next;
        }
    }
    Ok(api::BatchGetSecretValueResponse { secret_values: Some(values), next_token, errors: Some(errors) })
}

/// Stores a new version. The same request again changes nothing.
pub(crate) async fn put_secret_value(
    cx: &Cx,
    input: api::PutSecretValueRequest,
) -> Result<api::PutSecretValueResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let value = create::value(input.secret_string, input.secret_binary)?;
    let value = value.ok_or_else(|| refused("You must provide either SecretString or SecretBinary."))?;
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    let version = create::version(cx, input.client_request_token, value, stages);
    let version_id = version.id.clone();
    let secret = lookup::change_active(cx, &id, |secret| {
        if let Some(known) = secret.version(&version.id) {
            return if known.value == version.value { Ok(()) } else { Err(create::token_in_use(secret, &version.id)) };
        }
        let (is_first, id) = (secret.versions.is_empty(), version.id.clone());
        secret.add_version(version);
        if is_first {
            secret.move_stage(CURRENT, &id);
        }
        secret.changed_at = cx.now();
        Ok(())
    })?;
    Ok(api::PutSecretValueResponse {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        version_stages: secret.version(&version_id).map(|version| version.stages.clone()),
        version_id: Some(version_id),
    })
}

/// Selects a version, notes the day on which it was read, and shows it.
fn read(cx: &Cx, secret: &Secret, id: Option<&str>, stage: Option<&str>) -> Result<api::SecretValueEntry> {
    let version = secret.select(id, stage).map_err(no_version)?;
    note_access(cx, secret, version);
    let (text, binary) = match &*version.value {
        Value::Text(text) => (Some(text.expose().to_owned()), None),
        Value::Binary(bytes) => {
            let bytes = base64::decode(bytes.expose()).map_err(|_| Error::from(ApiError::internal()))?;
            (None, Some(Blob::new(bytes)))
        }
    };
    Ok(api::SecretValueEntry {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        version_id: Some(version.id.clone()),
        secret_binary: binary,
        secret_string: text,
        version_stages: (!version.stages.is_empty()).then(|| version.stages.clone()),
        created_date: Some(version.created_at.into()),
    })
}

/// AWS keeps the day only, so a value that is read often is not written often.
fn note_access(cx: &Cx, secret: &Secret, version: &Version) {
    let now = cx.now().as_millis();
    let today = Some(Timestamp::from_millis(now - now.rem_euclid(DAY_MS)));
    if secret.accessed_on == today && version.accessed_on == today {
        return;
    }
    cx.state.secretsmanager.secrets.update(cx.scope(), &secret.name, |row| {
        row.accessed_on = today;
        if let Some(row) = row.versions.iter_mut().find(|row| row.id == version.id) {
            row.accessed_on = today;
        }
    });
}

fn no_version(failure: NoVersion) -> Error {
    let not_found = "Secrets Manager can't find the specified secret value for";
    match failure {
        NoVersion::Stage(stage) => Error::ResourceNotFound(format!("{not_found} staging label: {stage}")),
        NoVersion::Id(id) => Error::ResourceNotFound(format!("{not_found} VersionId: {id}")),
        NoVersion::Mismatch => refused("You provided a VersionStage that is not associated to the provided VersionId."),
    }
}

fn failure(id: String, error: Error) -> api::APIErrorType {
    let error = ApiError::from(error);
    api::APIErrorType {
        secret_id: Some(id),
        error_code: Some(error.code().to_owned()),
        message: Some(error.message().to_owned()),
    }
}

/// Returns a page of the secrets that filters choose, by name.
fn matching(
    cx: &Cx,
    filters: Vec<api::Filter>,
    max_results: Option<i32>,
    token: Option<String>,
) -> Result<Page<Arc<Secret>>> {
    let size =
        max_results.and_then(|size| usize::try_from(size).ok()).map_or(BATCH_MAX, |size| size.clamp(1, BATCH_MAX));
    let after = token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| Error::InvalidNextToken("Invalid token".to_owned()))?;
    let secrets = cx.state.secretsmanager.secrets.walk(cx.scope(), after).map(|(_, secret)| secret);
    let found = secrets
        .filter(|secret| !secret.is_deleted() && secret.staged(CURRENT).is_some() && filter::matches(&filters, secret));
    Ok(Page::cut(LISTING, size, found, |secret| secret.name.clone()))
}
