//! The records of AWS Secrets Manager: secrets with their versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag, iam};

/// The staging label of the version that is asked for where no other is named.
pub const CURRENT: &str = "AWSCURRENT";
/// The staging label of the version that was current before.
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// How many versions a secret keeps; beyond it the oldest ones without a staging label go, as in AWS.
pub const VERSIONS_MAX: usize = 100;
/// How many characters AWS adds to a secret's name in its ARN, after a hyphen.
pub const SUFFIX_LENGTH: usize = 6;
/// What stands before the name in a secret's ARN.
const RESOURCE: &str = "secret:";

/// The tables of Secrets Manager.
#[derive(Debug)]
pub struct SecretsManager {
    /// Secrets by name.
    pub secrets: Table<String, Secret>,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its ARN, which ends with six random characters.
    pub arn: Arn,
    /// What it is for.
    pub description: Option<String>,
    /// The key that encrypts it; none means AWS's own.
    pub kms_key_id: Option<String>,
    /// The partner whose secret it is, for managed external secrets.
    pub kind: Option<String>,
    /// Its versions, in the order in which they came.
    pub versions: Vec<Version>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Who may use it, as a policy document.
    pub policy: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// The beginning of the day on which a value was read last.
    pub accessed_on: Option<Timestamp>,
    /// When it will be gone; only if it is marked for deletion.
    pub deleted_at: Option<Timestamp>,
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its id: the token of the request that made it.
    pub id: String,
    /// Its value.
    pub value: Arc<Value>,
    /// Its staging labels. A label is at one version at most.
    pub stages: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The beginning of the day on which it was read last.
    pub accessed_on: Option<Timestamp>,
}

/// The value of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text.
    Text(iam::Secret),
    /// Bytes, in base 64.
    Binary(iam::Secret),
}

/// Why a secret has no version to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoVersion {
    /// No version has the staging label.
    Stage(String),
    /// No version has the id.
    Id(String),
    /// The version of the id does not have the staging label.
    Mismatch,
}

impl Record for Secret {}

impl SecretsManager {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { secrets: Table::new("secretsmanager.secrets", journal) }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.secrets.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.secrets.clear();
    }

    /// Finds a secret by name, by ARN, or by an ARN without its random characters. One whose recovery window has passed is
    /// not there any more.
    pub fn find(&self, scope: &Scope, id: &str, now: Timestamp) -> Option<Arc<Secret>> {
        let found = match Arn::parse(id) {
            None => self.secrets.get(scope, &id.to_owned()),
            Some(arn) => self.find_by_arn(scope, &arn),
        };
        found.filter(|secret| !secret.is_gone(now))
    }

    /// Removes a secret if its recovery window has passed.
    pub fn sweep(&self, scope: &Scope, name: &str, now: Timestamp) {
        self.secrets.remove_if(scope, &name.to_owned(), |secret| secret.is_gone(now));
    }

    fn find_by_arn(&self, scope: &Scope, arn: &Arn) -> Option<Arc<Secret>> {
        let is_here = arn.service() == "secretsmanager"
            && arn.account() == Some(scope.account)
            && arn.region().as_ref() == Some(&scope.region);
        let resource = arn.resource().strip_prefix(RESOURCE).filter(|_| is_here)?;
        // What looks like a whole ARN is one: AWS, too, does not find a secret whose own name ends in such characters by
        // a partial ARN.
        match without_suffix(resource) {
            Some(name) => self.secrets.get(scope, &name.to_owned()).filter(|secret| secret.arn == *arn),
            None => self.secrets.get(scope, &resource.to_owned()),
        }
    }
}

impl Secret {
    /// Makes the ARN of a secret from its name and the random characters.
    pub fn arn_of(scope: &Scope, name: &str, suffix: &str) -> Arn {
        Arn::new("secretsmanager", scope, &format!("{RESOURCE}{name}-{suffix}"))
    }

