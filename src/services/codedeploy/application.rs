//! Applications.

use std::sync::Arc;

use api::codedeploy as api;
use base::Page;
use state::Cx;
use state::codedeploy::{Application, DeploymentGroupKey, RevisionKey};

use crate::{Error, PAGE_SIZE, Result, check_batch, given, not_here, page_after, tag};

/// The longest name of an application or group. (Model.)
const NAME_CHARS_MAX: usize = 100;
const LISTING: &str = "ListApplications";

/// Makes an application.
pub(crate) async fn create_application(
    cx: &Cx,
    input: api::CreateApplicationInput,
) -> Result<api::CreateApplicationOutput> {
    let name = name(input.application_name)?;
    if input.compute_platform != Some(api::ComputePlatform::Ecs) {
        return Err(not_here("applications for servers and Lambda functions"));
    }
    let tags = tag::read(input.tags)?;
    let make = || Application { id: cx.ids.uuid(), name: name.clone(), created_at: cx.now(), tags };
    let (application, is_new) = cx.state.codedeploy.applications.get_or_insert_with(cx.scope(), &name, make);
    if !is_new {
        // Seen: terraform-provider-aws#2020.
        return Err(Error::ApplicationAlreadyExists(format!("Application already exists: {name}")));
    }
    Ok(api::CreateApplicationOutput { application_id: Some(application.id.clone()) })
}

/// Shows an application.
pub(crate) async fn get_application(cx: &Cx, input: api::GetApplicationInput) -> Result<api::GetApplicationOutput> {
    let application = find(cx, input.application_name)?;
    Ok(api::GetApplicationOutput { application: Some(view(&application)) })
}

/// Shows applications; unknown ones are an error.
pub(crate) async fn batch_get_applications(
    cx: &Cx,
    input: api::BatchGetApplicationsInput,
) -> Result<api::BatchGetApplicationsOutput> {
    let names = input.application_names.unwrap_or_default();
    check_batch(&names)?;
    let applications = names.into_iter().map(|name| find(cx, Some(name)).map(|application| view(&application)));
    Ok(api::BatchGetApplicationsOutput { applications_info: Some(applications.collect::<Result<_>>()?) })
}

/// Lists the names of applications.
pub(crate) async fn list_applications(
    cx: &Cx,
    input: api::ListApplicationsInput,
) -> Result<api::ListApplicationsOutput> {
    let after = page_after(LISTING, input.next_token)?;
    let names = cx.state.codedeploy.applications.walk(cx.scope(), after).map(|(name, _)| name);
    let page = Page::cut(LISTING, PAGE_SIZE, names, Clone::clone);
    Ok(api::ListApplicationsOutput { applications: Some(page.items), next_token: page.next })
}

/// Renames an application, with its groups and revisions.
pub(crate) async fn update_application(cx: &Cx, input: api::UpdateApplicationInput) -> Result<()> {
    let known = find(cx, input.application_name)?;
    let Some(new_name) = input.new_application_name else { return Ok(()) };
    let new_name = name(Some(new_name))?;
    if new_name == known.name {
        return Ok(());
    }
    let deploy = &cx.state.codedeploy;
    let make = || Application { name: new_name.clone(), ..(*known).clone() };
    let (_, is_new) = deploy.applications.get_or_insert_with(cx.scope(), &new_name, make);
    if !is_new {
        return Err(Error::ApplicationAlreadyExists(format!("Application already exists: {new_name}")));
    }
    for group in deploy.groups_of(cx.scope(), &known.name).collect::<Vec<_>>() {
        let key = DeploymentGroupKey { application: new_name.clone(), name: group.key.name.clone() };
        let mut moved = (*group).clone();
        moved.key = key.clone();
        deploy.groups.insert(cx.scope(), &key, moved);
        deploy.groups.remove(cx.scope(), &group.key);
    }
    for (key, revision) in deploy.revisions_of(cx.scope(), &known.name).collect::<Vec<_>>() {
        let moved = RevisionKey { application: new_name.clone(), digest: key.digest.clone() };
        deploy.revisions.insert(cx.scope(), &moved, (*revision).clone());
        deploy.revisions.remove(cx.scope(), &key);
    }
    deploy.applications.remove(cx.scope(), &known.name);
    Ok(())
}

/// Deletes an application with its groups and revisions. One that is not there is deleted already.
pub(crate) async fn delete_application(cx: &Cx, input: api::DeleteApplicationInput) -> Result<()> {
    let name = name(input.application_name)?;
    let deploy = &cx.state.codedeploy;
    for group in deploy.groups_of(cx.scope(), &name).collect::<Vec<_>>() {
        deploy.groups.remove(cx.scope(), &group.key);
    }
    for (key, _) in deploy.revisions_of(cx.scope(), &name).collect::<Vec<_>>() {
        deploy.revisions.remove(cx.scope(), &key);
    }
    deploy.applications.remove(cx.scope(), &name);
    Ok(())
}

/// Finds an application.
pub(crate) fn find(cx: &Cx, application_name: Option<String>) -> Result<Arc<Application>> {
    let name = name(application_name)?;
    let found = cx.state.codedeploy.applications.get(cx.scope(), &name);
    // Seen: terraform-provider-aws#1022.
    found.ok_or_else(|| Error::ApplicationDoesNotExist(format!("No application found for name: {name}")))
}

/// Reads the name of an application. (Texts unverified.)
fn name(name: Option<String>) -> Result<String> {
    let required = || Error::ApplicationNameRequired("The application name is required.".to_owned());
    let name = given(name).ok_or_else(required)?;
    if !is_name(&name) {
        return Err(Error::InvalidApplicationName(format!("The application name {name} is invalid.")));
    }
    Ok(name)
}

/// Tells whether a text can be a name.
pub(crate) fn is_name(text: &str) -> bool {
    text.chars().count() <= NAME_CHARS_MAX
        && text.chars().all(|sign| sign.is_ascii_alphanumeric() || "+=,.@_-".contains(sign))
}

fn view(application: &Application) -> api::ApplicationInfo {
    api::ApplicationInfo {
        application_id: Some(application.id.clone()),
        application_name: Some(application.name.clone()),
        create_time: Some(application.created_at.into()),
        linked_to_git_hub: Some(false),
        git_hub_account_name: None,
        compute_platform: Some(api::ComputePlatform::Ecs),
    }
}
