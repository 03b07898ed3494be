//! Names of parameters. Pure functions.

use wire::ApiError;

use crate::{Error, Result, invalid};

/// How many levels a hierarchy may have.
const LEVELS_MAX: usize = 15;
/// How long an ARN may be, in characters.
const ARN_LENGTH_MAX: usize = 1011;

/// Checks the name of a parameter that is to be made, without the spaces around it.
pub(crate) fn check_new(name: &str, arn_length: usize) -> Result<()> {
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    check_reserved(name)?;
    let levels = name.strip_prefix('/').unwrap_or(name).split('/');
    if !levels.clone().all(|level| !level.is_empty() && level.chars().all(is_sign)) {
        return Err(invalid(malformed()));
    }
    if levels.count() > LEVELS_MAX {
        // Text unverified.
        let message = format!("Parameter hierarchies are limited to a maximum of {LEVELS_MAX} levels.");
        return Err(Error::HierarchyLevelLimitExceeded(message));
    }
    if arn_length > ARN_LENGTH_MAX {
        // Text unverified.
        return Err(invalid(format!(
            "Parameter name: the parameter name and its ARN can't have more than {ARN_LENGTH_MAX} characters."
        )));
    }
    Ok(())
}

/// Checks a name that a reader gives, without its selector.
pub(crate) fn check_known(name: &str) -> Result<()> {
    let is_name = !name.is_empty() && name.chars().all(|sign| is_sign(sign) || sign == '/');
    if is_name || name.starts_with("arn:") { Ok(()) } else { Err(invalid(malformed())) }
}

/// Checks the beginning of a hierarchy.
pub(crate) fn check_path(path: &str) -> Result<()> {
    if path.starts_with('/') && path.chars().all(|sign| is_sign(sign) || sign == '/') {
        return Ok(());
    }
    Err(invalid(
        "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \
         \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the \
         following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if \
         specified, must use the forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_.",
    ))
}

fn check_reserved(name: &str) -> Result<()> {
    let small = name.strip_prefix('/').unwrap_or(name).to_ascii_lowercase();
    let is_path = name.matches('/').count() > 1;
    if is_path && small.starts_with("aws") {
        let message = format!("No access to reserved parameter name: {name}.");
        return Err(ApiError::client("AccessDeniedException", message).into());
    }
    if is_path && small.starts_with("ssm") {
        return Err(invalid(malformed()));
    }
    if small.starts_with("aws") || small.starts_with("ssm") {
        return Err(invalid("Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive)."));
    }
    Ok(())
}

fn malformed() -> &'static str {
    "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths \
     divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_"
}

fn is_sign(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || "_.-".contains(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> Option<String> {
        let error = check_new(name, name.len()).err().map(ApiError::from)?;
        Some(error.code().to_owned())
    }

    #[test]
    fn names_have_rules() {
        let deep = |levels: usize| "/a".repeat(levels);
        for (name, refused) in [
            ("plain", None),
            ("/plain", None),
            ("/a/b-c/d_e/f.g", None),
            (&deep(15), None),
            (&deep(16), Some("HierarchyLevelLimitExceededException")),
            ("a/b", Some("ValidationException")),
            ("a b", Some("ValidationException")),
            ("/a//b", Some("ValidationException")),
            ("/a/", Some("ValidationException")),
            ("a:1", Some("ValidationException")),
            ("", Some("ValidationException")),
            ("awsome", Some("ValidationException")),
            ("/AWS-x", Some("ValidationException")),
            ("SSMx", Some("ValidationException")),
            ("/aws/x", Some("AccessDeniedException")),
            ("/ssm/x", Some("ValidationException")),
            ("/a/aws", None),
        ] {
            assert_eq!(refusal(name).as_deref(), refused, "{name}");
        }
        assert!(check_new("a", ARN_LENGTH_MAX + 1).is_err());
    }

    #[test]
    fn a_path_begins_with_a_slash() {
        assert!(check_path("/").is_ok() && check_path("/a/b/").is_ok());
        assert!(check_path("a").is_err() && check_path("/a b").is_err() && check_path("").is_err());
    }
}