    /// Tells whether it is marked for deletion.
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Tells whether its recovery window has passed.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.deleted_at.is_some_and(|at| at <= now)
    }

    /// Returns the version of an id.
    pub fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// Returns the version that has a staging label.
    pub fn staged(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.has_stage(stage))
    }

    /// Returns the version that a reader asks for: by id, by staging label, by both; by neither the current one.
    pub fn select(&self, id: Option<&str>, stage: Option<&str>) -> Result<&Version, NoVersion> {
        let Some(id) = id else {
            let stage = stage.unwrap_or(CURRENT);
            return self.staged(stage).ok_or_else(|| NoVersion::Stage(stage.to_owned()));
        };
        let version = self.version(id).ok_or_else(|| NoVersion::Id(id.to_owned()))?;
        if stage.is_some_and(|stage| !version.has_stage(stage)) {
            return Err(NoVersion::Mismatch);
        }
        Ok(version)
    }

    /// Puts a staging label on a version, taking it off the one that had it. The version that ceases to be the current
    /// one becomes the previous one.
    pub fn move_stage(&mut self, stage: &str, to: &str) {
        let from = self.staged(stage).map(|version| version.id.clone());
        if from.as_deref() == Some(to) {
            return;
        }
        self.remove_stage(stage);
        if let Some(version) = self.versions.iter_mut().find(|version| version.id == to) {
            version.stages.push(stage.to_owned());
        }
        if stage == CURRENT
            && let Some(from) = from
        {
            self.move_stage(PREVIOUS, &from);
        }
    }

    /// Takes a staging label off the version that has it.
    pub fn remove_stage(&mut self, stage: &str) {
        for version in &mut self.versions {
            version.stages.retain(|known| known != stage);
        }
    }

    /// Adds a version with its staging labels, and forgets the oldest versions without any where there are too many.
    pub fn add_version(&mut self, version: Version) {
        let (id, stages) = (version.id.clone(), version.stages.clone());
        self.versions.push(Version { stages: Vec::new(), ..version });
        stages.iter().for_each(|stage| self.move_stage(stage, &id));
        let surplus = self.versions.len().saturating_sub(VERSIONS_MAX);
        let deprecated = self.versions.iter().filter(|version| version.stages.is_empty() && version.id != id);
        let gone = deprecated.take(surplus).map(|version| version.id.clone()).collect::<BTreeSet<_>>();
        self.versions.retain(|version| !gone.contains(&version.id));
    }
}

impl Version {
    /// Tells whether it has a staging label.
    pub fn has_stage(&self, stage: &str) -> bool {
        self.stages.iter().any(|known| known == stage)
    }
}

