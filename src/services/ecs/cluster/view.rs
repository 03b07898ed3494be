//! A cluster as responses show it.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, ClusterAttachment, ClusterStatus, LaunchType};

use super::attachments::{self, Stage};
use crate::service::{self, Statistics};
use crate::{document, tags};

/// Which parts of a cluster a response shows.
#[derive(Clone, Copy)]
pub(super) struct Include {
    attachments: bool,
    configuration: bool,
    settings: bool,
    statistics: bool,
    tags: bool,
}

impl Include {
    const NONE: Self =
        Self { attachments: false, configuration: false, settings: false, statistics: false, tags: false };
    /// What the answer to a change shows.
    pub(super) const UPDATED: Self = Self { configuration: true, settings: true, ..Self::NONE };
    /// What the answer to CreateCluster shows.
    pub(super) const ALL: Self = Self { tags: true, ..Self::UPDATED };

    pub(super) fn of(fields: &[api::ClusterField]) -> Self {
        Self {
            attachments: fields.contains(&api::ClusterField::Attachments),
            configuration: fields.contains(&api::ClusterField::Configurations),
            settings: fields.contains(&api::ClusterField::Settings),
            statistics: fields.contains(&api::ClusterField::Statistics),
            tags: fields.contains(&api::ClusterField::Tags),
        }
    }
}

/// When the cluster is seen. ECS answers a change of providers while it is under way; here it is over at once, so only
/// that answer shows it.
pub(super) enum Moment {
    /// Nothing is under way.
    AtRest,
    /// It has just been made.
    Made,
    /// Its providers or its namespace have just been changed.
    Changed {
        /// What is being taken away.
        gone: Vec<ClusterAttachment>,
    },
    /// It has just been deleted.
    Deleted {
        /// What is being taken away.
        gone: Vec<ClusterAttachment>,
    },
}

/// Shapes a cluster.
pub(super) fn cluster(cx: &Cx, cluster: &Cluster, include: Include, moment: Moment) -> api::Cluster {
    let (running, pending) = cx.state.ecs.count_tasks(cx.scope(), &cluster.name);
    let services = service::statistics(cx, &cluster.name);
    let strategy = cluster.default_capacity_provider_strategy.as_ref().map(document::read_list).unwrap_or_default();
    let settings = cluster.settings.as_ref().filter(|_| include.settings).map(document::read_list);
    let (attachments, attachments_status) = attachments_of(cluster, include, &moment);
    api::Cluster {
        cluster_arn: Some(cluster.arn.to_string()),
        cluster_name: Some(cluster.name.to_string()),
        configuration: cluster.configuration.as_ref().filter(|_| include.configuration).map(document::read),
        status: Some(status(cluster, &moment).to_owned()),
        registered_container_instances_count: Some(cx.state.ecs.count_container_instances(cx.scope(), &cluster.name)),
        running_tasks_count: Some(running),
        pending_tasks_count: Some(pending),
        active_services_count: Some(services.active),
        statistics: Some(if include.statistics { statistics(cx, cluster, &services) } else { Vec::new() }),
        tags: Some(if include.tags { tags::view(&cluster.tags) } else { Vec::new() }),
        settings: Some(settings.unwrap_or_default()),
        capacity_providers: Some(cluster.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(strategy),
        attachments,
        attachments_status,
        service_connect_defaults: cluster.service_connect_defaults.as_ref().map(document::read),
    }
}

/// Whether the cluster has, or has use for, things that ECS attaches.
fn is_attachable(cluster: &Cluster) -> bool {
    !cluster.capacity_providers.is_empty() || cluster.service_connect_defaults.is_some()
}

/// PROVISIONING and DEPROVISIONING were seen in the answers of CreateCluster and DeleteCluster alone, and only where
/// there is something to attach: PutClusterCapacityProviders answers ACTIVE.
fn status(cluster: &Cluster, moment: &Moment) -> &'static str {
    match (cluster.status, moment) {
        (ClusterStatus::Active, Moment::Made) if is_attachable(cluster) => "PROVISIONING",
        (ClusterStatus::Inactive, Moment::Deleted { .. }) if is_attachable(cluster) => "DEPROVISIONING",
        (ClusterStatus::Active, _) => "ACTIVE",
        (ClusterStatus::Inactive, _) => "INACTIVE",
    }
}

/// Shapes the attachments and their common status; both are absent unless asked for or under way.
fn attachments_of(
    cluster: &Cluster,
    include: Include,
    moment: &Moment,
) -> (Option<Vec<api::Attachment>>, Option<String>) {
    let all = |stage| cluster.attachments.iter().map(|each| attachments::view(each, stage)).collect::<Vec<_>>();
    let status = |is_over: bool| Some(if is_over { "UPDATE_COMPLETE" } else { "UPDATE_IN_PROGRESS" }.to_owned());
    let leaving = |gone: &[ClusterAttachment]| {
        gone.iter().map(|each| attachments::view(each, Stage::Detaching)).collect::<Vec<_>>()
    };
    match moment {
        Moment::AtRest if include.attachments => {
            (Some(all(Stage::Attached)), if is_attachable(cluster) { status(true) } else { None })
        }
        Moment::AtRest => (None, None),
        // With Fargate's providers alone there is a status, and no list: seen.
        Moment::Made if is_attachable(cluster) => {
            (Some(all(Stage::Attaching)).filter(|all| !all.is_empty()), status(false))
        }
        Moment::Deleted { gone } if is_attachable(cluster) => (Some(leaving(gone)), status(false)),
        Moment::Made | Moment::Deleted { .. } => (None, None),
        Moment::Changed { gone } => {
            let mut all = all(Stage::Attaching);
            all.extend(leaving(gone));
            (Some(all), status(false))
        }
    }
}

/// Counts by launch type.
fn statistics(cx: &Cx, cluster: &Cluster, services: &Statistics) -> Vec<api::KeyValuePair> {
    let count = |launch_type| cx.state.ecs.count_tasks_by(cx.scope(), &cluster.name, launch_type);
    let (ec2, fargate, external) = (count(LaunchType::Ec2), count(LaunchType::Fargate), count(LaunchType::External));
    let counts = [
        ("runningEC2TasksCount", ec2.0),
        ("runningFargateTasksCount", fargate.0),
        ("pendingEC2TasksCount", ec2.1),
        ("pendingFargateTasksCount", fargate.1),
        ("runningExternalTasksCount", external.0),
        ("pendingExternalTasksCount", external.1),
    ];
    let pair =
        |(name, count): (&str, i32)| api::KeyValuePair { name: Some(name.to_owned()), value: Some(count.to_string()) };
    counts.into_iter().chain(services.by_launch_type).map(pair).collect()
}
