//! The records of AWS Systems Manager: the parameters of Parameter Store.

use std::sync::Arc;

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag, iam};

/// How many versions a parameter keeps; beyond it the oldest one goes.
pub const VERSIONS_MAX: usize = 100;
/// What stands before the name in a parameter's ARN.
const RESOURCE: &str = "parameter";

/// The tables of Systems Manager.
#[derive(Debug)]
pub struct Ssm {
    /// Parameters by name.
    pub parameters: Table<String, Parameter>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, with a leading `/` if it is in a hierarchy.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The versions that are kept before the latest one, oldest first.
    pub earlier: Vec<Version>,
    /// The latest version.
    pub latest: Version,
}

/// A version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number; the first one is 1.
    pub number: i64,
    /// What its value is.
    pub kind: ParameterKind,
    /// Its value, of whatever kind.
    pub value: Arc<iam::Secret>,
    /// What the value looks like to those who do not ask for its decryption is made of this number, not of the value.
    pub cipher_seed: u64,
    /// The key that encrypts it; only of a SecureString.
    pub key_id: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The regular expression that values must match.
    pub allowed_pattern: Option<String>,
    /// Its tier.
    pub tier: Tier,
    /// What the text means: `text`, `aws:ec2:image`, …
    pub data_type: String,
    /// Its policies.
    pub policies: Vec<Policy>,
    /// Its labels. A label is at one version at most.
    pub labels: Vec<String>,
    /// When it was made.
    pub modified_at: Timestamp,
    /// Who made it.
    pub modified_by: Arn,
}

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterKind {
    /// A text.
    String,
    /// Texts with commas between.
    StringList,
    /// A text that is encrypted.
    SecureString,
}

/// A parameter's tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Up to 4 KB, no policies.
    Standard,
    /// Up to 8 KB.
    Advanced,
}

/// A policy of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its type: `Expiration`, `ExpirationNotification`, `NoChangeNotification`.
    pub kind: String,
    /// The whole policy as it came, a JSON object.
    pub text: String,
    /// When the parameter is gone; only of `Expiration`.
    pub expires_at: Option<Timestamp>,
}

impl Record for Parameter {}

impl Ssm {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { parameters: Table::new("ssm.parameters", journal) }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.parameters.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.parameters.clear();
    }

    /// Finds a parameter by name or ARN, neither with a selector. One that has expired is not there any more.
    pub fn find(&self, scope: &Scope, id: &str, now: Timestamp) -> Option<Arc<Parameter>> {
        let found = match Arn::parse(id) {
            None => self.parameters.get(scope, &id.to_owned()),
            Some(arn) => self.find_by_arn(scope, &arn),
        };
        found.filter(|parameter| !parameter.is_gone(now))
    }

    /// Removes a parameter if it has expired.
    pub fn sweep(&self, scope: &Scope, name: &str, now: Timestamp) {
        self.parameters.remove_if(scope, &name.to_owned(), |parameter| parameter.is_gone(now));
    }

    /// The ARNs of `a` and of `/a` are the same; the first one is meant if there is one.
    fn find_by_arn(&self, scope: &Scope, arn: &Arn) -> Option<Arc<Parameter>> {
        let is_here = arn.service() == "ssm"
            && arn.account() == Some(scope.account)
            && arn.region().as_ref() == Some(&scope.region);
        let path = arn.resource().strip_prefix(RESOURCE).filter(|path| is_here && path.starts_with('/'))?;
        let by_name = self.parameters.get(scope, &path[1..].to_owned());
        by_name.or_else(|| self.parameters.get(scope, &path.to_owned()))
    }
}

impl Parameter {
    /// Makes the ARN of a parameter from its name.
    pub fn arn_of(scope: &Scope, name: &str) -> Arn {
        Arn::new("ssm", scope, &format!("{RESOURCE}/{}", name.strip_prefix('/').unwrap_or(name)))
    }

    /// Returns every version that is kept, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.earlier.iter().chain([&self.latest])
    }

    /// Returns every version that is kept, to be changed.
    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        self.earlier.iter_mut().chain([&mut self.latest])
    }

    /// Returns the version that a selector names: a number or a label. Without one it is the latest.
    pub fn select(&self, selector: Option<&str>) -> Option<&Version> {
        let Some(selector) = selector else { return Some(&self.latest) };
        match selector.parse::<i64>() {
            Ok(number) => self.versions().find(|version| version.number == number),
            Err(_) => self.versions().find(|version| version.labels.iter().any(|label| label == selector)),
        }
    }

    /// Tells whether it has expired.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.latest.policies.iter().any(|policy| policy.expires_at.is_some_and(|at| at <= now))
    }
}