/// Takes the random characters off the end of a secret's name in its ARN; none if there are none.
fn without_suffix(resource: &str) -> Option<&str> {
    let (name, suffix) = resource.rsplit_once('-')?;
    let is_suffix = suffix.len() == SUFFIX_LENGTH && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_suffix && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    fn secret(name: &str) -> Secret {
        Secret {
            name: name.to_owned(),
            arn: Secret::arn_of(&scope(), name, "AbCd12"),
            description: None,
            kms_key_id: None,
            kind: None,
            versions: Vec::new(),
            tags: Vec::new(),
            policy: None,
            created_at: NOW,
            changed_at: NOW,
            accessed_on: None,
            deleted_at: None,
        }
    }

    fn add(secret: &mut Secret, id: &str, stages: &[&str]) {
        secret.add_version(Version {
            id: id.to_owned(),
            value: Arc::new(Value::Text(iam::Secret::new("hunter2".to_owned()))),
            stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
            created_at: NOW,
            accessed_on: None,
        });
    }

    fn stages(secret: &Secret) -> String {
        let of = |version: &Version| format!("{}: {}", version.id, version.stages.join(" "));
        secret.versions.iter().map(of).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_secret_is_found_by_name_by_arn_and_by_partial_arn() {
        let state = SecretsManager::new(None);
        state.secrets.insert(&scope(), &"prod/db".to_owned(), secret("prod/db"));
        let arn = |resource: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{resource}");
        let found = |id: &str| state.find(&scope(), id, NOW).is_some();
        assert!(found("prod/db") && found(&arn("prod/db-AbCd12")) && found(&arn("prod/db")));
        assert!(!found("prod/db-AbCd12"), "the name has no random characters");
        assert!(!found(&arn("prod/db-XbCd12")));
        assert!(!found(&arn("prod")));
        assert!(!found("arn:aws:secretsmanager:eu-west-1:000000000000:secret:prod/db"));
        assert!(!found("arn:aws:ssm:us-east-1:000000000000:secret:prod/db"));
    }

    #[test]
    fn a_secret_is_gone_when_its_recovery_window_has_passed() {
        let state = SecretsManager::new(None);
        let due_at = Timestamp::from_millis(2_000);
        let deleted = Secret { deleted_at: Some(due_at), ..secret("a") };
        state.secrets.insert(&scope(), &"a".to_owned(), deleted);
        assert!(state.find(&scope(), "a", Timestamp::from_millis(1_999)).is_some());
        state.sweep(&scope(), "a", Timestamp::from_millis(1_999));
        assert_eq!(state.secrets.len(), 1);
        assert!(state.find(&scope(), "a", due_at).is_none());
        state.sweep(&scope(), "a", due_at);
        assert!(state.secrets.is_empty());
    }

    #[test]
    fn the_current_version_becomes_the_previous_one() {
        let mut secret = secret("a");
        add(&mut secret, "1", &[CURRENT]);
        assert_eq!(stages(&secret), "1: AWSCURRENT");
        add(&mut secret, "2", &[CURRENT]);
        assert_eq!(stages(&secret), "1: AWSPREVIOUS; 2: AWSCURRENT");
        add(&mut secret, "3", &["AWSPENDING"]);
        assert_eq!(stages(&secret), "1: AWSPREVIOUS; 2: AWSCURRENT; 3: AWSPENDING");
        secret.move_stage(CURRENT, "3");
        assert_eq!(stages(&secret), "1: ; 2: AWSPREVIOUS; 3: AWSPENDING AWSCURRENT");
        secret.move_stage(CURRENT, "2");
        assert_eq!(stages(&secret), "1: ; 2: AWSCURRENT; 3: AWSPENDING AWSPREVIOUS");
        secret.remove_stage("AWSPENDING");
        assert_eq!(stages(&secret), "1: ; 2: AWSCURRENT; 3: AWSPREVIOUS");
    }

    #[test]
    fn a_reader_selects_by_id_by_label_or_by_both() {
        let mut secret = secret("a");
        assert_eq!(secret.select(None, None), Err(NoVersion::Stage(CURRENT.to_owned())));
        add(&mut secret, "1", &[CURRENT]);
        add(&mut secret, "2", &[CURRENT]);
        let id = |id, stage| secret.select(id, stage).map(|version| version.id.as_str());
        assert_eq!(id(None, None), Ok("2"));
        assert_eq!(id(Some("1"), None), Ok("1"));
        assert_eq!(id(None, Some(PREVIOUS)), Ok("1"));
        assert_eq!(id(Some("1"), Some(PREVIOUS)), Ok("1"));
        assert_eq!(id(Some("1"), Some(CURRENT)), Err(NoVersion::Mismatch));
        assert_eq!(id(Some("9"), Some(CURRENT)), Err(NoVersion::Id("9".to_owned())));
        assert_eq!(id(None, Some("X")), Err(NoVersion::Stage("X".to_owned())));
    }

    #[test]
    fn only_versions_without_labels_are_forgotten() {
        let mut secret = secret("a");
        add(&mut secret, "kept", &["MINE"]);
        for n in 0..150 {
            add(&mut secret, &n.to_string(), &[CURRENT]);
        }
        assert_eq!(secret.versions.len(), VERSIONS_MAX);
        assert_eq!((secret.versions[0].id.as_str(), secret.versions[1].id.as_str()), ("kept", "51"));
    }

    #[test]
    fn no_log_shows_a_value() {
        let mut secret = secret("a");
        add(&mut secret, "1", &[CURRENT]);
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
