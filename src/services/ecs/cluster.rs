//! Clusters.

use std::sync::Arc;

use api::ecs as api;
use base::{Arn, Page};
use state::ecs::{Cluster, ClusterName, ClusterStatus};
use state::{Cx, Table};

use crate::{Error, Result, document, invalid, page, required, tags};

/// How many clusters one DescribeClusters may name.
const DESCRIBE_MAX: usize = 100;
/// The capacity providers that every account has.
const BUILT_IN_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];
const LISTING: &str = "ListClusters";

/// Makes a cluster. One of that name which is active is returned as it is.
pub(crate) async fn create_cluster(cx: &Cx, input: api::CreateClusterRequest) -> Result<api::CreateClusterResponse> {
    let name = match &input.cluster_name {
        None => ClusterName::default_cluster(),
        // The text, doubled backslashes included, is what a real account returned: PF.
        Some(name) => {
            ClusterName::parse(name).ok_or_else(|| invalid(r"ClusterName must match ^[a-zA-Z0-9\\-_]{1,255}$"))?
        }
    };
    let cluster = new_cluster(cx, name, input)?;
    let clusters = &cx.state.ecs.clusters;
    let name = cluster.name.clone();
    let (mut known, is_new) = clusters.get_or_insert_with(cx.scope(), &name, || cluster.clone());
    if !is_new && known.status == ClusterStatus::Inactive {
        let revive = |row: &mut Cluster| {
            if row.status == ClusterStatus::Inactive {
                *row = cluster;
            }
        };
        known = clusters.update(cx.scope(), &name, revive).unwrap_or(known);
    }
    Ok(api::CreateClusterResponse { cluster: Some(view(cx, &known, Include::ALL)) })
}

