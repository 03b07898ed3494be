//! Filters of listings. Pure functions.

use api::secretsmanager as api;
use state::secretsmanager::Secret;

/// What turns a filter's value into its opposite.
const NOT: char = '!';

/// Tells whether a secret passes every filter. A filter is passed with any of its values.
pub(crate) fn matches(filters: &[api::Filter], secret: &Secret) -> bool {
    filters.iter().all(|filter| {
        let Some(key) = &filter.key else { return true };
        let values = filter.values.as_deref().unwrap_or_default();
        let (unwanted, wanted) = values.iter().partition::<Vec<_>, _>(|value| value.starts_with(NOT));
        let is_wanted = wanted.is_empty() || wanted.iter().any(|value| has(key, value, secret));
        is_wanted && !unwanted.iter().any(|value| has(key, value.trim_start_matches(NOT), secret))
    })
}

/// Tells whether a secret has a value: at the beginning of what the key names, or anywhere for `all`.
fn has(key: &api::FilterNameStringType, value: &str, secret: &Secret) -> bool {
    use api::FilterNameStringType as Key;
    let description = secret.description.as_deref().unwrap_or_default();
    match key {
        Key::Name => secret.name.starts_with(value),
        Key::Description => description.to_lowercase().starts_with(&value.to_lowercase()),
        Key::TagKey => secret.tags.iter().any(|tag| tag.key.starts_with(value)),
        Key::TagValue => secret.tags.iter().any(|tag| tag.value.starts_with(value)),
        Key::All => {
            let tags = secret.tags.iter().flat_map(|tag| [tag.key.as_str(), tag.value.as_str()]);
            let texts = tags.chain([secret.name.as_str(), description]).map(str::to_lowercase).collect::<Vec<_>>();
            let mut words = value.split_whitespace().map(str::to_lowercase);
            words.any(|word| texts.iter().any(|text| text.contains(&word)))
        }
        // No secret here is replicated, or owned by a service.
        Key::PrimaryRegion | Key::OwningService | Key::Other(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Scope, Timestamp};
    use state::Tag;

    use super::*;

    #[track_caller]
    fn check(key: &str, values: &[&str], expected: bool) {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let secret = Secret {
            name: "prod/Database".to_owned(),
            arn: Secret::arn_of(&scope, "prod/Database", "AbCd12"),
            description: Some("The main Database".to_owned()),
            kms_key_id: None,
            kind: None,
            versions: Vec::new(),
            tags: vec![Tag { key: "Team".to_owned(), value: "Blue".to_owned() }],
            policy: None,
            created_at: Timestamp::from_millis(0),
            changed_at: Timestamp::from_millis(0),
            accessed_on: None,
            deleted_at: None,
        };
        let values = Some(values.iter().map(|value| (*value).to_owned()).collect());
        let filter = api::Filter { key: Some(api::FilterNameStringType::from(key)), values: values.clone() };
        assert_eq!(matches(&[filter], &secret), expected, "{key} {values:?}");
    }

    #[test]
    fn filters_look_at_the_beginning() {
        for (key, values, expected) in [
            ("name", &["prod"][..], true),
            ("name", &["Prod"], false),
            ("name", &["Database"], false),
            ("name", &["dev", "prod/"], true),
            ("name", &["!prod"], false),
            ("name", &["!dev"], true),
            ("description", &["the MAIN"], true),
            ("description", &["main"], false),
            ("tag-key", &["Te"], true),
            ("tag-key", &["te"], false),
            ("tag-value", &["Blue"], true),
            ("tag-value", &["!Blue"], false),
            ("primary-region", &["us"], false),
            ("owning-service", &["rds"], false),
        ] {
            check(key, values, expected);
        }
    }

    #[test]
    fn all_looks_everywhere_for_any_word() {
        for (value, expected) in [("database", true), ("nothing MAIN", true), ("blue", true), ("nothing", false)] {
            check("all", &[value], expected);
        }
    }
}
