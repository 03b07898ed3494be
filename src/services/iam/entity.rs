//! What roles, policies, profiles and users have in common: names, paths, ARNs, dates.

use aws_smithy_types::DateTime;
use base::{Arn, Timestamp};
use state::Cx;
use wire::ApiError;

use crate::{Error, Result, home};

/// The path of whoever is given none, and the prefix of all.
const ROOT_PATH: &str = "/";

/// Returns the key of a name: names that differ only by case are the same.
pub(crate) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Reads the path of a new entity: `/` unless the request says, else `/…/`.
pub(crate) fn path(path: Option<String>) -> Result<String> {
    let path = path.unwrap_or_else(|| ROOT_PATH.to_owned());
    if path.starts_with('/') && path.ends_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(path);
    }
    Err(validation_error(
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric \
         characters and/or / characters.",
    ))
}

/// Reads what the paths of a listing begin with.
pub(crate) fn path_prefix(prefix: Option<String>) -> Result<String> {
    let prefix = prefix.unwrap_or_else(|| ROOT_PATH.to_owned());
    if prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(prefix);
    }
    // Text unverified.
    Err(validation_error(
        "The specified value for pathPrefix is invalid. It must begin with / and contain only alphanumeric characters \
         and/or / characters.",
    ))
}

/// Makes the ARN of an entity: `role` with path `/team/` and name `web` is `role/team/web`.
pub(crate) fn arn(cx: &Cx, kind: &str, path: &str, name: &str) -> Arn {
    Arn::global("iam", &home(cx), &format!("{kind}{path}{name}"))
}

/// Shows a date: IAM tells time in whole seconds.
pub(crate) fn date(at: Timestamp) -> DateTime {
    let at_ms = at.as_millis();
    Timestamp::from_millis(at_ms - at_ms.rem_euclid(1000)).into()
}

/// Makes the error of a request that cannot be.
pub(crate) fn validation_error(message: impl Into<String>) -> Error {
    ApiError::client("ValidationError", message).into()
}

/// Makes the error of a quota that is used up.
pub(crate) fn quota_exceeded(quota: &str, limit: usize) -> Error {
    Error::LimitExceeded(format!("Cannot exceed quota for {quota}: {limit}"))
}

/// Reads an ARN of a policy.
pub(crate) fn policy_arn(text: &str) -> Result<Arn> {
    let arn = Arn::parse(text).filter(|arn| arn.service() == "iam" && arn.resource_of("policy").is_some());
    arn.ok_or_else(|| Error::InvalidInput(format!("ARN {text} is not valid.")))
}
