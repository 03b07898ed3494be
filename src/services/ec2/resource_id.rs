//! The ids that requests name, and what is said of those that are none or name nothing.

use crate::{Error, Result, error};

/// How many hexadecimal digits an id has: 17 since 2016, 8 before.
const DIGITS: [usize; 2] = [8, 17];

/// A kind of resource, by its ids.
#[derive(Debug)]
pub(crate) struct Kind {
    /// `vpc`, before the hyphen.
    pub(crate) prefix: &'static str,
    /// The code for ids that cannot be. Their spelling follows no rule.
    pub(crate) malformed: &'static str,
    /// The code for ids of nothing.
    pub(crate) not_found: &'static str,
    /// What messages call it.
    pub(crate) noun: &'static str,
}

impl Kind {
    /// Checks the form of an id.
    pub(crate) fn check(&self, id: &str) -> Result<()> {
        let digits = id.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('-'));
        let Some(digits) = digits else {
            let message = format!("Invalid id: \"{id}\" (expecting \"{}-...\")", self.prefix);
            return Err(error(self.malformed, message));
        };
        let is_id = DIGITS.contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(()) } else { Err(error(self.malformed, format!("Invalid id: \"{id}\""))) }
    }

    /// Makes the error of an id that names nothing.
    pub(crate) fn not_found(&self, id: &str) -> Error {
        error(self.not_found, format!("The {} '{id}' does not exist", self.noun))
    }
}

/// Makes an id of another kind that follows from `id`, for parts that have no record of their own.
pub(crate) fn derived(prefix: &str, id: &str) -> String {
    let digits = id.split_once('-').map_or(id, |(_, digits)| digits);
    format!("{prefix}-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fails;

    const VPC: Kind =
        Kind { prefix: "vpc", malformed: "InvalidVpcID.Malformed", not_found: "InvalidVpcID.NotFound", noun: "vpc ID" };

    #[test]
    fn an_id_has_its_prefix_and_8_or_17_digits() {
        for id in ["vpc-0123abcd", "vpc-0123456789abcdef0"] {
            VPC.check(id).unwrap();
        }
        for id in ["vpc-", "vpc-x", "vpc-0123ABCD", "vpc-012345678", "vpc-0123abcé"] {
            fails(VPC.check(id), "InvalidVpcID.Malformed", &format!("Invalid id: \"{id}\""));
        }
        for id in ["", "subnet-0123abcd", "vpc", "vpc0123abcd"] {
            let message = format!("Invalid id: \"{id}\" (expecting \"vpc-...\")");
            fails(VPC.check(id), "InvalidVpcID.Malformed", &message);
        }
    }

    #[test]
    fn a_derived_id_keeps_the_digits() {
        assert_eq!(derived("dopt", "vpc-0123abcd"), "dopt-0123abcd");
    }
}
