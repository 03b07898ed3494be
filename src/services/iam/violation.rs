//! IAM's words for requests that the model forbids.

use wire::{ApiError, Kind, Violation, check};

/// The pattern of names.
const NAME_PATTERN: &str = r"[\w+=,.@-]+";

/// Words violations: a name of characters that names do not have is told so, everything else as usual.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    if let [Violation { path, kind: Kind::Pattern { pattern: NAME_PATTERN }, .. }] = violations {
        let member = check::member_text(path);
        return ApiError::client(
            "ValidationError",
            format!(
                "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the \
                 following: +=,.@_-"
            ),
        );
    }
    check::validation_error(violations)
}
