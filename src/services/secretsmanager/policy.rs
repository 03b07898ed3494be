//! Resource policies: kept and shown, not evaluated.

use api::secretsmanager as api;
use serde_json::Value;
use state::Cx;

use crate::{Error, Result, lookup, required};

/// Shows a secret's policy, if it has one.
pub(crate) async fn get_resource_policy(
    cx: &Cx,
    input: api::GetResourcePolicyRequest,
) -> Result<api::GetResourcePolicyResponse> {
    let secret = lookup::find_active(cx, &required(input.secret_id, "SecretId")?)?;
    Ok(api::GetResourcePolicyResponse {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        resource_policy: secret.policy.clone(),
    })
}

/// Gives a secret a policy.
pub(crate) async fn put_resource_policy(
    cx: &Cx,
    input: api::PutResourcePolicyRequest,
) -> Result<api::PutResourcePolicyResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let policy = required(input.resource_policy, "ResourcePolicy")?;
    check(&policy, input.block_public_policy.unwrap_or(false))?;
    let secret = lookup::change_active(cx, &id, |secret| {
        secret.policy = Some(policy);
        Ok(())
    })?;
    Ok(api::PutResourcePolicyResponse { arn: Some(secret.arn.to_string()), name: Some(secret.name.clone()) })
}

/// Takes a secret's policy away, if it has one.
pub(crate) async fn delete_resource_policy(
    cx: &Cx,
    input: api::DeleteResourcePolicyRequest,
) -> Result<api::DeleteResourcePolicyResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let secret = lookup::change_active(cx, &id, |secret| {
        secret.policy = None;
        Ok(())
    })?;
    Ok(api::DeleteResourcePolicyResponse { arn: Some(secret.arn.to_string()), name: Some(secret.name.clone()) })
}

/// Checks that a policy is one, and, if it is asked for, that it is not for everyone. (Texts unverified.)
fn check(policy: &str, blocks_public: bool) -> Result<()> {
    let malformed = || Error::MalformedPolicyDocument("This resource policy contains invalid Json.".to_owned());
    let document = serde_json::from_str::<Value>(policy).map_err(|_| malformed())?;
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => Vec::new(),
    };
    if statements.is_empty() {
        return Err(Error::MalformedPolicyDocument("This resource policy contains no statement.".to_owned()));
    }
    if blocks_public && statements.into_iter().any(is_public) {
        return Err(Error::PublicPolicy("This resource policy grants broad access to your secret.".to_owned()));
    }
    Ok(())
}

/// Tells whether a statement allows everyone something, without a condition.
fn is_public(statement: &Value) -> bool {
    let is_everyone = |principal: &Value| match principal {
        Value::String(name) => name == "*",
        Value::Array(names) => names.iter().any(|name| name == "*"),
        _ => false,
    };
    let principal = &statement["Principal"];
    statement["Effect"] == "Allow"
        && statement.get("Condition").is_none()
        && (is_everyone(principal) || is_everyone(&principal["AWS"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_for_everyone_can_be_blocked() {
        let policy = |principal: &str, more: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"*"{more}}}]}}"#)
        };
        for (policy, is_blocked) in [
            (policy(r#""*""#, ""), true),
            (policy(r#"{"AWS":"*"}"#, ""), true),
            (policy(r#"{"AWS":["123456789012","*"]}"#, ""), true),
            (policy(r#"{"AWS":"123456789012"}"#, ""), false),
            (policy(r#""*""#, r#","Condition":{"StringEquals":{"aws:SourceAccount":"1"}}"#), false),
        ] {
            assert_eq!(check(&policy, true).is_err(), is_blocked, "{policy}");
            assert!(check(&policy, false).is_ok());
        }
    }

    #[test]
    fn a_policy_is_json_with_statements() {
        for policy in ["", "x", "{}", "[]", r#"{"Statement":[]}"#, r#"{"Statement":"x"}"#] {
            assert!(matches!(check(policy, false), Err(Error::MalformedPolicyDocument(_))), "{policy}");
        }
    }
}
