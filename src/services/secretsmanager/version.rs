//! Versions and their staging labels.

use api::secretsmanager as api;
use base::{Page, PageToken};
use state::Cx;
use state::secretsmanager::{CURRENT, Secret, Version};

use crate::{Error, Result, invalid, lookup, required};

/// How many versions a page has, by default and at most.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "ListSecretVersionIds";
/// What a version shows as its key that has none of the customer's.
const DEFAULT_KEY: &str = "DefaultEncryptionKey";

/// Lists the versions of a secret; those without a staging label only if it is asked for.
pub(crate) async fn list_secret_version_ids(
    cx: &Cx,
    input: api::ListSecretVersionIdsRequest,
) -> Result<api::ListSecretVersionIdsResponse> {
    let secret = lookup::find(cx, &required(input.secret_id, "SecretId")?)?;
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| Error::InvalidNextToken("Invalid token".to_owned()))?;
    let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    let shows_deprecated = input.include_deprecated.unwrap_or(false);
    let from = after.map_or(0, |id| secret.versions.iter().position(|version| version.id == id).map_or(0, |at| at + 1));
    let versions = secret.versions.iter().skip(from);
    let shown = versions.filter(|version| shows_deprecated || !version.stages.is_empty());
    let page = Page::cut(LISTING, size.clamp(1, PAGE_SIZE), shown, |version| version.id.clone());
    Ok(api::ListSecretVersionIdsResponse {
        versions: Some(page.items.into_iter().map(|version| view(&secret, version)).collect()),
        next_token: page.next,
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
    })
}

/// Moves a staging label from one version to another, puts it on one, or takes it off one.
pub(crate) async fn update_secret_version_stage(
    cx: &Cx,
    input: api::UpdateSecretVersionStageRequest,
) -> Result<api::UpdateSecretVersionStageResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let stage = required(input.version_stage, "VersionStage")?;
    let (from, to) = (input.remove_from_version_id, input.move_to_version_id);
    let secret = lookup::change_active(cx, &id, |secret| {
        check_move(secret, &stage, from.as_deref(), to.as_deref())?;
        match &to {
            Some(to) => secret.move_stage(&stage, to),
            None => secret.remove_stage(&stage),
        }
        secret.changed_at = cx.now();
        Ok(())
    })?;
    Ok(api::UpdateSecretVersionStageResponse { arn: Some(secret.arn.to_string()), name: Some(secret.name.clone()) })
}

fn check_move(secret: &Secret, stage: &str, from: Option<&str>, to: Option<&str>) -> Result<()> {
    let unknown = |id: &&str| secret.version(id).is_none();
    if let Some(id) = from.iter().chain(&to).copied().find(unknown) {
        let not_found = "Secrets Manager can't find the specified secret value for VersionId";
        return Err(Error::ResourceNotFound(format!("{not_found}: {id}")));
    }
    let holder = secret.staged(stage).map(|version| version.id.as_str());
    match (holder, from) {
        (Some(holder), None) if to != Some(holder) => Err(invalid(format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version \
             {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        ))),
        // Text unverified.
        (holder, Some(from)) if holder != Some(from) => {
            Err(invalid(format!("The staging label {stage} is not attached to version {from}.")))
        }
        // Text unverified.
        (Some(_), Some(_)) if to.is_none() && stage == CURRENT => Err(invalid(
            "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
        )),
        _ => Ok(()),
    }
}

fn view(secret: &Secret, version: &Version) -> api::SecretVersionsListEntry {
    api::SecretVersionsListEntry {
        version_id: Some(version.id.clone()),
        version_stages: (!version.stages.is_empty()).then(|| version.stages.clone()),
        last_accessed_date: version.accessed_on.map(Into::into),
        created_date: Some(version.created_at.into()),
        kms_key_ids: Some(vec![secret.kms_key_id.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned())]),
    }
}