impl ParameterKind {
    /// Returns the kind as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

impl Tier {
    /// Returns the tier as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }
}

/// Splits a selector off a name or an ARN: `name:3`, `name:label`. Names have no colon of their own.
pub fn split_selector(id: &str) -> (&str, Option<&str>) {
    let from = if id.starts_with("arn:") { id.find(":parameter/").map_or(id.len(), |at| at + 1) } else { 0 };
    match id[from..].split_once(':') {
        Some((name, selector)) => (&id[..from + name.len()], Some(selector)),
        None => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    fn version(number: i64, labels: &[&str]) -> Version {
        Version {
            number,
            kind: ParameterKind::SecureString,
            value: Arc::new(iam::Secret::new("hunter2".to_owned())),
            cipher_seed: 0,
            key_id: None,
            description: None,
            allowed_pattern: None,
            tier: Tier::Standard,
            data_type: "text".to_owned(),
            policies: Vec::new(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            modified_at: NOW,
            modified_by: Arn::global("iam", &scope(), "root"),
        }
    }

    fn parameter(name: &str) -> Parameter {
        Parameter {
            name: name.to_owned(),
            arn: Parameter::arn_of(&scope(), name),
            tags: Vec::new(),
            earlier: vec![version(3, &["old"])],
            latest: version(4, &["new", "prod"]),
        }
    }

    #[test]
    fn a_parameter_is_found_by_name_and_by_arn() {
        let state = Ssm::new(None);
        for name in ["plain", "/a/b", "/root"] {
            state.parameters.insert(&scope(), &name.to_owned(), parameter(name));
        }
        let found = |id: &str| state.find(&scope(), id, NOW).map(|parameter| parameter.name.clone());
        let arn = |name: &str| format!("arn:aws:ssm:us-east-1:000000000000:parameter/{name}");
        for (id, name) in [("plain", "plain"), ("/a/b", "/a/b")] {
            assert_eq!(found(id).as_deref(), Some(name));
        }
        for (id, name) in [("plain", "plain"), ("a/b", "/a/b"), ("root", "/root")] {
            assert_eq!(found(&arn(id)).as_deref(), Some(name));
        }
        assert_eq!(found("root"), None);
        assert_eq!(found(&arn("a")), None);
        assert_eq!(found("arn:aws:ssm:eu-west-1:000000000000:parameter/plain"), None);
        assert_eq!(found("arn:aws:ssm:us-east-1:000000000000:document/plain"), None);
    }

    #[test]
    fn a_selector_is_a_number_or_a_label() {
        let parameter = parameter("a");
        let number = |selector| parameter.select(selector).map(|version| version.number);
        assert_eq!(number(None), Some(4));
        assert_eq!(number(Some("3")), Some(3));
        assert_eq!(number(Some("prod")), Some(4));
        assert_eq!(number(Some("old")), Some(3));
        assert_eq!(number(Some("2")), None);
        assert_eq!(number(Some("nope")), None);
    }

    #[test]
    fn a_selector_is_split_off_names_and_arns() {
        let arn = "arn:aws:ssm:us-east-1:000000000000:parameter/a/b";
        let with_label = format!("{arn}:prod");
        for (id, split) in [
            ("a", ("a", None)),
            ("/a/b:3", ("/a/b", Some("3"))),
            ("a:prod", ("a", Some("prod"))),
            (arn, (arn, None)),
            (&with_label, (arn, Some("prod"))),
            ("arn:aws:s3:::bucket", ("arn:aws:s3:::bucket", None)),
        ] {
            assert_eq!(split_selector(id), split);
        }
    }

    #[test]
    fn an_expired_parameter_is_gone() {
        let mut expiring = parameter("a");
        let policy = Policy { kind: "Expiration".to_owned(), text: String::new(), expires_at: Some(NOW) };
        expiring.latest.policies.push(policy);
        let state = Ssm::new(None);
        state.parameters.insert(&scope(), &"a".to_owned(), expiring);
        assert!(state.find(&scope(), "a", Timestamp::from_millis(999)).is_some());
        assert!(state.find(&scope(), "a", NOW).is_none());
        state.sweep(&scope(), "a", NOW);
        assert!(state.parameters.is_empty());
    }

    #[test]
    fn no_log_shows_a_value() {
        assert!(!format!("{:?}", parameter("a")).contains("hunter2"));
    }
}
