//! Repositories that ECR makes itself: by which template, and why.

use std::sync::Arc;

use base::{Scope, Timestamp};

use super::registry_settings::RepositoryCreationTemplate;
use super::{Ecr, Lifecycle, Repository};

/// The prefix of the template for all names.
const ROOT: &str = "ROOT";

/// Why ECR makes a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeFor {
    /// An image is replicated to it.
    Replication,
    /// An image of another registry is cached in it.
    PullThroughCache,
    /// Somebody pushes to it.
    Push,
}

impl MadeFor {
    /// Returns what templates call it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Replication => "REPLICATION",
            Self::PullThroughCache => "PULL_THROUGH_CACHE",
            Self::Push => "CREATE_ON_PUSH",
        }
    }
}

impl Ecr {
    /// Returns a repository that is there, or makes it. Without a template it is as without any wishes; for a push it is
    /// then not made.
    pub fn repository_made_for(
        &self,
        scope: &Scope,
        name: &str,
        why: MadeFor,
        now: Timestamp,
    ) -> Option<Arc<Repository>> {
        if let Some(found) = self.repository(scope, name) {
            return Some(found);
        }
        let template = self.template_for(scope, name, why);
        if template.is_none() && why == MadeFor::Push {
            return None;
        }
        let repository = made_by(template.as_deref(), scope, name, now);
        let key = repository.name.clone();
        let _changing = self.change();
        Some(self.repositories.get_or_insert_with(scope, &key, || repository).0)
    }

    /// Returns what a repository is made as.
    pub(super) fn new_repository(&self, scope: &Scope, name: &str, why: MadeFor, now: Timestamp) -> Repository {
        made_by(self.template_for(scope, name, why).as_deref(), scope, name, now)
    }

    /// Finds the template with the longest prefix of the name.
    fn template_for(&self, scope: &Scope, name: &str, why: MadeFor) -> Option<Arc<RepositoryCreationTemplate>> {
        let templates = self.creation_templates.walk(scope, None).map(|(_, template)| template);
        let fitting = templates.filter_map(|template| Some((fit(&template, name, why)?, template)));
        fitting.max_by_key(|(length, _)| *length).map(|(_, template)| template)
    }
}

/// Says how much of the name a template is for, if it is for it.
fn fit(template: &RepositoryCreationTemplate, name: &str, why: MadeFor) -> Option<usize> {
    let is_for = template.applied_for.iter().any(|reason| reason == why.as_str());
    let length = match template.prefix.as_str() {
        ROOT => 0,
        // `prod` is for `prod/web`, and not for `production`.
        prefix => name.strip_prefix(prefix.trim_end_matches('/'))?.strip_prefix('/').map(|_| prefix.len())?,
    };
    is_for.then_some(length)
}

fn made_by(template: Option<&RepositoryCreationTemplate>, scope: &Scope, name: &str, now: Timestamp) -> Repository {
    let plain = Repository::new(scope, name, now);
    let Some(template) = template else { return plain };
    let lifecycle = template.lifecycle_policy.clone();
    Repository {
        tag_mutability: template.tag_mutability.clone(),
        encryption: template.encryption.clone(),
        policy: template.policy.clone(),
        lifecycle: lifecycle.map(|text| Lifecycle { text, put_at: now, evaluated_at: None }),
        tags: template.tags.clone(),
        ..plain
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;
    use crate::ecr::{Encryption, TagMutability};

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn template(prefix: &str, applied_for: &[&str]) -> RepositoryCreationTemplate {
        RepositoryCreationTemplate {
            prefix: prefix.to_owned(),
            description: None,
            encryption: Encryption::default(),
            tags: Vec::new(),
            tag_mutability: TagMutability { is_immutable: true, exclusions: Vec::new() },
            policy: Some(prefix.to_owned()),
            lifecycle_policy: None,
            applied_for: applied_for.iter().map(|reason| (*reason).to_owned()).collect(),
            role_arn: None,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    #[test]
    fn the_longest_prefix_that_is_for_the_reason_decides() {
        let (ecr, scope) = (Ecr::new(None), Scope::new(AccountId::DEFAULT, Region::default()));
        for made in [
            template("prod", &["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"]),
            template("prod/team", &["CREATE_ON_PUSH"]),
            template("ROOT", &["PULL_THROUGH_CACHE"]),
        ] {
            ecr.creation_templates.insert(&scope, &made.prefix.clone(), made);
        }
        let rows = [
            ("prod/web", MadeFor::Push, Some(Some("prod"))),
            ("prod/team/web", MadeFor::Push, Some(Some("prod/team"))),
            ("production/web", MadeFor::Push, None),
            ("web", MadeFor::Push, None),
            ("prod/team/hub", MadeFor::PullThroughCache, Some(Some("prod"))),
            ("hub/web", MadeFor::PullThroughCache, Some(Some("ROOT"))),
            ("hub/other", MadeFor::Replication, Some(None)),
        ];
        for (name, why, expected) in rows {
            let made = ecr.repository_made_for(&scope, name, why, NOW);
            let policy = made.as_ref().map(|made| made.policy.as_deref());
            assert_eq!(policy, expected, "{name} {why:?}");
            assert_eq!(ecr.repository(&scope, name), made);
        }
    }
}
