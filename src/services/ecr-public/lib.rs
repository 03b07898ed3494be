//! Amazon ECR Public: its operations.
//!
//! Public repositories are records of their own: what they tell of themselves, their policies and their tags. Images cannot
//! be pushed to them here, so none is ever found in one. Where AWS's wording of an error was not seen, the file says so.

mod authorization;
mod catalog;
mod image;
mod lookup;
mod policy;
mod registry;
mod repository;
mod tag;
mod violation;

use state::Cx;

/// What a handler fails with.
type Error = api::ecr_public::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ecr_public,
    violation = violation::words,
    routes: [
        BatchDeleteImage => image::batch_delete_image,
        CreateRepository => repository::create_repository,
        DeleteRepository => repository::delete_repository,
        DeleteRepositoryPolicy => policy::delete_repository_policy,
        DescribeImageTags => image::describe_image_tags,
        DescribeImages => image::describe_images,
        DescribeRegistries => registry::describe_registries,
        DescribeRepositories => repository::describe_repositories,
        GetAuthorizationToken => authorization::get_authorization_token,
        GetRegistryCatalogData => registry::get_registry_catalog_data,
        GetRepositoryCatalogData => catalog::get_repository_catalog_data,
        GetRepositoryPolicy => policy::get_repository_policy,
        ListTagsForResource => tag::list_tags_for_resource,
        PutRegistryCatalogData => registry::put_registry_catalog_data,
        PutRepositoryCatalogData => catalog::put_repository_catalog_data,
        SetRepositoryPolicy => policy::set_repository_policy,
        TagResource => tag::tag_resource,
        UntagResource => tag::untag_resource,
    ],
};

/// Makes the error of a parameter that cannot be.
fn invalid(parameter: &str, constraint: &str) -> Error {
    Error::InvalidParameter(violation::invalid(parameter, constraint))
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| invalid(name, "must not be null"))
}
