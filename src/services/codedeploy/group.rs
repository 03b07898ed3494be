//! Deployment groups.

use std::sync::Arc;

use api::codedeploy as api;
use base::Page;
use state::Cx;
use state::codedeploy::{Application, Deployment, DeploymentGroup, DeploymentGroupKey, DeploymentStatus};
use state::ecs::ServiceKey;

use crate::deployment_view::status_of;
use crate::{Error, PAGE_SIZE, Result, application, check_batch, document, given, page_after, settings, tag};

const LISTING: &str = "ListDeploymentGroups";

/// Makes a deployment group.
pub(crate) async fn create_deployment_group(
    cx: &Cx,
    input: api::CreateDeploymentGroupInput,
) -> Result<api::CreateDeploymentGroupOutput> {
    let application = application::find(cx, input.application_name)?;
    let name = name(input.deployment_group_name)?;
    let tags = tag::read(input.tags)?;
    let mut info = api::DeploymentGroupInfo {
        application_name: Some(application.name.clone()),
        deployment_group_id: Some(cx.ids.uuid()),
        deployment_group_name: Some(name.clone()),
        deployment_config_name: given(input.deployment_config_name),
        ec2_tag_filters: input.ec2_tag_filters,
        on_premises_instance_tag_filters: input.on_premises_instance_tag_filters,
        auto_scaling_groups: input.auto_scaling_groups.map(named),
        service_role_arn: input.service_role_arn,
        trigger_configurations: Some(input.trigger_configurations.unwrap_or_default()),
        alarm_configuration: input.alarm_configuration,
        auto_rollback_configuration: input.auto_rollback_configuration,
        deployment_style: input.deployment_style,
        outdated_instances_strategy: input.outdated_instances_strategy,
        blue_green_deployment_configuration: input.blue_green_deployment_configuration,
        load_balancer_info: input.load_balancer_info,
        ec2_tag_set: input.ec2_tag_set,
        on_premises_tag_set: input.on_premises_tag_set,
        compute_platform: Some(api::ComputePlatform::Ecs),
        ecs_services: input.ecs_services,
        termination_hook_enabled: input.termination_hook_enabled,
        ..api::DeploymentGroupInfo::default()
    };
    let key = DeploymentGroupKey { application: application.name.clone(), name: name.clone() };
    check_free(cx, &key)?;
    let settings = settings::read(cx, &mut info)?;
    check_service_free(cx, &settings.service, &key)?;
    let id = info.deployment_group_id.clone().unwrap_or_default();
    let make = || DeploymentGroup { key: key.clone(), id, settings, document: document::write(&info), tags };
    let (group, is_new) = cx.state.codedeploy.groups.get_or_insert_with(cx.scope(), &key, make);
    if !is_new {
        return Err(taken(&key));
    }
    Ok(api::CreateDeploymentGroupOutput { deployment_group_id: Some(group.id.clone()) })
}

/// Changes what a group says; what a request leaves out stays.
pub(crate) async fn update_deployment_group(
    cx: &Cx,
    input: api::UpdateDeploymentGroupInput,
) -> Result<api::UpdateDeploymentGroupOutput> {
    let application = application::find(cx, input.application_name)?;
    let known = find(cx, &application, input.current_deployment_group_name)?;
    let mut info = document::read::<api::DeploymentGroupInfo>(&known.document);
    let new_name = given(input.new_deployment_group_name).map(|name| self::name(Some(name))).transpose()?;
    if let Some(new_name) = &new_name {
        info.deployment_group_name = Some(new_name.clone());
    }
    replace(&mut info.deployment_config_name, given(input.deployment_config_name));
    replace(&mut info.ec2_tag_filters, input.ec2_tag_filters);
    replace(&mut info.auto_scaling_groups, input.auto_scaling_groups.map(named));
    replace(&mut info.service_role_arn, input.service_role_arn);
    replace(&mut info.trigger_configurations, input.trigger_configurations);
    replace(&mut info.alarm_configuration, input.alarm_configuration);
    replace(&mut info.auto_rollback_configuration, input.auto_rollback_configuration);
    replace(&mut info.deployment_style, input.deployment_style);
    replace(&mut info.outdated_instances_strategy, input.outdated_instances_strategy);
    replace(&mut info.blue_green_deployment_configuration, input.blue_green_deployment_configuration);
    replace(&mut info.load_balancer_info, input.load_balancer_info);
    replace(&mut info.ecs_services, input.ecs_services);
    replace(&mut info.termination_hook_enabled, input.termination_hook_enabled);
    let settings = settings::read(cx, &mut info)?;
    check_service_free(cx, &settings.service, &known.key)?;
    let key = DeploymentGroupKey {
        application: application.name.clone(),
        name: new_name.unwrap_or_else(|| known.key.name.clone()),
    };
    let groups = &cx.state.codedeploy.groups;
    if key != known.key {
        check_free(cx, &key)?;
    }
    let changed = DeploymentGroup { key: key.clone(), settings, document: document::write(&info), ..(*known).clone() };
    groups.insert(cx.scope(), &key, changed);
    if key != known.key {
        groups.remove(cx.scope(), &known.key);
    }
    Ok(api::UpdateDeploymentGroupOutput { hooks_not_cleaned_up: Some(Vec::new()) })
}

/// Shows a group.
pub(crate) async fn get_deployment_group(
    cx: &Cx,
    input: api::GetDeploymentGroupInput,
) -> Result<api::GetDeploymentGroupOutput> {
    let application = application::find(cx, input.application_name)?;
    let group = find(cx, &application, input.deployment_group_name)?;
    Ok(api::GetDeploymentGroupOutput { deployment_group_info: Some(view(cx, &group)) })
}

