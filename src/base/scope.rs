//! Who asks, and where: account, region, partition.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A 12-digit AWS account id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The account of a caller whose access key names none, as in other local emulators.
    pub const DEFAULT: Self = Self(*b"000000000000");

    /// Parses exactly twelve decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 12] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// Returns the twelve digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an account id holds only ASCII digits")
    }
}

impl TryFrom<String> for AccountId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a 12-digit account id"))
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.as_str().to_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of AWS that a region belongs to; the second field of every ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// `aws`, the commercial regions.
    Aws,
    /// `aws-cn`, the regions in China.
    AwsCn,
    /// `aws-us-gov`, the GovCloud regions.
    AwsUsGov,
}

impl Partition {
    /// Returns the partition as an ARN spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

/// The name of a region, such as `eu-central-1`. Any name of the right form is a region here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The region of a caller that names none.
    pub const DEFAULT: &'static str = "us-east-1";
    /// Longer names are refused: the longest real one has 14 characters.
    pub const LENGTH_MAX: usize = 32;

    /// Parses lower-case letters, digits and hyphens, beginning with a letter.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = text.len() <= Self::LENGTH_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        is_name.then(|| Self(text.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the partition that the name's prefix tells.
    pub fn partition(&self) -> Partition {
        match self.as_str() {
            name if name.starts_with("cn-") => Partition::AwsCn,
            name if name.starts_with("us-gov-") => Partition::AwsUsGov,
            _ => Partition::Aws,
        }
    }
}

impl Default for Region {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl TryFrom<String> for Region {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not the name of a region"))
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.as_str().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One account in one region: the space in which names are unique. Every table is keyed by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// Joins an account and a region.
    pub fn new(account: AccountId, region: Region) -> Self {
        Self { account, region }
    }
}

/// Who sent a request. Immutable from the gateway on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account and region that the request acts in.
    pub scope: Scope,
    /// The access key id of the signature, if the request was signed.
    pub access_key_id: Option<String>,
    /// The id that the response carries and the logs name.
    pub request_id: String,
    /// Where the request was sent to: a host, with its port unless that is the protocol's own. None if it did not say.
    pub host: Option<String>,
}
