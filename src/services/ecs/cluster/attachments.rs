//! What ECS attaches to a cluster: for its namespace, and for the capacity providers whose Auto Scaling group it manages.

use api::ecs as api;
use state::Cx;
use state::ecs::{CapacitySource, Cluster, ClusterAttachment, ClusterAttachmentKind};

use crate::capacity_provider::{self, Found};

/// The life cycle hook that ECS gives an Auto Scaling group whose instances it drains.
const DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";

/// Makes the attachments those that namespace and providers ask for. One that is there already stays as it is.
pub(crate) fn attach(cx: &Cx, cluster: &mut Cluster) {
    let mut known = std::mem::take(&mut cluster.attachments);
    let mut keep_or_make = |is_same: &dyn Fn(&ClusterAttachmentKind) -> bool,
                            make: &dyn Fn() -> ClusterAttachmentKind| {
        match known.iter().position(|attachment| is_same(&attachment.kind)) {
            Some(index) => known.swap_remove(index),
            None => ClusterAttachment { id: cx.ids.uuid(), kind: make() },
        }
    };
    let mut attachments = Vec::new();
    if cluster.service_connect_defaults.is_some() {
        let is_same = |kind: &ClusterAttachmentKind| *kind == ClusterAttachmentKind::ServiceConnect;
        attachments.push(keep_or_make(&is_same, &|| ClusterAttachmentKind::ServiceConnect));
    }
    for name in &cluster.capacity_providers {
        let Some(Found::Made(made)) = capacity_provider::find(cx, name) else { continue };
        let CapacitySource::AutoScalingGroup { is_scaling_managed, is_draining_managed, .. } = &made.source else {
            continue;
        };
        if *is_scaling_managed {
            let is_same = |kind: &ClusterAttachmentKind| matches!(kind, ClusterAttachmentKind::ScalingPolicy { provider, .. } if provider == name);
            let policy = || format!("ECSManagedAutoScalingPolicy-{}", cx.ids.uuid());
            let make = || ClusterAttachmentKind::ScalingPolicy { provider: name.clone(), policy: policy() };
            attachments.push(keep_or_make(&is_same, &make));
        }
        if *is_draining_managed {
            let wanted = ClusterAttachmentKind::ManagedDraining { provider: name.clone() };
            attachments.push(keep_or_make(&|kind| *kind == wanted, &|| wanted.clone()));
        }
    }
    cluster.attachments = attachments;
}

/// Where an attachment is in its life, as a response shows it.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// It is being made.
    Attaching,
    /// It is there.
    Attached,
    /// It is being taken away.
    Detaching,
}

/// Shapes an attachment. Types, names and the statuses of the stages of making and taking away were seen in answers of
/// AWS pasted in public repositories; CREATED is the documentation's example of DescribeClusters.
pub(super) fn view(attachment: &ClusterAttachment, stage: Stage) -> api::Attachment {
    let detail =
        |name: &str, value: &str| api::KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_owned()) };
    let (kind, details) = match &attachment.kind {
        ClusterAttachmentKind::ServiceConnect => ("sc", Vec::new()),
        ClusterAttachmentKind::ScalingPolicy { provider, policy } => {
            ("as_policy", vec![detail("capacityProviderName", provider), detail("scalingPolicyName", policy)])
        }
        ClusterAttachmentKind::ManagedDraining { provider } => (
            "managed_draining",
            vec![detail("capacityProviderName", provider), detail("autoScalingLifecycleHookName", DRAINING_HOOK)],
        ),
    };
    let status = match (stage, &attachment.kind) {
        (Stage::Attaching, ClusterAttachmentKind::ServiceConnect) => "ATTACHING",
        (Stage::Attached, ClusterAttachmentKind::ServiceConnect) => "ATTACHED",
        (Stage::Attaching, _) => "PRECREATED",
        (Stage::Attached, _) => "CREATED",
        (Stage::Detaching, _) => "DELETING",
    };
    api::Attachment {
        id: Some(attachment.id.clone()),
        r#type: Some(kind.to_owned()),
        status: Some(status.to_owned()),
        details: Some(details),
    }
}
