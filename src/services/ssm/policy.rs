//! Policies of parameters: of the three, only `Expiration` does something here. Pure functions.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base::Timestamp;
use serde_json::Value;
use state::ssm::Policy;

use crate::{Error, Result};

/// How many policies a parameter has at most.
const POLICIES_MAX: usize = 10;
const KINDS: [&str; 3] = ["Expiration", "ExpirationNotification", "NoChangeNotification"];

/// Reads the policies of a request: a JSON list, or an empty object for none. (Texts unverified.)
pub(crate) fn read(text: &str) -> Result<Vec<Policy>> {
    let malformed = || Error::InvalidPolicyAttribute("The policies aren't a valid JSON array.".to_owned());
    let items = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => items,
        Ok(Value::Object(members)) if members.is_empty() => Vec::new(),
        Ok(_) | Err(_) => return Err(malformed()),
    };
    if items.len() > POLICIES_MAX {
        let message = format!("You specified more than the maximum number of allowed policies: {POLICIES_MAX}.");
        return Err(Error::PoliciesLimitExceeded(message));
    }
    items.iter().map(one).collect()
}

fn one(item: &Value) -> Result<Policy> {
    let kind = item["Type"].as_str().unwrap_or_default();
    if !KINDS.contains(&kind) {
        return Err(Error::InvalidPolicyType(format!("The policy type {kind} isn't supported.")));
    }
    let expires_at = if kind == "Expiration" { Some(timestamp(&item["Attributes"]["Timestamp"])?) } else { None };
    Ok(Policy { kind: kind.to_owned(), text: item.to_string(), expires_at })
}

fn timestamp(value: &Value) -> Result<Timestamp> {
    let date = value.as_str().and_then(|text| DateTime::from_str(text, Format::DateTimeWithOffset).ok());
    let millis = date.and_then(|date| date.to_millis().ok());
    let invalid = || Error::InvalidPolicyAttribute("The policy attribute Timestamp isn't valid.".to_owned());
    millis.map(Timestamp::from_millis).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiration_has_a_time() {
        let text = r#"[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2018-12-02T21:34:33.000Z"}}]"#;
        let policies = read(text).unwrap();
        assert_eq!(policies[0].expires_at, Some(Timestamp::from_millis(1_543_786_473_000)));
        assert!(read("{}").unwrap().is_empty() && read("[]").unwrap().is_empty());
    }

    #[test]
    fn policies_that_are_none_are_refused() {
        let many = format!("[{}]", [r#"{"Type":"NoChangeNotification"}"#; POLICIES_MAX + 1].join(","));
        assert!(matches!(read("x"), Err(Error::InvalidPolicyAttribute(_))));
        assert!(matches!(read("\"x\""), Err(Error::InvalidPolicyAttribute(_))));
        assert!(matches!(read(r#"[{"Type":"Other"}]"#), Err(Error::InvalidPolicyType(_))));
        assert!(matches!(read(r#"[{"Type":"Expiration"}]"#), Err(Error::InvalidPolicyAttribute(_))));
        assert!(matches!(read(&many), Err(Error::PoliciesLimitExceeded(_))));
    }
}