/// Shows groups; unknown ones are told in a message.
pub(crate) async fn batch_get_deployment_groups(
    cx: &Cx,
    input: api::BatchGetDeploymentGroupsInput,
) -> Result<api::BatchGetDeploymentGroupsOutput> {
    let application = application::find(cx, input.application_name)?;
    let names = input.deployment_group_names.unwrap_or_default();
    check_batch(&names)?;
    let (mut groups, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match find(cx, &application, Some(name.clone())) {
            Ok(group) => groups.push(view(cx, &group)),
            Err(_) => missing.push(name),
        }
    }
    // Text unverified.
    let message = (!missing.is_empty()).then(|| format!("No deployment groups found: {}", missing.join(", ")));
    Ok(api::BatchGetDeploymentGroupsOutput { deployment_groups_info: Some(groups), error_message: message })
}

/// Lists the names of an application's groups.
pub(crate) async fn list_deployment_groups(
    cx: &Cx,
    input: api::ListDeploymentGroupsInput,
) -> Result<api::ListDeploymentGroupsOutput> {
    let application = application::find(cx, input.application_name)?;
    let after = page_after(LISTING, input.next_token)?;
    let names = cx.state.codedeploy.groups_of(cx.scope(), &application.name).map(|group| group.key.name.clone());
    let rest = names.filter(|name| after.as_ref().is_none_or(|after| name > after));
    let page = Page::cut(LISTING, PAGE_SIZE, rest, Clone::clone);
    Ok(api::ListDeploymentGroupsOutput {
        application_name: Some(application.name.clone()),
        deployment_groups: Some(page.items),
        next_token: page.next,
    })
}

/// Deletes a group. One that is not there is deleted already.
pub(crate) async fn delete_deployment_group(
    cx: &Cx,
    input: api::DeleteDeploymentGroupInput,
) -> Result<api::DeleteDeploymentGroupOutput> {
    let application = application::find(cx, input.application_name)?;
    let key = DeploymentGroupKey { application: application.name.clone(), name: name(input.deployment_group_name)? };
    cx.state.codedeploy.groups.remove(cx.scope(), &key);
    Ok(api::DeleteDeploymentGroupOutput { hooks_not_cleaned_up: Some(Vec::new()) })
}

/// Finds a group of an application.
pub(crate) fn find(cx: &Cx, application: &Application, group: Option<String>) -> Result<Arc<DeploymentGroup>> {
    let key = DeploymentGroupKey { application: application.name.clone(), name: name(group)? };
    let found = cx.state.codedeploy.groups.get(cx.scope(), &key);
    // Seen: terraform-provider-aws#17431.
    let missing = || format!("No Deployment Group found for name: {}", key.name);
    found.ok_or_else(|| Error::DeploymentGroupDoesNotExist(missing()))
}

/// Reads the name of a group. (Texts unverified.)
fn name(name: Option<String>) -> Result<String> {
    let required = || Error::DeploymentGroupNameRequired("The deployment group name is required.".to_owned());
    let name = given(name).ok_or_else(required)?;
    if !application::is_name(&name) {
        return Err(Error::InvalidDeploymentGroupName(format!("The deployment group name {name} is invalid.")));
    }
    Ok(name)
}

/// Refuses a service that another group deploys. (The rule is the error's documentation; text unverified.)
fn check_service_free(cx: &Cx, service: &ServiceKey, own: &DeploymentGroupKey) -> Result<()> {
    let mut groups = cx.state.codedeploy.groups.walk(cx.scope(), None);
    match groups.find(|(key, group)| key != own && group.settings.service == *service) {
        None => Ok(()),
        Some((key, _)) => Err(Error::ECSServiceMappingLimitExceeded(format!(
            "The ECS service {} of the cluster {} is associated with the deployment group {} already.",
            service.name, service.cluster, key.name
        ))),
    }
}

fn check_free(cx: &Cx, key: &DeploymentGroupKey) -> Result<()> {
    match cx.state.codedeploy.groups.get(cx.scope(), key) {
        Some(_) => Err(taken(key)),
        None => Ok(()),
    }
}

/// Text unverified.
fn taken(key: &DeploymentGroupKey) -> Error {
    Error::DeploymentGroupAlreadyExists(format!("Deployment group already exists: {}", key.name))
}

fn named(names: Vec<String>) -> Vec<api::AutoScalingGroup> {
    let group = |name| api::AutoScalingGroup { name: Some(name), hook: None, termination_hook: None };
    names.into_iter().map(group).collect()
}

fn replace<T>(known: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *known = new;
    }
}

fn view(cx: &Cx, group: &DeploymentGroup) -> api::DeploymentGroupInfo {
    let deployments = cx.state.codedeploy.deployments_of(cx.scope(), &group.key);
    let last = |deployment: &Arc<Deployment>| api::LastDeploymentInfo {
        deployment_id: Some(deployment.id.clone()),
        status: Some(status_of(deployment.observed.status)),
        end_time: deployment.observed.completed_at.map(Into::into),
        create_time: Some(deployment.created_at.into()),
    };
    let successful = deployments.iter().find(|deployment| deployment.observed.status == DeploymentStatus::Succeeded);
    let revision = successful.and_then(|deployment| deployment.revision.as_ref());
    api::DeploymentGroupInfo {
        application_name: Some(group.key.application.clone()),
        target_revision: revision.map(document::read),
        last_successful_deployment: successful.map(last),
        last_attempted_deployment: deployments.first().map(last),
        ..document::read(&group.document)
    }
}
