//! Making a managed policy.

use api::iam as api;
use state::Cx;
use state::iam::{EntityKind, Policy, PolicyVersion};

use super::attachment::Attachments;
use super::{Detail, view};
use crate::entity::{arn, key, path, quota_exceeded};
use crate::{Error, Result, home, policy_document, tag};

/// How long a managed policy may be, without white space: AWS's quota.
const POLICY_LENGTH_MAX: usize = 6144;

/// Makes a policy with its first version.
pub(crate) async fn create_policy(cx: &Cx, input: api::CreatePolicyRequest) -> Result<api::CreatePolicyResponse> {
    let name = input.policy_name.unwrap_or_default();
    let path = path(input.path)?;
    let document = input.policy_document.unwrap_or_default();
    check(&document)?;
    let policy = Policy {
        name: name.clone(),
        id: EntityKind::Policy.id(cx.scope().account, &cx.ids),
        arn: arn(cx, "policy", &path, &name),
        path,
        description: input.description.filter(|text| !text.is_empty()),
        versions: vec![PolicyVersion { number: 1, document, created_at: cx.now() }],
        default_version: 1,
        next_version: 2,
        created_at: cx.now(),
        updated_at: cx.now(),
        tags: tag::read(input.tags)?,
    };
    let (policy, is_new) = cx.state.iam.policies.get_or_insert_with(&home(cx), &key(&name), || policy);
    if !is_new {
        let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(Error::EntityAlreadyExists(message));
    }
    let mut view = view(&policy, &Attachments::default(), Detail::Full);
    // CreatePolicy does not repeat it.
    view.description = None;
    Ok(api::CreatePolicyResponse { policy: Some(view) })
}

/// Checks a document: its form and its length.
pub(crate) fn check(document: &str) -> Result<()> {
    policy_document::check_identity(document, true)?;
    if policy_document::length(document) > POLICY_LENGTH_MAX {
        return Err(quota_exceeded("PolicySize", POLICY_LENGTH_MAX));
    }
    Ok(())
}
