//! The names of ECR's registries.

use std::fmt;

use crate::{AccountId, Partition, Region, Scope};

/// The name of a registry of ECR: as AWS gives it, or as this machine resolves it without any help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcrHost {
    /// Whose registry it is, and where.
    pub scope: Scope,
    /// How it is named.
    pub form: EcrHostForm,
}

/// How a registry of ECR is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcrHostForm {
    /// `<account>.dkr.ecr.<region>.amazonaws.com`, the name inside tasks.
    Aws,
    /// `<account>.dkr.ecr.<region>.localhost`, with a port unless it is the protocol's own.
    Local(Option<u16>),
}

impl EcrHost {
    /// Parses the host of a URL or of an image's name, with or without a port. The names of AWS's FIPS and dual-stack
    /// endpoints are understood too.
    pub fn parse(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse::<u16>().ok()?)),
            None => (host.as_str(), None),
        };
        let (account, rest) = name.split_once('.')?;
        let (region, form) =
            if let Some(region) = rest.strip_prefix("dkr.ecr.").and_then(|r| r.strip_suffix(".localhost")) {
                (region, EcrHostForm::Local(port))
            } else {
                (aws_region(rest)?, EcrHostForm::Aws)
            };
        let scope = Scope::new(AccountId::parse(account)?, Region::parse(region)?);
        Some(Self { scope, form })
    }

    /// Names a registry for a client that sent its request to `host`: by AWS's name if it asked under one.
    pub fn for_client(scope: &Scope, host: Option<&str>) -> Self {
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() => (name, port.parse::<u16>().ok()),
            _ => (host.as_str(), None),
        };
        let is_aws = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws"].iter().any(|domain| name.ends_with(domain));
        let form = if is_aws { EcrHostForm::Aws } else { EcrHostForm::Local(port) };
        Self { scope: scope.clone(), form }
    }
}

impl fmt::Display for EcrHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "{account}.dkr.ecr.{region}.")?;
        match self.form {
            EcrHostForm::Aws if region.partition() == Partition::AwsCn => f.write_str("amazonaws.com.cn"),
            EcrHostForm::Aws => f.write_str("amazonaws.com"),
            EcrHostForm::Local(None) => f.write_str("localhost"),
            EcrHostForm::Local(Some(port)) => write!(f, "localhost:{port}"),
        }
    }
}

/// Takes the region out of what follows the account in a name of AWS.
fn aws_region(rest: &str) -> Option<&str> {
    let under_amazonaws = |prefix: &str| {
        let rest = rest.strip_prefix(prefix)?;
        rest.strip_suffix(".amazonaws.com.cn").or_else(|| rest.strip_suffix(".amazonaws.com"))
    };
    let under_aws = |prefix: &str| rest.strip_prefix(prefix)?.strip_suffix(".on.aws");
    let dual_stack = || under_aws("dkr-ecr.").or_else(|| under_aws("dkr-ecr-fips."));
    under_amazonaws("dkr.ecr.").or_else(|| under_amazonaws("dkr.ecr-fips.")).or_else(dual_stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_registry_of_an_account_in_a_region() {
        let scope = Scope::new(AccountId::parse("123456789012").unwrap(), Region::parse("eu-west-1").unwrap());
        for (host, form) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", EcrHostForm::Aws),
            ("123456789012.DKR.ecr.eu-west-1.amazonaws.com:443", EcrHostForm::Aws),
            ("123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com", EcrHostForm::Aws),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", EcrHostForm::Aws),
            ("123456789012.dkr.ecr.eu-west-1.localhost", EcrHostForm::Local(None)),
            ("123456789012.dkr.ecr.eu-west-1.localhost:4566", EcrHostForm::Local(Some(4566))),
        ] {
            assert_eq!(EcrHost::parse(host), Some(EcrHost { scope: scope.clone(), form }), "{host}");
        }
        let china = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";
        assert_eq!(EcrHost::parse(china).unwrap().to_string(), china);
    }

    #[test]
    fn other_names_are_none() {
        for host in [
            "localhost:4566",
            "docker.io",
            "12345.dkr.ecr.eu-west-1.amazonaws.com",
            "api.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil",
            "123456789012.dkr.ecr.a.b.localhost",
            "123456789012.dkr.ecr.eu-west-1.localhost:x",
            "",
        ] {
            assert_eq!(EcrHost::parse(host), None, "{host}");
        }
    }

    #[test]
    fn a_client_is_given_the_name_that_it_can_resolve() {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let name = |host| EcrHost::for_client(&scope, host).to_string();
        assert_eq!(name(Some("127.0.0.1:4566")), "000000000000.dkr.ecr.us-east-1.localhost:4566");
        assert_eq!(name(Some("[::1]:80")), "000000000000.dkr.ecr.us-east-1.localhost:80");
        assert_eq!(name(Some("localhost")), "000000000000.dkr.ecr.us-east-1.localhost");
        assert_eq!(name(Some("api.ecr.us-east-1.amazonaws.com")), "000000000000.dkr.ecr.us-east-1.amazonaws.com");
        assert_eq!(name(None), "000000000000.dkr.ecr.us-east-1.localhost");
    }
}
