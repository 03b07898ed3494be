//! A repository: what its owner chose for it.

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Record, Tag, matches_wildcard};

/// A repository. Its images, layers and uploads are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name, such as `team/web`.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether tags can be moved.
    pub tag_mutability: TagMutability,
    /// Whether images are scanned when they are pushed.
    pub scans_on_push: bool,
    /// How images are encrypted; kept and shown only.
    pub encryption: Encryption,
    /// Its policy, as it was put.
    pub policy: Option<String>,
    /// What removes its images after a time.
    pub lifecycle: Option<Lifecycle>,
    /// The last preview of a lifecycle policy that was asked for.
    pub preview: Option<Preview>,
    /// What a public repository tells about itself.
    pub catalog: Option<CatalogData>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Whether tags can be moved from one image to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMutability {
    /// What holds for tags that no exclusion matches.
    pub is_immutable: bool,
    /// Wildcards of the tags that the opposite holds for.
    pub exclusions: Vec<String>,
}

/// How images are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// With a key of Amazon S3.
    #[default]
    Aes256,
    /// With a key of AWS KMS.
    Kms {
        /// The key's ARN or id, as it was given; none for the account's own.
        key: Option<String>,
        /// Whether in two layers.
        is_dual_layer: bool,
    },
}

/// A lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// The policy, as it was put.
    pub text: String,
    /// When it was put.
    pub put_at: Timestamp,
    /// When the controller last carried it out.
    pub evaluated_at: Option<Timestamp>,
}

/// A preview of a lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The policy.
    pub text: String,
    /// The time that it is evaluated for.
    pub at: Timestamp,
}

/// What a public repository tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogData {
    /// In one line.
    pub description: Option<String>,
    /// What its images run on, such as `ARM 64`.
    pub architectures: Vec<String>,
    /// What its images run on, such as `Linux`.
    pub operating_systems: Vec<String>,
    /// Where its logo can be had: made up of the image that was put.
    pub logo_url: Option<String>,
    /// What it is about, in Markdown.
    pub about_text: Option<String>,
    /// How to use it, in Markdown.
    pub usage_text: Option<String>,
}

impl Record for Repository {}

impl Repository {
    /// Makes a repository as it is without any wishes.
    pub fn new(scope: &Scope, name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            arn: Arn::new("ecr", scope, &format!("repository/{name}")),
            created_at: now,
            tag_mutability: TagMutability::default(),
            scans_on_push: false,
            encryption: Encryption::default(),
            policy: None,
            lifecycle: None,
            preview: None,
            catalog: None,
            tags: Vec::new(),
        }
    }
}

impl TagMutability {
    /// Tells whether a tag stays on the image that it was put on first.
    pub fn is_immutable(&self, tag: &str) -> bool {
        self.is_immutable != self.exclusions.iter().any(|wildcard| matches_wildcard(wildcard, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opposite_holds_for_tags_that_are_excluded() {
        let mutability = |is_immutable| TagMutability { is_immutable, exclusions: vec!["dev-*".to_owned()] };
        assert!(mutability(true).is_immutable("v1") && !mutability(true).is_immutable("dev-1"));
        assert!(!mutability(false).is_immutable("v1") && mutability(false).is_immutable("dev-1"));
        assert!(!TagMutability::default().is_immutable("v1"));
    }
}
