//! Secrets Manager's words for requests that the model forbids.

use wire::{ApiError, Kind, Violation};

/// The members that no message may quote.
const SENSITIVE: [&str; 3] = ["SecretString", "SecretBinary", "RotationToken"];

/// Words violations.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    let is_token = |violation: &&Violation| {
        violation.path == "ClientRequestToken" && matches!(violation.kind, Kind::Length { .. })
    };
    if violations.iter().find(is_token).is_some() {
        let message = "ClientRequestToken must be 32-64 characters long.";
        return ApiError::client("InvalidParameterException", message);
    }
    wire::check::validation_exception_in_small_letters(violations, &SENSITIVE)
}
