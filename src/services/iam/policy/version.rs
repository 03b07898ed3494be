//! Versions of managed policies.

use api::iam as api;
use base::Arn;
use state::Cx;
use state::iam::{Policy, PolicyVersion};

use super::{change, create, find_any};
use crate::entity::{date, policy_arn};
use crate::page::Paging;
use crate::{Error, Result, policy_document};

/// How many versions a policy has at most: AWS's quota.
const VERSIONS_MAX: usize = 5;

/// Makes a version of a policy.
pub(crate) async fn create_policy_version(
    cx: &Cx,
    input: api::CreatePolicyVersionRequest,
) -> Result<api::CreatePolicyVersionResponse> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let document = input.policy_document.unwrap_or_default();
    let now = cx.now();
    let policy = change(cx, &arn, |policy| {
        create::check(&document)?;
        if policy.versions.len() >= VERSIONS_MAX {
            let message = format!(
                "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must \
                 delete an existing version."
            );
            return Err(Error::LimitExceeded(message));
        }
        let number = policy.next_version;
        policy.next_version += 1;
        policy.updated_at = now;
        policy.versions.push(PolicyVersion { number, document, created_at: now });
        if input.set_as_default.unwrap_or(false) {
            policy.default_version = number;
        }
        Ok(())
    })?;
    let mut view = policy.versions.last().map(|version| view(&policy, version));
    // The client has just sent the document.
    view.iter_mut().for_each(|view| view.document = None);
    Ok(api::CreatePolicyVersionResponse { policy_version: view })
}

/// Shows a version of a policy.
pub(crate) async fn get_policy_version(
    cx: &Cx,
    input: api::GetPolicyVersionRequest,
) -> Result<api::GetPolicyVersionResponse> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let policy = find_any(cx, &arn)?;
    let version = find(&policy, &input.version_id.unwrap_or_default())?;
    Ok(api::GetPolicyVersionResponse { policy_version: Some(view(&policy, version)) })
}

/// Lists the versions of a policy, newest first, without their documents.
pub(crate) async fn list_policy_versions(
    cx: &Cx,
    input: api::ListPolicyVersionsRequest,
) -> Result<api::ListPolicyVersionsResponse> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let policy = find_any(cx, &arn)?;
    let versions =
        policy.versions.iter().rev().map(|version| api::PolicyVersion { document: None, ..view(&policy, version) });
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListPolicyVersions", versions.collect())?;
    Ok(api::ListPolicyVersionsResponse {
        versions: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Puts a version in force.
pub(crate) async fn set_default_policy_version(cx: &Cx, input: api::SetDefaultPolicyVersionRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let (version, now) = (input.version_id.unwrap_or_default(), cx.now());
    change(cx, &arn, |policy| {
        policy.default_version = find(policy, &version)?.number;
        policy.updated_at = now;
        Ok(())
    })?;
    Ok(())
}

/// Deletes a version that is not in force.
pub(crate) async fn delete_policy_version(cx: &Cx, input: api::DeletePolicyVersionRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let (version, now) = (input.version_id.unwrap_or_default(), cx.now());
    change(cx, &arn, |policy| {
        let number = find(policy, &version)?.number;
        if number == policy.default_version {
            return Err(Error::DeleteConflict("Cannot delete the default version of a policy.".to_owned()));
        }
        policy.versions.retain(|version| version.number != number);
        policy.updated_at = now;
        Ok(())
    })?;
    Ok(())
}

/// Writes the id of a version.
pub(crate) fn id(number: u32) -> String {
    format!("v{number}")
}

fn find<'a>(policy: &'a Policy, version: &str) -> Result<&'a PolicyVersion> {
    let found = policy.versions.iter().find(|known| id(known.number) == version);
    found.ok_or_else(|| unknown(&policy.arn, version))
}

fn unknown(arn: &Arn, version: &str) -> Error {
    Error::NoSuchEntity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

fn view(policy: &Policy, version: &PolicyVersion) -> api::PolicyVersion {
    api::PolicyVersion {
        document: Some(policy_document::view(&version.document)),
        version_id: Some(id(version.number)),
        is_default_version: Some(version.number == policy.default_version),
        create_date: Some(date(version.created_at)),
    }
}
