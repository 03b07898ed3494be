//! Making a role.

use std::collections::BTreeMap;

use api::iam as api;
use state::Cx;
use state::iam::{EntityKind, Role};

use super::{Detail, boundary, view};
use crate::entity::{arn, key, path, quota_exceeded};
use crate::{Error, Result, home, policy_document, service_linked_role, tag};

/// How long sessions may last unless the request says, in seconds.
pub(crate) const SESSION_DURATION_S: u32 = 3600;
/// How long a trust policy may be, without white space: AWS's default quota.
const TRUST_POLICY_LENGTH_MAX: usize = 2048;

/// Makes a role.
pub(crate) async fn create_role(cx: &Cx, input: api::CreateRoleRequest) -> Result<api::CreateRoleResponse> {
    let name = input.role_name.unwrap_or_default();
    let path = path(input.path)?;
    let document = input.assume_role_policy_document.unwrap_or_default();
    check_trust(&document)?;
    let tags = tag::read(input.tags)?;
    if path.starts_with(service_linked_role::PATH) {
        // Text unverified.
        let message = format!("Cannot create a role with the path {path}: it is reserved for service-linked roles.");
        return Err(Error::InvalidInput(message));
    }
    let permissions_boundary = input.permissions_boundary.map(|arn| boundary::find(cx, &arn)).transpose()?;
    let duration_s = input.max_session_duration.and_then(|seconds| u32::try_from(seconds).ok());
    let role = Role {
        name: name.clone(),
        id: EntityKind::Role.id(cx.scope().account, &cx.ids),
        arn: arn(cx, "role", &path, &name),
        path,
        description: input.description,
        assume_role_policy: document,
        max_session_duration_s: duration_s.unwrap_or(SESSION_DURATION_S),
        permissions_boundary,
        inline_policies: BTreeMap::new(),
        attached_policies: Vec::new(),
        created_at: cx.now(),
        tags,
    };
    let (role, is_new) = cx.state.iam.roles.get_or_insert_with(&home(cx), &key(&name), || role);
    if !is_new {
        return Err(Error::EntityAlreadyExists(format!("Role with name {name} already exists.")));
    }
    Ok(api::CreateRoleResponse { role: Some(view(&role, Detail::Created)) })
}

/// Checks a trust policy: its form and its length.
pub(crate) fn check_trust(document: &str) -> Result<()> {
    policy_document::check_trust(document)?;
    if policy_document::length(document) > TRUST_POLICY_LENGTH_MAX {
        return Err(quota_exceeded("ACLSizePerRole", TRUST_POLICY_LENGTH_MAX));
    }
    Ok(())
}
