//! Amazon ECR: its operations.
//!
//! Repositories, images and layers are records with files behind them, the same that the registry serves to container
//! tools. Policies are kept and not evaluated, and nothing is scanned. Where AWS's wording of an error was not seen, the
//! file says so.

mod account_setting;
mod authorization;
mod image;
mod image_id;
mod image_list;
mod layer;
mod lifecycle_policy;
mod lookup;
mod policy;
mod pull_through_cache;
mod registry;
mod replication;
mod repository;
mod repository_creation_template;
mod scan;
mod scanning_configuration;
mod tag;
mod violation;

use std::sync::Arc;

use state::{Cx, State};
use wire::ApiError;

/// What a handler fails with.
type Error = api::ecr::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ecr,
    violation = violation::words,
    routes: [
        BatchCheckLayerAvailability => layer::batch_check_layer_availability,
        BatchDeleteImage => image::batch_delete_image,
        BatchGetImage => image::batch_get_image,
        BatchGetRepositoryScanningConfiguration => scanning_configuration::batch_get_repository_scanning_configuration,
        CompleteLayerUpload => layer::complete_layer_upload,
        CreatePullThroughCacheRule => pull_through_cache::create_pull_through_cache_rule,
        CreateRepository => repository::create_repository,
        CreateRepositoryCreationTemplate => repository_creation_template::create_repository_creation_template,
        DeleteLifecyclePolicy => lifecycle_policy::delete_lifecycle_policy,
        DeletePullThroughCacheRule => pull_through_cache::delete_pull_through_cache_rule,
        DeleteRegistryPolicy => policy::delete_registry_policy,
        DeleteRepository => repository::delete_repository,
        DeleteRepositoryCreationTemplate => repository_creation_template::delete_repository_creation_template,
        DeleteRepositoryPolicy => policy::delete_repository_policy,
        DescribeImageReplicationStatus => replication::describe_image_replication_status,
        DescribeImageScanFindings => scan::describe_image_scan_findings,
        DescribeImages => image_list::describe_images,
        DescribePullThroughCacheRules => pull_through_cache::describe_pull_through_cache_rules,
        DescribeRegistry => registry::describe_registry,
        DescribeRepositories => repository::describe_repositories,
        DescribeRepositoryCreationTemplates => repository_creation_template::describe_repository_creation_templates,
        GetAccountSetting => account_setting::get_account_setting,
        GetAuthorizationToken => authorization::get_authorization_token,
        GetDownloadUrlForLayer => layer::get_download_url_for_layer,
        GetLifecyclePolicy => lifecycle_policy::get_lifecycle_policy,
        GetLifecyclePolicyPreview => lifecycle_policy::get_lifecycle_policy_preview,
        GetRegistryPolicy => policy::get_registry_policy,
        GetRegistryScanningConfiguration => scanning_configuration::get_registry_scanning_configuration,
        GetRepositoryPolicy => policy::get_repository_policy,
        InitiateLayerUpload => layer::initiate_layer_upload,
        ListImageReferrers => image_list::list_image_referrers,
        ListImages => image_list::list_images,
        ListTagsForResource => tag::list_tags_for_resource,
        PutAccountSetting => account_setting::put_account_setting,
        PutImage => image::put_image,
        PutImageScanningConfiguration => repository::put_image_scanning_configuration,
        PutImageTagMutability => repository::put_image_tag_mutability,
        PutLifecyclePolicy => lifecycle_policy::put_lifecycle_policy,
        PutRegistryPolicy => policy::put_registry_policy,
        PutRegistryScanningConfiguration => scanning_configuration::put_registry_scanning_configuration,
        PutReplicationConfiguration => replication::put_replication_configuration,
        SetRepositoryPolicy => policy::set_repository_policy,
        StartImageScan => scan::start_image_scan,
        StartLifecyclePolicyPreview => lifecycle_policy::start_lifecycle_policy_preview,
        TagResource => tag::tag_resource,
        UntagResource => tag::untag_resource,
        UpdatePullThroughCacheRule => pull_through_cache::update_pull_through_cache_rule,
        UpdateRepositoryCreationTemplate => repository_creation_template::update_repository_creation_template,
        UploadLayerPart => layer::upload_layer_part,
        ValidatePullThroughCacheRule => pull_through_cache::validate_pull_through_cache_rule,
    ],
};

/// Does something that waits for the disk, or for somebody who does, away from the threads that answer requests.
async fn off_thread<T: Send + 'static>(cx: &Cx, work: impl FnOnce(&State) -> T + Send + 'static) -> Result<T> {
    let state = Arc::clone(&cx.state);
    tokio::task::spawn_blocking(move || work(&state)).await.map_err(|error| {
        tracing::error!(%error, "something that a registry did panicked");
        ApiError::internal().into()
    })
}

/// Waits until what was changed would survive the end of this process. A client that is told of a success relies on it.
async fn keep(cx: &Cx) -> Result<()> {
    off_thread(cx, State::flush).await?.map_err(|error| {
        tracing::error!(%error, "what was changed would not survive the server");
        ApiError::internal().into()
    })
}

/// Makes the error of something that the disk does not do. (The text of one that is full unverified.)
fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(%error, "{what}");
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let is_full = causes.any(|error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    });
    match is_full {
        true => Error::Server("No space is left on the disk of this registry".to_owned()),
        false => ApiError::internal().into(),
    }
}

/// Makes the error of a parameter that cannot be.
fn invalid(parameter: &str, constraint: &str) -> Error {
    Error::InvalidParameter(violation::invalid(parameter, constraint))
}

/// Makes the error of a page token that no listing gave out. (Text unverified.)
fn invalid_token() -> Error {
    invalid("nextToken", "Invalid nextToken")
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| invalid(name, "must not be null"))
}

/// Reads a size of a page that the model bounds; what is beyond the bounds was refused before.
fn page_size(wanted: Option<i32>, default: usize) -> usize {
    wanted.and_then(|size| usize::try_from(size).ok()).unwrap_or(default).max(1)
}

#[cfg(test)]
mod tests;
