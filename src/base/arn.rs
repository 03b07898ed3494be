//! Amazon Resource Names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, Region, Scope};

/// An Amazon Resource Name: `arn:<partition>:<service>:<region>:<account>:<resource>`.
///
/// Region and account may be empty, as in `arn:aws:iam::123456789012:role/x` or `arn:aws:s3:::bucket`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn(String);

impl Arn {
    /// Makes the ARN of `resource` (type and name, as in `cluster/default`) in a scope.
    pub fn new(service: &str, scope: &Scope, resource: &str) -> Self {
        let partition = scope.region.partition().as_str();
        Self(format!("arn:{partition}:{service}:{}:{}:{resource}", scope.region, scope.account))
    }

    /// Makes the ARN of a resource of a global service, which has an account and no region.
    pub fn global(service: &str, scope: &Scope, resource: &str) -> Self {
        let partition = scope.region.partition().as_str();
        Self(format!("arn:{partition}:{service}::{}:{resource}", scope.account))
    }

    /// Parses a name with at least six fields, the first of which is `arn`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        let is_arn = fields.next() == Some("arn")
            && fields.next().is_some_and(|partition| !partition.is_empty())
            && fields.next().is_some_and(|service| !service.is_empty())
            && fields.nth(2).is_some_and(|resource| !resource.is_empty());
        is_arn.then(|| Self(text.to_owned()))
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the service field, such as `ecs`.
    pub fn service(&self) -> &str {
        self.field(2)
    }

    /// Returns the region, or none where the field is empty or no region.
    pub fn region(&self) -> Option<Region> {
        Region::parse(self.field(3))
    }

    /// Returns the account, or none where the field is empty or no account.
    pub fn account(&self) -> Option<AccountId> {
        AccountId::parse(self.field(4))
    }

    /// Returns everything after the account: `task/default/0123…`.
    pub fn resource(&self) -> &str {
        self.field(5)
    }

    /// Returns what follows `<kind>/` in the resource, or none if the resource is of another kind.
    pub fn resource_of(&self, kind: &str) -> Option<&str> {
        self.resource().strip_prefix(kind)?.strip_prefix('/')
    }

    fn field(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }
}

impl TryFrom<String> for Arn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not an ARN"))
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.0
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_splits_into_its_fields() {
        let arn = Arn::parse("arn:aws:ecs:eu-west-1:123456789012:task/default/0a:b").unwrap();
        assert_eq!((arn.service(), arn.resource()), ("ecs", "task/default/0a:b"));
        assert_eq!(arn.region().unwrap().as_str(), "eu-west-1");
        assert_eq!(arn.account().unwrap().as_str(), "123456789012");
        assert_eq!(arn.resource_of("task"), Some("default/0a:b"));
        assert_eq!(arn.resource_of("cluster"), None);
    }

    #[test]
    fn a_name_of_fewer_fields_is_no_arn() {
        for text in ["", "arn", "arn:aws:ecs", "arn:aws:ecs:r:1:", "x:aws:ecs:r:1:y", "arn::ecs:r:1:y"] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_region_decides_the_partition() {
        let scope = Scope::new(AccountId::DEFAULT, Region::parse("cn-north-1").unwrap());
        assert_eq!(Arn::new("ecs", &scope, "cluster/a").as_str(), "arn:aws-cn:ecs:cn-north-1:000000000000:cluster/a");
    }
}
