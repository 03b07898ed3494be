//! The words of CodeDeploy for requests that the model forbids.

use wire::{ApiError, Violation};

/// The members that no message may quote.
const SENSITIVE: [&str; 0] = [];

/// Words violations.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    wire::check::validation_exception_in_small_letters(violations, &SENSITIVE)
}
