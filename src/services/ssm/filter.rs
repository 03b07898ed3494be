//! Filters of listings. Pure functions.

use api::ssm as api;
use state::ssm::{Parameter, Version};

use crate::{Error, Result, path};

/// Which keys a listing filters by. Tags are beside them.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    keys: &'static [&'static str],
    has_tags: bool,
}

/// The keys of GetParametersByPath.
pub(crate) const BY_PATH: Keys = Keys { keys: &["Type", "KeyId", "Label"], has_tags: false };
/// The keys of DescribeParameters.
pub(crate) const DESCRIBE: Keys = Keys { keys: &["Path", "Name", "Type", "KeyId", "Tier", "DataType"], has_tags: true };

const TAG: &str = "tag:";
const EQUALS: &str = "Equals";

/// Checks filters: known keys, each once, with options that they have and with values.
pub(crate) fn check(filters: &[api::ParameterStringFilter], allowed: Keys) -> Result<()> {
    for (index, filter) in filters.iter().enumerate() {
        let key = key(filter);
        if !(allowed.keys.contains(&key) || (allowed.has_tags && key.starts_with(TAG))) {
            return Err(Error::InvalidFilterKey(format!(
                "The following filter key is not valid: {key}. Valid filter keys include: [{}].",
                allowed.keys.join(", ")
            )));
        }
        if filters[..index].iter().any(|known| self::key(known) == key) {
            return Err(Error::InvalidFilterKey(format!(
                "The following filter is duplicated in the request: {key}. A request can contain only one occurrence of \
                 a specific filter."
            )));
        }
        let options = options(key);
        if let Some(option) = filter.option.as_deref().filter(|option| !options.contains(option)) {
            return Err(Error::InvalidFilterOption(format!(
                "The following filter option is not valid: {option}. Valid options include: [{}].",
                options.join(", ")
            )));
        }
        // A tag may be asked for by its key alone.
        if filter.values.as_ref().is_none_or(Vec::is_empty) && !key.starts_with(TAG) {
            return Err(Error::InvalidFilterValue(format!(
                "The following filter values are missing : null for filter key {key}"
            )));
        }
    }
    Ok(())
}

/// Tells whether a version of a parameter passes every filter. A filter is passed with any of its values.
pub(crate) fn matches(filters: &[api::ParameterStringFilter], parameter: &Parameter, version: &Version) -> bool {
    filters.iter().all(|filter| {
        let values = filter.values.as_deref().unwrap_or_default();
        match key(filter) {
            "Path" => {
                let is_recursive = filter.option.as_deref() == Some("Recursive");
                values.iter().any(|path| path::is_below(&parameter.name, path, is_recursive))
            }
            "Name" => has(filter, &parameter.name),
            "Type" => has(filter, version.kind.as_str()),
            "KeyId" => version.key_id.as_deref().is_some_and(|key| has(filter, key)),
            "Tier" => has(filter, version.tier.as_str()),
            "DataType" => has(filter, &version.data_type),
            "Label" => version.labels.iter().any(|label| has(filter, label)),
            key => {
                let wanted = key.strip_prefix(TAG).unwrap_or_default();
                let tag = parameter.tags.iter().find(|tag| tag.key == wanted);
                tag.is_some_and(|tag| values.is_empty() || has(filter, &tag.value))
            }
        }
    })
}

/// Returns the labels that are filtered by.
pub(crate) fn labels(filters: &[api::ParameterStringFilter]) -> Option<&[String]> {
    let filter = filters.iter().find(|filter| key(filter) == "Label")?;
    filter.values.as_deref()
}

/// Returns the first label that is filtered by.
pub(crate) fn label(filters: &[api::ParameterStringFilter]) -> Option<&str> {
    labels(filters)?.first().map(String::as_str)
}

fn key(filter: &api::ParameterStringFilter) -> &str {
    filter.key.as_deref().unwrap_or_default()
}

fn options(key: &str) -> &'static [&'static str] {
    match key {
        "Path" => &["Recursive", "OneLevel"],
        "Name" => &["BeginsWith", "Contains", EQUALS],
        "Label" => &[EQUALS],
        _ => &["BeginsWith", EQUALS],
    }
}

fn has(filter: &api::ParameterStringFilter, text: &str) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    values.iter().any(|value| match filter.option.as_deref().unwrap_or(EQUALS) {
        "BeginsWith" => text.starts_with(value.as_str()),
        "Contains" => text.contains(value.as_str()),
        _ => text == value,
    })
}
