//! AWS STS: its operations. Says who asks, and gives temporary credentials, which the gateway knows again.
//!
//! Policies are not enforced: any caller may assume any role, but the role must exist. Where AWS's wording of an error was
//! not seen, the file says so.

mod access_key_info;
mod assume_role;
mod caller_identity;
mod credentials;
mod session_token;
#[cfg(test)]
mod testing;

use state::Cx;
use wire::ApiError;

/// What a handler fails with.
type Error = api::sts::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::sts,
    violation = wire::check::validation_error,
    routes: [
        AssumeRole => assume_role::assume_role,
        GetAccessKeyInfo => access_key_info::get_access_key_info,
        GetCallerIdentity => caller_identity::get_caller_identity,
        GetSessionToken => session_token::get_session_token,
    ],
};

/// Makes the error of a request that cannot be.
fn invalid(message: impl Into<String>) -> Error {
    ApiError::client("ValidationError", message).into()
}

/// Makes the error of a caller who may not.
fn denied(message: impl Into<String>) -> Error {
    ApiError::new("AccessDenied", 403, message).into()
}
