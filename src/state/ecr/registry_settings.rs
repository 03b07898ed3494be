//! What the owner of a registry chose for the whole of it, and its rules and templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{AccountId, Region, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use super::Ecr;
use super::repository::{Encryption, TagMutability};
use crate::{Record, Tag, matches_wildcard};

/// The settings of a registry: one row a registry, under the key [`RegistrySettings::KEY`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// Its policy, as it was put.
    pub policy: Option<String>,
    /// Where pushed images are copied to.
    pub replication: Vec<ReplicationRule>,
    /// Which repositories are scanned.
    pub scanning: ScanningConfiguration,
    /// What the account has chosen, by the setting's name.
    pub account_settings: BTreeMap<String, String>,
    /// The name that a public registry shows.
    pub public_name: Option<String>,
}

/// Where the images of some repositories are copied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationRule {
    /// The registries that they are copied to.
    pub destinations: Vec<(Region, AccountId)>,
    /// What the names of these repositories begin with; none for all repositories.
    pub prefixes: Vec<String>,
}

/// Which repositories of a registry are scanned. Nothing is scanned here: this is kept and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanningConfiguration {
    /// Whether with Amazon Inspector.
    pub is_enhanced: bool,
    /// Which repositories, and when.
    pub rules: Vec<ScanningRule>,
}

/// When some repositories are scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL`.
    pub frequency: String,
    /// Wildcards of their names.
    pub wildcards: Vec<String>,
}

/// A rule by which repositories with a prefix are caches of another registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullThroughCacheRule {
    /// The prefix of the repositories here, or `ROOT`.
    pub prefix: String,
    /// The other registry's host name.
    pub upstream_url: String,
    /// Its kind, as the API spells it.
    pub upstream: String,
    /// The prefix of the repositories there; `ROOT` for none.
    pub upstream_prefix: Option<String>,
    /// The secret that it is logged in to with.
    pub credential_arn: Option<String>,
    /// The role that it is logged in to with, where it is one of ECR.
    pub role_arn: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// What repositories that ECR makes itself are like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryCreationTemplate {
    /// The prefix of these repositories, or `ROOT`.
    pub prefix: String,
    /// What it is for.
    pub description: Option<String>,
    /// How they are encrypted.
    pub encryption: Encryption,
    /// Their tags.
    pub tags: Vec<Tag>,
    /// Whether their tags can be moved.
    pub tag_mutability: TagMutability,
    /// Their policy.
    pub policy: Option<String>,
    /// Their lifecycle policy.
    pub lifecycle_policy: Option<String>,
    /// When ECR makes repositories: `REPLICATION`, `PULL_THROUGH_CACHE`, `CREATE_ON_PUSH`.
    pub applied_for: Vec<String>,
    /// The role that ECR makes them as.
    pub role_arn: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl Record for RegistrySettings {}
impl Record for PullThroughCacheRule {}
impl Record for RepositoryCreationTemplate {}

impl RegistrySettings {
    /// The key of the one row that a registry has.
    pub const KEY: &'static str = "settings";
}

impl Ecr {
    /// Returns the settings of a registry; those of one that nobody has touched are the defaults.
    pub fn registry_settings(&self, scope: &Scope) -> Arc<RegistrySettings> {
        self.settings.get(scope, &RegistrySettings::KEY.to_owned()).unwrap_or_default()
    }

    /// Changes the settings of a registry.
    pub fn change_registry_settings(
        &self,
        scope: &Scope,
        change: impl FnOnce(&mut RegistrySettings),
    ) -> Arc<RegistrySettings> {
        let key = RegistrySettings::KEY.to_owned();
        let (known, _) = self.settings.get_or_insert_with(scope, &key, RegistrySettings::default);
        self.settings.update(scope, &key, change).unwrap_or(known)
    }
}

impl ReplicationRule {
    /// Tells whether the images of a repository are copied.
    pub fn is_for(&self, repository: &str) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| repository.starts_with(prefix.as_str()))
    }
}

impl ScanningConfiguration {
    /// Returns how often a repository is scanned and by which wildcards, if any rule is for it.
    pub fn rule_for(&self, repository: &str) -> Option<(&str, Vec<&str>)> {
        self.rules.iter().find_map(|rule| {
            let matching = rule.wildcards.iter().map(String::as_str).filter(|text| matches(text, repository));
            let matching = matching.collect::<Vec<_>>();
            (!matching.is_empty()).then_some((rule.frequency.as_str(), matching))
        })
    }
}

/// A filter without a star matches wherever it stands in a name.
fn matches(filter: &str, name: &str) -> bool {
    if filter.contains('*') { matches_wildcard(filter, name) } else { name.contains(filter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_says_how_often_a_repository_is_scanned() {
        let rule = |frequency: &str, wildcards: &[&str]| ScanningRule {
            frequency: frequency.to_owned(),
            wildcards: wildcards.iter().map(|text| (*text).to_owned()).collect(),
        };
        let rules = vec![rule("CONTINUOUS_SCAN", &["prod*", "web"]), rule("SCAN_ON_PUSH", &["*"])];
        let configuration = ScanningConfiguration { is_enhanced: true, rules };
        assert_eq!(configuration.rule_for("prod/web"), Some(("CONTINUOUS_SCAN", vec!["prod*", "web"])));
        assert_eq!(configuration.rule_for("a/web/b"), Some(("CONTINUOUS_SCAN", vec!["web"])));
        assert_eq!(configuration.rule_for("dev"), Some(("SCAN_ON_PUSH", vec!["*"])));
        assert_eq!(ScanningConfiguration::default().rule_for("dev"), None);
    }

    #[test]
    fn a_rule_without_prefixes_copies_all_repositories() {
        let rule = |prefixes: &[&str]| ReplicationRule {
            destinations: Vec::new(),
            prefixes: prefixes.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert!(rule(&[]).is_for("web") && rule(&["a", "we"]).is_for("web"));
        assert!(!rule(&["eb"]).is_for("web"));
    }
}
