//! AWS CodeDeploy: its operations for ECS services.
//!
//! Applications, deployment groups, configurations and revisions are records; a deployment is a record that a controller walks
//! through its stages. Only the ECS compute platform is here. Where AWS's wording of an error was not seen, the file says
//! so.

mod application;
mod config;
mod deployment;
mod deployment_view;
mod group;
mod hook;
mod revision;
mod settings;
mod tag;
mod target;
mod violation;

use state::Cx;
use wire::{ApiError, document};

/// What a handler fails with.
type Error = api::codedeploy::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::codedeploy,
    violation = violation::words,
    routes: [
        BatchGetApplicationRevisions => revision::batch_get_application_revisions,
        BatchGetApplications => application::batch_get_applications,
        BatchGetDeploymentGroups => group::batch_get_deployment_groups,
        BatchGetDeployments => deployment::batch_get_deployments,
        BatchGetDeploymentTargets => target::batch_get_deployment_targets,
        ContinueDeployment => deployment::continue_deployment,
        CreateApplication => application::create_application,
        CreateDeployment => deployment::create_deployment,
        CreateDeploymentConfig => config::create_deployment_config,
        CreateDeploymentGroup => group::create_deployment_group,
        DeleteApplication => application::delete_application,
        DeleteDeploymentConfig => config::delete_deployment_config,
        DeleteDeploymentGroup => group::delete_deployment_group,
        GetApplication => application::get_application,
        GetApplicationRevision => revision::get_application_revision,
        GetDeployment => deployment::get_deployment,
        GetDeploymentConfig => config::get_deployment_config,
        GetDeploymentGroup => group::get_deployment_group,
        GetDeploymentTarget => target::get_deployment_target,
        ListApplicationRevisions => revision::list_application_revisions,
        ListApplications => application::list_applications,
        ListDeploymentConfigs => config::list_deployment_configs,
        ListDeploymentGroups => group::list_deployment_groups,
        ListDeployments => deployment::list_deployments,
        ListDeploymentTargets => target::list_deployment_targets,
        ListTagsForResource => tag::list_tags_for_resource,
        PutLifecycleEventHookExecutionStatus => hook::put_lifecycle_event_hook_execution_status,
        RegisterApplicationRevision => revision::register_application_revision,
        StopDeployment => deployment::stop_deployment,
        TagResource => tag::tag_resource,
        UntagResource => tag::untag_resource,
        UpdateApplication => application::update_application,
        UpdateDeploymentGroup => group::update_deployment_group,
    ],
};

/// How many names or ids a page of a listing has. (AWS documents 100 for deployments.)
const PAGE_SIZE: usize = 100;
/// How many things one batch may name. (AWS documents 100 for applications and groups, 25 for deployments.)
const BATCH_MAX: usize = 100;
/// The longest description. (Model.)
const DESCRIPTION_CHARS_MAX: usize = 1024;

/// Makes the error of something that AWS does and that is not here.
fn not_here(what: &str) -> Error {
    let message = format!("Neargate's CodeDeploy does not do {what}: it deploys ECS services by AppSpecs.");
    ApiError::new("NotImplemented", 501, message).into()
}

/// Reads the key that a page goes on after. (Text unverified.)
fn page_after(listing: &str, token: Option<String>) -> Result<Option<String>> {
    let after = token.map(|token| base::PageToken::decode(listing, &token)).transpose();
    after.map_err(|_| Error::InvalidNextToken("The next token is invalid.".to_owned()))
}

/// Checks the number of things in a batch. (Text unverified.)
fn check_batch<T>(names: &[T]) -> Result<()> {
    if names.len() > BATCH_MAX {
        return Err(Error::BatchLimitExceeded(format!("The batch has more than {BATCH_MAX} entries.")));
    }
    Ok(())
}

/// Checks the length of a description. (Text unverified.)
fn check_description(description: Option<&str>) -> Result<()> {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        let message = format!("The description is longer than {DESCRIPTION_CHARS_MAX} characters.");
        return Err(Error::DescriptionTooLong(message));
    }
    Ok(())
}

/// Returns a text that is not empty.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