/// Describes clusters by name or ARN; without any, the one called `default`.
pub(crate) async fn describe_clusters(
    cx: &Cx,
    input: api::DescribeClustersRequest,
) -> Result<api::DescribeClustersResponse> {
    let include = Include::of(input.include.as_deref().unwrap_or_default());
    let mut wanted = input.clusters.unwrap_or_default();
    if wanted.is_empty() {
        wanted.push("default".to_owned());
    }
    if wanted.len() > DESCRIBE_MAX {
        return Err(invalid(format!("Clusters cannot have more than {DESCRIBE_MAX} elements.")));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for reference in wanted {
        let name = parse_reference(cx, &reference)?;
        match name.as_ref().and_then(|name| cx.state.ecs.clusters.get(cx.scope(), name)) {
            Some(cluster) => clusters.push(view(cx, &cluster, include)),
            None => failures.push(missing(cx, &reference)),
        }
    }
    Ok(api::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// Lists the ARNs of active clusters, sorted by name.
pub(crate) async fn list_clusters(cx: &Cx, input: api::ListClustersRequest) -> Result<api::ListClustersResponse> {
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let after = request.after.as_deref().and_then(ClusterName::parse);
    let clusters = cx.state.ecs.clusters.walk(cx.scope(), after).map(|(_, cluster)| cluster);
    let active = clusters.filter(|cluster| cluster.status == ClusterStatus::Active);
    let page = Page::cut(LISTING, request.size, active, |cluster| cluster.name.to_string());
    let arns = page.items.iter().map(|cluster| cluster.arn.to_string()).collect();
    Ok(api::ListClustersResponse { cluster_arns: Some(arns), next_token: page.next })
}

/// Deletes a cluster that nothing runs in. It can still be described, as INACTIVE.
pub(crate) async fn delete_cluster(cx: &Cx, input: api::DeleteClusterRequest) -> Result<api::DeleteClusterResponse> {
    let cluster = find(cx, Some(&required(input.cluster, "cluster")?))?;
    // DescribeTasks still shows stopped tasks of the cluster; only live ones keep it.
    let is_live = |task: &state::ecs::Task| task.last_status != state::ecs::TaskStatus::Stopped;
    if cx.state.ecs.tasks_of(cx.scope(), &cluster.name).any(|task| is_live(&task)) {
        let message = "The Cluster cannot be deleted while Tasks are active.";
        return Err(Error::ClusterContainsTasks(message.to_owned()));
    }
    let deleted = cx.state.ecs.clusters.update(cx.scope(), &cluster.name, |row| row.status = ClusterStatus::Inactive);
    let deleted = deleted.ok_or_else(not_found)?;
    Ok(api::DeleteClusterResponse { cluster: Some(view(cx, &deleted, Include::NONE)) })
}

/// Finds the active cluster that a request names, by name or ARN; none means `default`.
pub(crate) fn find(cx: &Cx, reference: Option<&str>) -> Result<Arc<Cluster>> {
    let name = match reference {
        None | Some("") => Some(ClusterName::default_cluster()),
        Some(reference) => parse_reference(cx, reference)?,
    };
    let clusters: &Table<_, _> = &cx.state.ecs.clusters;
    let cluster = name.and_then(|name| clusters.get(cx.scope(), &name)).ok_or_else(not_found)?;
    match cluster.status {
        ClusterStatus::Active => Ok(cluster),
        ClusterStatus::Inactive => Err(Error::ClusterNotFound("The referenced cluster was inactive.".to_owned())),
    }
}

/// Reads a name or an ARN of this account. None means that no cluster can be meant.
fn parse_reference(cx: &Cx, reference: &str) -> Result<Option<ClusterName>> {
    if !reference.starts_with("arn:") {
        return Ok(ClusterName::parse(reference));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let is_here = arn.service() == "ecs" && arn.region().as_ref() == Some(&cx.scope().region);
    Ok(arn.resource_of("cluster").filter(|_| is_here).and_then(ClusterName::parse))
}

fn not_found() -> Error {
    Error::ClusterNotFound("Cluster not found.".to_owned())
}

/// The failure of a cluster that does not exist. It bears the full ARN even where a name was given.
fn missing(cx: &Cx, reference: &str) -> api::Failure {
    let arn = match Arn::parse(reference) {
        Some(arn) => arn,
        None => Arn::new("ecs", cx.scope(), &format!("cluster/{reference}")),
    };
    api::Failure { arn: Some(arn.to_string()), reason: Some("MISSING".to_owned()), detail: None }
}

fn new_cluster(cx: &Cx, name: ClusterName, input: api::CreateClusterRequest) -> Result<Cluster> {
    let providers = input.capacity_providers.unwrap_or_default();
    if let Some(unknown) = providers.iter().find(|name| !BUILT_IN_PROVIDERS.contains(&name.as_str())) {
        // Text unverified.
        return Err(invalid(format!(
            "The specified capacity provider '{unknown}' was not found. Specify a valid name or ARN and try again."
        )));
    }
    let strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    let is_associated = |item: &api::CapacityProviderStrategyItem| {
        item.capacity_provider.as_ref().is_some_and(|name| providers.contains(name))
    };
    if !strategy.iter().all(is_associated) {
        return Err(invalid(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with \
             the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and \
             try again.",
        ));
    }
    let namespace = input.service_connect_defaults.and_then(|defaults| defaults.namespace);
    let defaults = namespace.map(|namespace| api::ClusterServiceConnectDefaults { namespace: Some(namespace) });
    Ok(Cluster {
        settings: Some(document::write(&settings(input.settings.unwrap_or_default())?)),
        configuration: input.configuration.as_ref().map(|configuration| document::write(configuration)),
        service_connect_defaults: defaults.as_ref().map(|defaults| document::write(defaults)),
        capacity_providers: providers,
        default_capacity_provider_strategy: (!strategy.is_empty()).then(|| document::write(&strategy)),
        ..Cluster::new(cx.scope(), name, cx.now(), tags::parse(input.tags)?)
    })
}

/// Completes settings: `containerInsights` is disabled unless it was given.
fn settings(mut settings: Vec<api::ClusterSetting>) -> Result<Vec<api::ClusterSetting>> {
    const VALUES: [&str; 3] = ["enabled", "enhanced", "disabled"];
    for setting in &settings {
        let value = setting.value.as_deref().unwrap_or_default();
        if !VALUES.contains(&value) {
            // Text unverified.
            return Err(invalid(format!("Invalid cluster setting value: {value}")));
        }
    }
    if settings.is_empty() {
        settings.push(api::ClusterSetting {
            name: Some(api::ClusterSettingName::ContainerInsights),
            value: Some("disabled".to_owned()),
        });
    }
    Ok(settings)
}

/// Which parts of a cluster a response shows.
#[derive(Clone, Copy)]
struct Include {
    configuration: bool,
    settings: bool,
    statistics: bool,
    tags: bool,
}

impl Include {
    const NONE: Self = Self { configuration: false, settings: false, statistics: false, tags: false };
    const ALL: Self = Self { configuration: true, settings: true, statistics: false, tags: true };

    fn of(fields: &[api::ClusterField]) -> Self {
        Self {
            configuration: fields.contains(&api::ClusterField::Configurations),
            settings: fields.contains(&api::ClusterField::Settings),
            statistics: fields.contains(&api::ClusterField::Statistics),
            tags: fields.contains(&api::ClusterField::Tags),
        }
    }
}

fn view(cx: &Cx, cluster: &Cluster, include: Include) -> api::Cluster {
    let (running, pending) = cx.state.ecs.count_tasks(cx.scope(), &cluster.name);
    let status = match cluster.status {
        ClusterStatus::Active => "ACTIVE",
        ClusterStatus::Inactive => "INACTIVE",
    };
    let strategy = cluster.default_capacity_provider_strategy.as_ref().map(document::read_list).unwrap_or_default();
    let settings = cluster.settings.as_ref().filter(|_| include.settings).map(document::read_list);
    api::Cluster {
        cluster_arn: Some(cluster.arn.to_string()),
        cluster_name: Some(cluster.name.to_string()),
        configuration: cluster.configuration.as_ref().filter(|_| include.configuration).map(document::read),
        status: Some(status.to_owned()),
        registered_container_instances_count: Some(0),
        running_tasks_count: Some(running),
        pending_tasks_count: Some(pending),
        active_services_count: Some(0),
        statistics: Some(if include.statistics { statistics(running, pending) } else { Vec::new() }),
        tags: Some(if include.tags { tags::view(&cluster.tags) } else { Vec::new() }),
        settings: Some(settings.unwrap_or_default()),
        capacity_providers: Some(cluster.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(strategy),
        attachments: None,
        attachments_status: None,
        service_connect_defaults: cluster.service_connect_defaults.as_ref().map(document::read),
    }
}

/// Counts by launch type. Everything runs on Fargate so far.
fn statistics(running: i32, pending: i32) -> Vec<api::KeyValuePair> {
    let counts = [
        ("runningEC2TasksCount", 0),
        ("runningFargateTasksCount", running),
        ("pendingEC2TasksCount", 0),
        ("pendingFargateTasksCount", pending),
        ("runningExternalTasksCount", 0),
        ("pendingExternalTasksCount", 0),
        ("activeEC2ServiceCount", 0),
        ("drainingEC2ServiceCount", 0),
        ("activeFargateServiceCount", 0),
        ("drainingFargateServiceCount", 0),
        ("activeExternalServiceCount", 0),
        ("drainingExternalServiceCount", 0),
    ];
    let pair =
        |(name, count): (&str, i32)| api::KeyValuePair { name: Some(name.to_owned()), value: Some(count.to_string()) };
    counts.into_iter().map(pair).collect()
}
