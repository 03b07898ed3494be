//! EC2's words for requests that the model forbids.

use wire::{ApiError, Kind, Violation};

/// Words the first violation: EC2 reports one at a time.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    let Some(violation) = violations.first() else { return ApiError::internal() };
    let (path, value) = (&violation.path, violation.value.as_deref().unwrap_or_default());
    match &violation.kind {
        Kind::Required => {
            ApiError::client("MissingParameter", format!("The request must contain the parameter {path}"))
        }
        // The texts that DescribeVpcs answers with; other operations word it a little differently.
        Kind::Range { max, .. } if value.parse::<i64>().is_ok_and(|value| value > *max) => invalid(format!(
            "Value ( {value} ) for parameter {path} is invalid. Expecting a value smaller than or equal to {max}."
        )),
        Kind::Range { min, .. } => invalid(format!(
            "Value ( {value} ) for parameter {path} is invalid. Expecting a value greater than or equal to {min}."
        )),
        // Text unverified: nothing that is read here is bound so.
        Kind::Length { .. } | Kind::Pattern { .. } | Kind::Enum { .. } => {
            invalid(format!("Value ({value}) for parameter {path} is invalid."))
        }
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::client("InvalidParameterValue", message)
}
