//! Policy documents: their form, which is checked as AWS does, and how they are shown. What they allow is not asked.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The characters that documents in responses do not keep: all but those that RFC 3986 reserves for nothing.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The version of the policy language that has variables.
const VERSION: &str = "2012-10-17";
/// The version before.
const OLD_VERSION: &str = "2008-10-17";
const DOCUMENT_MEMBERS: &[&str] = &["Version", "Id", "Statement"];
const STATEMENT_MEMBERS: &[&str] =
    &["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
const PRINCIPAL_KINDS: &[&str] = &["AWS", "Service", "Federated", "CanonicalUser"];
const SYNTAX: &str = "Syntax errors in policy.";

/// Shows a document.
pub(crate) fn view(document: &str) -> String {
    utf8_percent_encode(document, ENCODED).to_string()
}

/// Returns the length that counts against quotas: without white space.
pub(crate) fn length(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// Checks a policy that says what its bearer may do. A managed one must be of the present language.
pub(crate) fn check_identity(document: &str, is_managed: bool) -> Result<()> {
    identity(document, is_managed).map_err(malformed)
}

/// Checks a policy that says who may assume a role.
pub(crate) fn check_trust(document: &str) -> Result<()> {
    trust(document).map_err(malformed)
}

fn malformed(message: String) -> Error {
    Error::MalformedPolicyDocument(message)
}

type Checked<T> = std::result::Result<T, String>;

fn identity(document: &str, is_managed: bool) -> Checked<()> {
    let document = read(document).ok_or(SYNTAX)?;
    let version = version(&document)?;
    if is_managed && version != Some(VERSION) {
        return Err(format!("Policy document must be version {VERSION} or greater."));
    }
    for statement in statements(&document)? {
        if has_any(statement, &["Principal", "NotPrincipal"]) {
            return Err("Policy document should not specify a principal.".to_owned());
        }
        let actions = words(statement, ["Action", "NotAction"])?.ok_or("Policy statement must contain actions.")?;
        if actions.iter().any(|action| *action != "*" && !action.contains(':')) {
            return Err("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned());
        }
        let resources =
            words(statement, ["Resource", "NotResource"])?.ok_or("Policy statement must contain resources.")?;
        let is_resource = |text: &&str| *text == "*" || text.starts_with("arn:") || text.starts_with("${");
        if let Some(other) = resources.iter().find(|resource| !is_resource(resource)) {
            return Err(format!("Resource {other} must be in ARN format or \"*\"."));
        }
    }
    Ok(())
}

fn trust(document: &str) -> Checked<()> {
    let document = read(document).ok_or("This policy contains invalid Json")?;
    version(&document)?;
    for statement in statements(&document)? {
        if let Some(field) = ["Resource", "NotResource"].into_iter().find(|field| statement.contains_key(*field)) {
            return Err(format!("Has prohibited field {field}"));
        }
        if !has_any(statement, &["Principal", "NotPrincipal"]) {
            return Err("Missing required field Principal".to_owned());
        }
        ["Principal", "NotPrincipal"].iter().filter_map(|name| statement.get(*name)).try_for_each(principal)?;
        let actions = words(statement, ["Action", "NotAction"])?.ok_or("Missing required field Action")?;
        let is_of_sts = |action: &&str| *action == "*" || action.to_ascii_lowercase().starts_with("sts:");
        if !actions.iter().all(is_of_sts) {
            return Err("AssumeRole policy may only specify STS AssumeRole actions.".to_owned());
        }
    }
    Ok(())
}

/// Reads a document that has no members but those of a policy.
fn read(document: &str) -> Option<Map<String, Value>> {
    let Ok(Value::Object(document)) = serde_json::from_str(document) else { return None };
    document.keys().all(|member| DOCUMENT_MEMBERS.contains(&member.as_str())).then_some(document)
}

fn version(document: &Map<String, Value>) -> Checked<Option<&str>> {
    match document.get("Version") {
        None => Ok(None),
        Some(Value::String(version)) if [VERSION, OLD_VERSION].contains(&version.as_str()) => Ok(Some(version)),
        Some(_) => Err(SYNTAX.to_owned()),
    }
}

/// Returns the statements: one, or a list that has some. Each has its own id, an effect, and known members only.
fn statements(document: &Map<String, Value>) -> Checked<Vec<&Map<String, Value>>> {
    let statements = match document.get("Statement") {
        Some(Value::Object(statement)) => vec![statement],
        Some(Value::Array(items)) if !items.is_empty() => {
            items.iter().map(Value::as_object).collect::<Option<Vec<_>>>().ok_or(SYNTAX)?
        }
        None | Some(_) => return Err(SYNTAX.to_owned()),
    };
    let mut ids = BTreeSet::new();
    for statement in &statements {
        let is_known = statement.keys().all(|member| STATEMENT_MEMBERS.contains(&member.as_str()));
        let has_effect = matches!(statement.get("Effect"), Some(Value::String(it)) if it == "Allow" || it == "Deny");
        let has_condition = statement.get("Condition").is_none_or(Value::is_object);
        if !is_known || !has_effect || !has_condition {
            return Err(SYNTAX.to_owned());
        }
        let Some(id) = statement.get("Sid") else { continue };
        let id = id.as_str().ok_or(SYNTAX)?;
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let rule = "Check that your input satisfies the regular expression [0-9A-Za-z]*";
            return Err(format!("Statement IDs (SID) must be alpha-numeric. {rule}"));
        }
        if !id.is_empty() && !ids.insert(id) {
            return Err("Statement IDs (SID) in a single policy must be unique.".to_owned());
        }
    }
    Ok(statements)
}

fn has_any(statement: &Map<String, Value>, members: &[&str]) -> bool {
    members.iter().any(|member| statement.contains_key(*member))
}

/// Returns the strings of a member or of its opposite, of which a statement has one at most; none if there are none.
fn words<'a>(statement: &'a Map<String, Value>, members: [&str; 2]) -> Checked<Option<Vec<&'a str>>> {
    let found = match members.map(|member| statement.get(member)) {
        [Some(_), Some(_)] => return Err(SYNTAX.to_owned()),
        [Some(found), None] | [None, Some(found)] => found,
        [None, None] => return Ok(None),
    };
    let words = strings(found).ok_or(SYNTAX)?;
    Ok((!words.is_empty()).then_some(words))
}

