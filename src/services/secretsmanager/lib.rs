//! AWS Secrets Manager: its operations.
//!
//! Secrets and their versions are records; nothing is encrypted, rotated or replicated, and policies are kept but not
//! evaluated. Where AWS's wording of an error was not seen, the file says so.

mod create;
mod delete;
mod filter;
mod list;
mod lookup;
mod policy;
mod random_password;
mod tag;
mod update;
mod value;
mod version;
mod view;
mod violation;

use state::Cx;

/// What a handler fails with.
type Error = api::secretsmanager::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::secretsmanager,
    violation = violation::words,
    routes: [
        BatchGetSecretValue => value::batch_get_secret_value,
        CreateSecret => create::create_secret,
        DeleteResourcePolicy => policy::delete_resource_policy,
        DeleteSecret => delete::delete_secret,
        DescribeSecret => view::describe_secret,
        GetRandomPassword => random_password::get_random_password,
        GetResourcePolicy => policy::get_resource_policy,
        GetSecretValue => value::get_secret_value,
        ListSecretVersionIds => version::list_secret_version_ids,
        ListSecrets => list::list_secrets,
        PutResourcePolicy => policy::put_resource_policy,
        PutSecretValue => value::put_secret_value,
        RestoreSecret => delete::restore_secret,
        TagResource => tag::tag_resource,
        UntagResource => tag::untag_resource,
        UpdateSecret => update::update_secret,
        UpdateSecretVersionStage => version::update_secret_version_stage,
    ],
};

/// Makes the error of a parameter that cannot be.
fn invalid(message: impl Into<String>) -> Error {
    Error::InvalidParameter(message.into())
}

/// Makes the error of a request that cannot be met as things are.
fn refused(message: impl Into<String>) -> Error {
    Error::InvalidRequest(message.into())
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| invalid(format!("You must provide a value for the {name} parameter.")))
}
