//! The roles that services make for themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use api::iam as api;
use base::Arn;
use state::Cx;
use state::iam::{EntityKind, Role, RoleDeletion};

use crate::entity::{arn, key};
use crate::role::create::SESSION_DURATION_S;
use crate::role::{Detail, find, view};
use crate::{Error, Result, home};

/// How the paths of these roles begin.
pub(crate) const PATH: &str = "/aws-service-role/";
/// How long it can be asked how a deletion went.
const DELETION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Services, the names of their roles, and the policies of those, whose path is `aws-service-role/`.
const SERVICES: &[(&str, &str, &str)] = &[
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy"),
    (
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
        "AWSApplicationAutoscalingECSServicePolicy",
    ),
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    ("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    ("eks-fargate.amazonaws.com", "AWSServiceRoleForAmazonEKSForFargate", "AmazonEKSForFargateServiceRolePolicy"),
    (
        "elasticfilesystem.amazonaws.com",
        "AWSServiceRoleForAmazonElasticFileSystem",
        "AmazonElasticFileSystemServiceRolePolicy",
    ),
    (
        "elasticloadbalancing.amazonaws.com",
        "AWSServiceRoleForElasticLoadBalancing",
        "AWSElasticLoadBalancingServiceRolePolicy",
    ),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy"),
];

/// Makes the role of a service.
pub(crate) async fn create_service_linked_role(
    cx: &Cx,
    input: api::CreateServiceLinkedRoleRequest,
) -> Result<api::CreateServiceLinkedRoleResponse> {
    let service = input.aws_service_name.unwrap_or_default();
    let found = SERVICES.iter().find(|(known, _, _)| *known == service);
    // Text unverified.
    let (_, role, policy) = found.ok_or_else(|| {
        Error::InvalidInput(format!("The service principal {service} does not have a service-linked role."))
    })?;
    let suffix = input.custom_suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
    let (name, path) = (format!("{role}{suffix}"), format!("{PATH}{service}/"));
    let partition = cx.scope().region.partition().as_str();
    let policy = Arn::parse(&format!("arn:{partition}:iam::aws:policy{PATH}{policy}"));
    let statement = format!(r#"{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}"#);
    let role = Role {
        name: name.clone(),
        id: EntityKind::Role.id(cx.scope().account, &cx.ids),
        arn: arn(cx, "role", &path, &name),
        path,
        description: input.description.filter(|text| !text.is_empty()),
        assume_role_policy: format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#),
        max_session_duration_s: SESSION_DURATION_S,
        permissions_boundary: None,
        inline_policies: BTreeMap::new(),
        attached_policies: policy.into_iter().collect(),
        created_at: cx.now(),
        tags: Vec::new(),
    };
    let (role, is_new) = cx.state.iam.roles.get_or_insert_with(&home(cx), &key(&name), || role);
    if !is_new {
        let message =
            format!("Service role name {name} has been taken in this account, please try a different suffix.");
        return Err(Error::InvalidInput(message));
    }
    Ok(api::CreateServiceLinkedRoleResponse { role: Some(view(&role, Detail::Created)) })
}

/// Deletes the role of a service. Here no service holds on to it, so that it is gone at once.
pub(crate) async fn delete_service_linked_role(
    cx: &Cx,
    input: api::DeleteServiceLinkedRoleRequest,
) -> Result<api::DeleteServiceLinkedRoleResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    if !role.path.starts_with(PATH) {
        // Text unverified.
        return Err(Error::InvalidInput(format!("Role {} is not a service-linked role.", role.name)));
    }
    let (iam, home, now) = (&cx.state.iam, home(cx), cx.now());
    let task = format!("task{}{}/{}", role.path, role.name, cx.ids.uuid());
    let old = iam.role_deletions.walk(&home, None).filter(|(_, row)| now.since(row.deleted_at) > DELETION_KEPT);
    old.for_each(|(task, _)| {
        iam.role_deletions.remove(&home, &task);
    });
    iam.role_deletions.insert(&home, &task, RoleDeletion { deleted_at: now });
    iam.roles.remove(&home, &key(&role.name));
    Ok(api::DeleteServiceLinkedRoleResponse { deletion_task_id: Some(task) })
}

/// Says how a deletion went.
pub(crate) async fn get_service_linked_role_deletion_status(
    cx: &Cx,
    input: api::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<api::GetServiceLinkedRoleDeletionStatusResponse> {
    let task = input.deletion_task_id.unwrap_or_default();
    if cx.state.iam.role_deletions.get(&home(cx), &task).is_none() {
        // Text unverified.
        return Err(Error::NoSuchEntity(format!("Deletion task id {task} cannot be found.")));
    }
    Ok(api::GetServiceLinkedRoleDeletionStatusResponse {
        status: Some(api::DeletionTaskStatusType::Succeeded),
        reason: None,
    })
}