/// Returns a string or a list of strings.
fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Checks who is named: everyone, or by kind. That those named exist is not asked.
fn principal(value: &Value) -> Checked<()> {
    let kinds = match value {
        Value::String(text) if text == "*" => return Ok(()),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(SYNTAX.to_owned()),
    };
    for (kind, names) in kinds {
        if !PRINCIPAL_KINDS.contains(&kind.as_str()) {
            return Err(SYNTAX.to_owned());
        }
        for name in strings(names).ok_or(SYNTAX)? {
            let is_one = match kind.as_str() {
                "Service" => name.contains('.') && !name.contains(char::is_whitespace),
                "AWS" => is_aws_principal(name),
                _ => !name.is_empty(),
            };
            if !is_one {
                let kind = kind.to_uppercase();
                return Err(format!("Invalid principal in policy: \"{kind}\":\"{name}\""));
            }
        }
    }
    Ok(())
}

/// Returns whether a text is `*`, an account, an ARN, or the id of a role or user that is gone.
fn is_aws_principal(name: &str) -> bool {
    let is_id = || ["AROA", "AIDA"].iter().any(|prefix| name.starts_with(prefix));
    name == "*" || base::AccountId::parse(name).is_some() || base::Arn::parse(name).is_some() || is_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(checked: Result<()>, expected: &str) {
        let message = match checked {
            Ok(()) => "ok".to_owned(),
            Err(error) => wire::ApiError::from(error).message().to_owned(),
        };
        assert_eq!(message, expected);
    }

    fn managed(statement: &str) -> String {
        format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)
    }

    #[test]
    fn an_identity_policy_has_actions_and_resources() {
        for (document, expected) in [
            (managed(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#), "ok"),
            (managed(r#"[{"Effect": "Deny", "NotAction": ["*"], "NotResource": ["arn:aws:s3:::a"]}]"#), "ok"),
            ("{".to_owned(), SYNTAX),
            ("[]".to_owned(), SYNTAX),
            (managed("[]"), SYNTAX),
            (managed("[1]"), SYNTAX),
            (managed(r#"{"Effect": "Maybe", "Action": "s3:*", "Resource": "*"}"#), SYNTAX),
            (managed(r#"{"Effect": "Allow", "Action": 1, "Resource": "*"}"#), SYNTAX),
            (managed(r#"{"Effect": "Allow", "Action": "s3:*", "NotAction": "s3:*", "Resource": "*"}"#), SYNTAX),
            (managed(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Other": 1}"#), SYNTAX),
            (managed(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": 1}"#), SYNTAX),
            (managed(r#"{"Effect": "Allow", "Resource": "*"}"#), "Policy statement must contain actions."),
            (
                managed(r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#),
                "Policy statement must contain actions.",
            ),
            (managed(r#"{"Effect": "Allow", "Action": "s3:*"}"#), "Policy statement must contain resources."),
            (
                managed(r#"{"Effect": "Allow", "Action": "GetObject", "Resource": "*"}"#),
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (
                managed(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "bucket"}"#),
                "Resource bucket must be in ARN format or \"*\".",
            ),
            (
                managed(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}"#),
                "Policy document should not specify a principal.",
            ),
            (
                managed(r#"{"Sid": "a b", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#),
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression \
                 [0-9A-Za-z]*",
            ),
            (
                managed(
                    r#"[{"Sid": "a", "Effect": "Allow", "Action": "s3:*", "Resource": "*"},
                        {"Sid": "a", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}]"#,
                ),
                "Statement IDs (SID) in a single policy must be unique.",
            ),
        ] {
            check(check_identity(&document, true), expected);
        }
    }

    #[test]
    fn a_managed_policy_is_of_the_present_version() {
        let statement = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#;
        let old = format!(r#"{{"Version": "2008-10-17", "Statement": {statement}}}"#);
        let message = "Policy document must be version 2012-10-17 or greater.";
        for document in [old.clone(), format!(r#"{{"Statement": {statement}}}"#)] {
            check(check_identity(&document, true), message);
            check(check_identity(&document, false), "ok");
        }
        check(check_identity(&old.replace("2008", "2030"), false), SYNTAX);
    }

    #[test]
    fn a_trust_policy_names_who_may_assume_the_role() {
        let statement = |rest: &str| managed(&format!(r#"{{"Effect": "Allow", {rest}}}"#));
        for (rest, expected) in [
            (r#""Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole""#, "ok"),
            (r#""Principal": {"AWS": ["123456789012", "*"]}, "Action": ["sts:AssumeRole", "sts:TagSession"]"#, "ok"),
            (r#""Principal": "*", "Action": "sts:AssumeRole", "Condition": {}"#, "ok"),
            (r#""Action": "sts:AssumeRole""#, "Missing required field Principal"),
            (r#""Principal": "*""#, "Missing required field Action"),
            (r#""Principal": "*", "Action": "sts:AssumeRole", "Resource": "*""#, "Has prohibited field Resource"),
            (
                r#""Principal": "*", "Action": "s3:GetObject""#,
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
            (
                r#""Principal": {"Service": "ecs-tasks"}, "Action": "sts:AssumeRole""#,
                "Invalid principal in policy: \"SERVICE\":\"ecs-tasks\"",
            ),
            (
                r#""Principal": {"AWS": "me"}, "Action": "sts:AssumeRole""#,
                "Invalid principal in policy: \"AWS\":\"me\"",
            ),
            (r#""Principal": {"Them": "me"}, "Action": "sts:AssumeRole""#, SYNTAX),
            (r#""Principal": "me", "Action": "sts:AssumeRole""#, SYNTAX),
        ] {
            check(check_trust(&statement(rest)), expected);
        }
        check(check_trust("{,}"), "This policy contains invalid Json");
    }

    #[test]
    fn documents_are_shown_encoded_and_measured_without_white_space() {
        assert_eq!(view(r#"{"a": "é*~"}"#), "%7B%22a%22%3A%20%22%C3%A9%2A~%22%7D");
        assert_eq!(length("{ \"a\":\n\t1 }"), 7);
    }
}
