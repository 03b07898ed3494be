//! AWS Systems Manager: the operations of Parameter Store.
//!
//! Parameters and their versions are records; nothing is encrypted, and who does not ask for decryption sees an opaque
//! text. Where AWS's wording of an error was not seen, the file says so.

mod delete;
mod describe;
mod filter;
mod get;
mod history;
mod label;
mod lookup;
mod name;
mod path;
mod policy;
mod put;
mod tag;
mod value;
mod view;
mod violation;

use state::Cx;
use wire::ApiError;

/// What a handler fails with.
type Error = api::ssm::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ssm,
    violation = violation::words,
    routes: [
        AddTagsToResource => tag::add_tags_to_resource,
        DeleteParameter => delete::delete_parameter,
        DeleteParameters => delete::delete_parameters,
        DescribeParameters => describe::describe_parameters,
        GetParameter => get::get_parameter,
        GetParameterHistory => history::get_parameter_history,
        GetParameters => get::get_parameters,
        GetParametersByPath => path::get_parameters_by_path,
        LabelParameterVersion => label::label_parameter_version,
        ListTagsForResource => tag::list_tags_for_resource,
        PutParameter => put::put_parameter,
        RemoveTagsFromResource => tag::remove_tags_from_resource,
        UnlabelParameterVersion => label::unlabel_parameter_version,
    ],
};

/// Makes the error of a request that cannot be; the model does not list it.
fn invalid(message: impl Into<String>) -> Error {
    ApiError::client("ValidationException", message).into()
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// Reads the key that a page goes on after.
fn page_after(listing: &str, token: Option<String>) -> Result<Option<String>> {
    let after = token.map(|token| base::PageToken::decode(listing, &token)).transpose();
    after.map_err(|_| Error::InvalidNextToken("The specified token isn't valid.".to_owned()))
}

/// Reads a page's size; what is beyond the bounds was refused before.
fn page_size(max_results: Option<i32>, max: usize) -> usize {
    max_results.and_then(|size| usize::try_from(size).ok()).map_or(max, |size| size.clamp(1, max))
}
