//! The words of CloudWatch for requests that the model forbids.

use wire::{ApiError, Violation};

/// Words violations, as services of the query protocol do.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    wire::check::validation_error(violations)
}
