//! Writing parameters.

use std::sync::Arc;

use api::ssm as api;
use regex_lite::Regex;
use state::ssm::{Parameter, ParameterKind, Policy, Tier, VERSIONS_MAX, Version};
use state::{Cx, iam};

use crate::{Error, Result, invalid, name, policy, required, tag, view};

/// How many characters a value of the standard tier has at most.
const STANDARD_LENGTH_MAX: usize = 4096;
/// How many characters a value of the advanced tier has at most.
const ADVANCED_LENGTH_MAX: usize = 8192;
/// The key of a SecureString that names none.
const DEFAULT_KEY: &str = "alias/aws/ssm";
const DATA_TYPE: &str = "text";
const DATA_TYPES: [&str; 3] = [DATA_TYPE, "aws:ec2:image", "aws:ssm:integration"];
/// What Java's regular expressions have and ours do not.
const BEYOND_OURS: [&str; 7] = ["(?=", "(?!", "(?<=", "(?<!", "(?>", r"\p", r"\P"];

/// Makes a parameter, or a new version of one.
pub(crate) async fn put_parameter(cx: &Cx, input: api::PutParameterRequest) -> Result<api::PutParameterResult> {
    let parameter_name = required(input.name.as_deref(), "name")?.trim().to_owned();
    let arn = Parameter::arn_of(cx.scope(), &parameter_name);
    name::check_new(&parameter_name, arn.as_str().chars().count())?;
    let overwrites = input.overwrite.unwrap_or(false);
    let tags = tag::read(input.tags.clone().unwrap_or_default());
    if overwrites && !tags.is_empty() {
        return Err(invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
             overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
             RemoveTagsFromResource.",
        ));
    }
    tag::check(&tags)?;
    let wanted = Wanted::read(&input)?;
    cx.state.ssm.sweep(cx.scope(), &parameter_name, cx.now());
    let found = if cx.state.ssm.parameters.get(cx.scope(), &parameter_name).is_none() {
        let latest = wanted.version(cx, None)?;
        let make = || Parameter { name: parameter_name.clone(), arn, tags, earlier: Vec::new(), latest };
        cx.state.ssm.parameters.get_or_insert_with(cx.scope(), &parameter_name, make)
    } else {
        let known = cx.state.ssm.parameters.get(cx.scope(), &parameter_name);
        (known.ok_or_else(crate::lookup::not_found)?, false)
    };
    let parameter = match found {
        (parameter, true) => parameter,
        (_, false) if !overwrites => {
            let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request \
                           to true.";
            return Err(Error::ParameterAlreadyExists(message.to_owned()));
        }
        (_, false) => {
            let added = cx.state.ssm.parameters.try_update(cx.scope(), &parameter_name, |row| add(cx, row, &wanted));
            added.ok_or_else(crate::lookup::not_found)??
        }
    };
    let latest = &parameter.latest;
    Ok(api::PutParameterResult { version: Some(latest.number), tier: Some(view::tier(latest)) })
}

/// What a request says about the version that it makes.
struct Wanted {
    value: Arc<iam::Secret>,
    kind: Option<ParameterKind>,
    key_id: Option<String>,
    description: Option<String>,
    allowed_pattern: Option<String>,
    tier: Option<api::ParameterTier>,
    data_type: Option<String>,
    policies: Option<Vec<Policy>>,
}

