//! ListTasks.

use std::sync::Arc;

use api::ecs as api;
use base::{Page, TaskId};
use state::Cx;
use state::ecs::{Launch, Task, TaskKey};

use crate::{Result, cluster, container_instance, invalid, page, service};

const LISTING: &str = "ListTasks";

/// Lists the ARNs of a cluster's tasks: those that are to run, unless stopped ones are asked for.
pub(crate) async fn list_tasks(cx: &Cx, input: api::ListTasksRequest) -> Result<api::ListTasksResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    check_filters(&input)?;
    let instance = input.container_instance.as_deref().map(|named| container_instance::find(cx, &cluster, named));
    let instance = instance.transpose()?.map(|instance| instance.key.id.clone());
    let wants = |task: &Task| {
        let status = input.desired_status.as_ref().map_or("RUNNING", |status| status.as_str());
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
    };
    let after = TaskId::new(request.after.as_deref().unwrap_or_default());
    let id = |task: &Arc<Task>| task.key.id.to_string();
    let page = if let Some(name) = &input.service_name {
        let service = service::find(cx, &cluster, name)?;
        let tasks = cx.state.ecs.tasks_of_service(cx.scope(), &service.key, after).map(|(_, task)| task);
        Page::cut(LISTING, request.size, tasks.filter(|task| wants(task)), id)
    } else {
        let after = TaskKey { cluster: cluster.name.clone(), id: after };
        let tasks = cx.state.ecs.tasks.walk(cx.scope(), Some(after)).map(|(_, task)| task);
        let tasks = tasks.take_while(|task| task.key.cluster == cluster.name).filter(|task| wants(task));
        Page::cut(LISTING, request.size, tasks, id)
    };
    let arns = page.items.iter().map(|task| task.arn.to_string()).collect();
    Ok(api::ListTasksResponse { task_arns: Some(arns), next_token: page.next })
}

fn check_filters(input: &api::ListTasksRequest) -> Result<()> {
    let has_others = input.family.is_some() || input.launch_type.is_some() || input.container_instance.is_some();
    if input.started_by.is_some() && (has_others || input.desired_status.is_some()) {
        // The rule is ListTasks' documentation; text unverified.
        return Err(invalid("startedBy cannot be combined with other filters."));
    }
    Ok(())
}
