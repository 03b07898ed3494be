//! ECR's words for requests that the model forbids.

use wire::{ApiError, Kind, Violation};

/// The pattern that AWS shows for names of repositories: not the one of the model.
const NAME_PATTERN: &str = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*";

/// Words violations: ECR tells of the first one.
pub(crate) fn words(violations: &[Violation]) -> ApiError {
    let violation = violations.first().expect("a violation is only worded where there is one");
    let constraint = constraint(violation);
    ApiError::client("InvalidParameterException", invalid(&violation.path, &constraint))
}

/// Makes ECR's message about a parameter that cannot be.
pub(crate) fn invalid(parameter: &str, constraint: &str) -> String {
    format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")
}

/// Says what a value would have to be. Lengths, patterns of repositories' names and enumerations were seen in AWS; the
/// rest follows them.
fn constraint(violation: &Violation) -> String {
    match &violation.kind {
        Kind::Required => "must not be null".to_owned(),
        Kind::Length { min, actual, .. } if actual < min => format!("must have length greater than or equal to {min}"),
        Kind::Length { max, .. } => format!("must have length less than or equal to {max}"),
        Kind::Range { min, max } => {
            let number = violation.value.as_deref().and_then(|value| value.parse::<i64>().ok());
            if number.is_some_and(|number| number < *min) {
                format!("must have value greater than or equal to {min}")
            } else {
                format!("must have value less than or equal to {max}")
            }
        }
        Kind::Pattern { .. } if violation.path.starts_with("repositoryName") => {
            format!("must satisfy regular expression '{NAME_PATTERN}'")
        }
        Kind::Pattern { pattern } => format!("must satisfy regular expression '{pattern}'"),
        Kind::Enum { allowed, .. } => format!("must satisfy enum value set: [{}]", allowed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_words_of_ecr() {
        let said = |path: &str, value: &str, kind| {
            let error = words(&[Violation { path: path.to_owned(), value: Some(value.to_owned()), kind }]);
            error.message().strip_prefix("Invalid parameter at '").unwrap().to_owned()
        };
        let length = |actual| Kind::Length { min: 2, max: 256, actual };
        for (said, expected) in [
            (said("a", "", Kind::Required), "must not be null"),
            (said("a", "x", length(1)), "must have length greater than or equal to 2"),
            (said("a", "x", length(300)), "must have length less than or equal to 256"),
            (said("a", "0", Kind::Range { min: 1, max: 9 }), "must have value greater than or equal to 1"),
            (said("a", "10", Kind::Range { min: 1, max: 9 }), "must have value less than or equal to 9"),
            (said("a", "x", Kind::Pattern { pattern: "[a]" }), "must satisfy regular expression '[a]'"),
            (
                said("a", "x", Kind::Enum { allowed: &["A", "B"], actual: "x".to_owned() }),
                "must satisfy enum value set: [A, B]",
            ),
        ] {
            assert_eq!(said, format!("a' failed to satisfy constraint: '{expected}'"));
        }
        assert_eq!(
            said("repositoryName", "A", Kind::Pattern { pattern: "x" }),
            format!("repositoryName' failed to satisfy constraint: 'must satisfy regular expression '{NAME_PATTERN}''")
        );
    }
}