impl Wanted {
    fn read(input: &api::PutParameterRequest) -> Result<Self> {
        let value = required(input.value.clone(), "value")?;
        if value.is_empty() {
            return Err(invalid(
                "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1",
            ));
        }
        if value.contains("{{") {
            // Text unverified.
            return Err(invalid("Parameter value: can't nest another parameter. Do not use \"{{}}\" in the value."));
        }
        let data_type = input.data_type.clone().filter(|data_type| !data_type.is_empty());
        if let Some(unknown) = data_type.as_deref().filter(|data_type| !DATA_TYPES.contains(data_type)) {
            return Err(invalid(format!(
                "The following data type is not supported: {unknown} (Data type names are all lowercase.)"
            )));
        }
        let kind = input.r#type.as_ref().map(|kind| match kind {
            api::ParameterType::String | api::ParameterType::Other(_) => ParameterKind::String,
            api::ParameterType::StringList => ParameterKind::StringList,
            api::ParameterType::SecureString => ParameterKind::SecureString,
        });
        Ok(Self {
            value: Arc::new(iam::Secret::new(value)),
            kind,
            key_id: input.key_id.clone(),
            description: input.description.clone(),
            allowed_pattern: input.allowed_pattern.clone(),
            tier: input.tier.clone(),
            data_type,
            policies: input.policies.as_deref().map(policy::read).transpose()?,
        })
    }

    /// Makes the version. What the request leaves out stays as it was. (Of description and pattern: unverified.)
    fn version(&self, cx: &Cx, before: Option<&Version>) -> Result<Version> {
        let kind = self.kind.or_else(|| before.map(|before| before.kind));
        let kind = kind.ok_or_else(|| invalid("A parameter type is required when you create a parameter."))?;
        let is_secure = kind == ParameterKind::SecureString;
        if self.key_id.is_some() && !is_secure {
            return Err(invalid("KeyId is required for SecureString type parameter only."));
        }
        let kept = |given: &Option<String>, known: fn(&Version) -> &Option<String>| {
            let text = given.clone().or_else(|| before.and_then(|before| known(before).clone()));
            text.filter(|text| !text.is_empty())
        };
        let allowed_pattern = kept(&self.allowed_pattern, |before| &before.allowed_pattern);
        check_pattern(allowed_pattern.as_deref(), self.value.expose())?;
        let data_type = self.data_type.clone().or_else(|| before.map(|before| before.data_type.clone()));
        let policies =
            self.policies.clone().or_else(|| before.map(|before| before.policies.clone())).unwrap_or_default();
        Ok(Version {
            number: before.map_or(1, |before| before.number + 1),
            kind,
            value: Arc::clone(&self.value),
            cipher_seed: u64::try_from(cx.ids.bits() & u128::from(u64::MAX)).unwrap_or_default(),
            key_id: is_secure.then(|| self.key_id.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned())),
            description: kept(&self.description, |before| &before.description),
            allowed_pattern,
            tier: self.tier(before, &policies)?,
            data_type: data_type.unwrap_or_else(|| DATA_TYPE.to_owned()),
            policies,
            labels: Vec::new(),
            modified_at: cx.now(),
            modified_by: cx.principal().arn,
        })
    }

    /// Chooses the tier: as asked for, else as it was. An advanced parameter stays one.
    fn tier(&self, before: Option<&Version>, policies: &[Policy]) -> Result<Tier> {
        let length = self.value.expose().chars().count();
        let is_advanced = before.is_some_and(|before| before.tier == Tier::Advanced);
        let needs_advanced = length > STANDARD_LENGTH_MAX || !policies.is_empty();
        let tier = match &self.tier {
            Some(api::ParameterTier::Advanced) => Tier::Advanced,
            Some(api::ParameterTier::IntelligentTiering) if needs_advanced || is_advanced => Tier::Advanced,
            None if is_advanced => Tier::Advanced,
            // Text unverified after its first sentence.
            Some(api::ParameterTier::Standard) if is_advanced => {
                return Err(invalid(
                    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the \
                     advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced \
                     parameter and recreate it as a standard parameter.",
                ));
            }
            Some(_) | None => Tier::Standard,
        };
        match tier {
            Tier::Standard if length > STANDARD_LENGTH_MAX => Err(invalid(
                "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger \
                 parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see \
                 https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
            )),
            // Text unverified.
            Tier::Standard if !policies.is_empty() => {
                Err(invalid("Parameter policies are supported for parameters of the advanced-parameter tier only."))
            }
            // Text unverified.
            Tier::Advanced if length > ADVANCED_LENGTH_MAX => {
                Err(invalid("Advanced tier parameters support a maximum parameter value of 8192 characters."))
            }
            Tier::Standard | Tier::Advanced => Ok(tier),
        }
    }
}

fn add(cx: &Cx, row: &mut Parameter, wanted: &Wanted) -> Result<()> {
    let version = wanted.version(cx, Some(&row.latest))?;
    if row.earlier.len() + 1 >= VERSIONS_MAX {
        if let Some(oldest) = row.earlier.first().filter(|oldest| !oldest.labels.is_empty()) {
            return Err(Error::ParameterMaxVersionLimitExceeded(format!(
                "You attempted to create a new version of {} by calling the PutParameter API with the overwrite flag. \
                 Version {}, the oldest version, can't be deleted because it has a label associated with it. Move the \
                 label to another version of the parameter, and try again.",
                row.name, oldest.number
            )));
        }
        row.earlier.remove(0);
    }
    let before = std::mem::replace(&mut row.latest, version);
    row.earlier.push(before);
    Ok(())
}

/// Checks a value against the pattern. A pattern beyond our regular expressions allows everything. (That the whole value
/// must match, and the text of the first error, are unverified.)
fn check_pattern(pattern: Option<&str>, value: &str) -> Result<()> {
    let Some(pattern) = pattern else { return Ok(()) };
    let whole = match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(whole) => whole,
        Err(_) if BEYOND_OURS.iter().any(|part| pattern.contains(part)) => return Ok(()),
        Err(_) => {
            let message = format!("The allowed pattern {pattern} isn't a valid regular expression.");
            return Err(Error::InvalidAllowedPattern(message));
        }
    };
    if whole.is_match(value) {
        return Ok(());
    }
    let message = format!("Parameter value, cannot be validated against allowedPattern: {pattern}");
    Err(Error::ParameterPatternMismatch(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_must_match_its_pattern() {
        for (pattern, value, expected) in [
            (None, "x", Ok(())),
            (Some(r"^\d+$"), "12", Ok(())),
            (Some(r"\d+"), "12", Ok(())),
            (Some("a|b"), "b", Ok(())),
            (Some(r"^\d+$"), "1x", Err("ParameterPatternMismatchException")),
            (Some("("), "x", Err("InvalidAllowedPatternException")),
            (Some(r"^(?=.*\d).+$"), "x", Ok(())),
        ] {
            let checked = check_pattern(pattern, value).map_err(|error| wire::ApiError::from(error).code().to_owned());
            assert_eq!(checked, expected.map_err(str::to_owned), "{pattern:?}");
        }
    }
}
