//! ListTasks.

use std::ops::Bound;
use std::sync::Arc;

use api::ecs as api;
use base::{ContainerInstanceId, Page, TaskId};
use state::Cx;
use state::ecs::{Launch, Service, ServiceTaskKey, Task, TaskFilter, TaskKey};

use crate::{Result, cluster, container_instance, invalid, page, service};

const LISTING: &str = "ListTasks";

/// Lists the ARNs of a cluster's tasks: those that are to run, unless stopped ones are asked for.
pub(crate) async fn list_tasks(cx: &Cx, input: api::ListTasksRequest) -> Result<api::ListTasksResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    check_filters(&input)?;
    let instance = input.container_instance.as_deref().map(|named| container_instance::find(cx, &cluster, named));
    let instance = instance.transpose()?.map(|instance| instance.key.id.clone());
    let status = input.desired_status.as_ref().map_or("RUNNING", |status| status.as_str());
    let service = input.service_name.as_deref().map(|named| service::find(cx, &cluster, named)).transpose()?;
    let wants = |task: &Task| {
        let is_member = |service: &Arc<Service>| {
            let member = ServiceTaskKey { service: service.key.clone(), task: task.key.id.clone() };
            cx.state.ecs.service_tasks.get(cx.scope(), &member).is_some()
        };
        let launch_type = match task.launch {
            Launch::Fargate { .. } => api::LaunchType::Fargate,
            Launch::Ec2 { .. } => api::LaunchType::Ec2,
            Launch::External { .. } => api::LaunchType::External,
        };
        task.desired_status() == status
            && input.family.as_deref().is_none_or(|family| task.definition.family.as_str() == family)
            && input.started_by.as_deref().is_none_or(|by| task.started_by.as_deref() == Some(by))
            && input.launch_type.as_ref().is_none_or(|wanted| *wanted == launch_type)
            && instance.as_ref().is_none_or(|wanted| task.launch.container_instance() == Some(wanted))
            && service.as_ref().is_none_or(is_member)
    };
    let group = service.as_ref().map(|service| service.group());
    let label = filter(&input, instance.as_ref(), group.as_deref()).label(status);
    let after = TaskId::new(request.after.as_deref().unwrap_or_default());
    let start = Bound::Excluded(TaskKey { cluster: cluster.name.clone(), id: after });
    let tasks = cx.state.ecs.tasks.walk_between(cx.scope(), Some(label), (start, Bound::Unbounded));
    let tasks = tasks.map(|(_, task)| task).take_while(|task| task.key.cluster == cluster.name);
    let found = tasks.filter(|task| wants(task));
    let page = Page::cut(LISTING, request.size, found, |task| task.key.id.to_string());
    let arns = page.items.iter().map(|task| task.arn.to_string()).collect();
    Ok(api::ListTasksResponse { task_arns: Some(arns), next_token: page.next })
}

/// Chooses by which filter the tasks are looked up: the one that most likely leaves the fewest.
fn filter<'a>(
    input: &'a api::ListTasksRequest,
    instance: Option<&'a ContainerInstanceId>,
    group: Option<&'a str>,
) -> TaskFilter<'a> {
    let by_launch_type = input.launch_type.as_ref().and_then(service::wanted_launch_type);
    let filters = [
        instance.map(TaskFilter::ContainerInstance),
        group.map(TaskFilter::Group),
        input.started_by.as_deref().map(TaskFilter::StartedBy),
        input.family.as_deref().map(TaskFilter::Family),
        by_launch_type.map(TaskFilter::LaunchType),
    ];
    filters.into_iter().flatten().next().unwrap_or(TaskFilter::None)
}

fn check_filters(input: &api::ListTasksRequest) -> Result<()> {
    let has_others = input.family.is_some() || input.launch_type.is_some() || input.container_instance.is_some();
    if input.started_by.is_some() && (has_others || input.desired_status.is_some()) {
        // The rule is ListTasks' documentation; text unverified.
        return Err(invalid("startedBy cannot be combined with other filters."));
    }
    Ok(())
}
