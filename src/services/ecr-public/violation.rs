//! ECR Public's words for requests that the model forbids: those of ECR.

use wire::{ApiError, Kind, Violation};

/// Words violations: the first one is told.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    let violation = violations.first().expect("a violation is only worded where there is one");
    let constraint = match &violation.kind {
        Kind::Required => "must not be null".to_owned(),
        Kind::Length { min, actual, .. } if actual < min => format!("must have length greater than or equal to {min}"),
        Kind::Length { max, .. } => format!("must have length less than or equal to {max}"),
        Kind::Range { min, max } => format!("must have value between {min} and {max}"),
        Kind::Pattern { pattern } => format!("must satisfy regular expression '{pattern}'"),
        Kind::Enum { allowed, .. } => format!("must satisfy enum value set: [{}]", allowed.join(", ")),
    };
    ApiError::client("InvalidParameterException", invalid(&violation.path, &constraint))
}

/// Makes the message about a parameter that cannot be.
pub(crate) fn invalid(parameter: &str, constraint: &str) -> String {
    format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")
}
