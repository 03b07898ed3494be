//! Policies of repositories and of registries: kept and shown, not evaluated.

use api::ecr as api;
use base::Scope;
use serde_json::Value;
use state::Cx;

use crate::{Error, Result, invalid, lookup, required};

/// Gives a repository a policy.
pub(crate) async fn set_repository_policy(
    cx: &Cx,
    input: api::SetRepositoryPolicyRequest,
) -> Result<api::SetRepositoryPolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let text = required(input.policy_text, "policyText")?;
    lookup::find(cx, &scope, &name)?;
    check_repository_policy(&text)?;
    lookup::change(cx, &scope, &name, |repository| {
        repository.policy = Some(text.clone());
        Ok(())
    })?;
    let registry_id = Some(scope.account.to_string());
    Ok(api::SetRepositoryPolicyResponse { registry_id, repository_name: Some(name), policy_text: Some(text) })
}

/// Shows a repository's policy.
pub(crate) async fn get_repository_policy(
    cx: &Cx,
    input: api::GetRepositoryPolicyRequest,
) -> Result<api::GetRepositoryPolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = lookup::find(cx, &scope, &name)?;
    let policy = repository.policy.clone().ok_or_else(|| no_repository_policy(&scope, &name))?;
    let registry_id = Some(scope.account.to_string());
    Ok(api::GetRepositoryPolicyResponse { registry_id, repository_name: Some(name), policy_text: Some(policy) })
}

/// Takes a repository's policy away.
pub(crate) async fn delete_repository_policy(
    cx: &Cx,
    input: api::DeleteRepositoryPolicyRequest,
) -> Result<api::DeleteRepositoryPolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let mut policy = None;
    lookup::change(cx, &scope, &name, |repository| {
        policy = repository.policy.take();
        if policy.is_some() { Ok(()) } else { Err(no_repository_policy(&scope, &name)) }
    })?;
    let registry_id = Some(scope.account.to_string());
    Ok(api::DeleteRepositoryPolicyResponse { registry_id, repository_name: Some(name), policy_text: policy })
}

/// Gives the registry a policy.
pub(crate) async fn put_registry_policy(
    cx: &Cx,
    input: api::PutRegistryPolicyRequest,
) -> Result<api::PutRegistryPolicyResponse> {
    let text = required(input.policy_text, "policyText")?;
    if !is_policy(&text, true) {
        return Err(invalid("PolicyText", "Invalid registry policy provided"));
    }
    cx.state.ecr.change_registry_settings(cx.scope(), |settings| settings.policy = Some(text.clone()));
    let registry_id = Some(cx.scope().account.to_string());
    Ok(api::PutRegistryPolicyResponse { registry_id, policy_text: Some(text) })
}

/// Shows the registry's policy.
pub(crate) async fn get_registry_policy(
    cx: &Cx,
    _: api::GetRegistryPolicyRequest,
) -> Result<api::GetRegistryPolicyResponse> {
    let policy = cx.state.ecr.registry_settings(cx.scope()).policy.clone();
    let policy = policy.ok_or_else(|| no_registry_policy(cx.scope()))?;
    let registry_id = Some(cx.scope().account.to_string());
    Ok(api::GetRegistryPolicyResponse { registry_id, policy_text: Some(policy) })
}

/// Takes the registry's policy away.
pub(crate) async fn delete_registry_policy(
    cx: &Cx,
    _: api::DeleteRegistryPolicyRequest,
) -> Result<api::DeleteRegistryPolicyResponse> {
    let mut policy = None;
    cx.state.ecr.change_registry_settings(cx.scope(), |settings| policy = settings.policy.take());
    let policy = policy.ok_or_else(|| no_registry_policy(cx.scope()))?;
    let registry_id = Some(cx.scope().account.to_string());
    Ok(api::DeleteRegistryPolicyResponse { registry_id, policy_text: Some(policy) })
}

/// Checks the policy of a repository.
pub(crate) fn check_repository_policy(text: &str) -> Result<()> {
    if is_policy(text, false) { Ok(()) } else { Err(invalid("PolicyText", "Invalid repository policy provided")) }
}

/// Tells whether a text is a policy. That of a registry names resources, that of a repository none.
fn is_policy(text: &str, names_resources: bool) -> bool {
    let Ok(Value::Object(document)) = serde_json::from_str::<Value>(text) else { return false };
    let is_version = |version: &Value| version == "2012-10-17" || version == "2008-10-17";
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    document.get("Version").is_none_or(is_version)
        && !statements.is_empty()
        && statements.into_iter().all(|statement| is_statement(statement, names_resources))
}

fn is_statement(statement: &Value, names_resources: bool) -> bool {
    let has_one = |names: [&str; 2]| names.iter().filter(|name| statement.get(**name).is_some()).count() == 1;
    let actions = statement.get("Action").or_else(|| statement.get("NotAction"));
    let is_action = |action: &Value| action.as_str().is_some_and(|text| text == "*" || text.starts_with("ecr:"));
    let are_actions = match actions {
        Some(Value::Array(actions)) => !actions.is_empty() && actions.iter().all(is_action),
        Some(action) => is_action(action),
        None => false,
    };
    let is_principal = |principal: &Value| principal == "*" || principal.as_object().is_some_and(|all| !all.is_empty());
    let principal = statement.get("Principal").or_else(|| statement.get("NotPrincipal"));
    (statement["Effect"] == "Allow" || statement["Effect"] == "Deny")
        && has_one(["Action", "NotAction"])
        && are_actions
        && has_one(["Principal", "NotPrincipal"])
        && principal.is_some_and(is_principal)
        && has_one(["Resource", "NotResource"]) == names_resources
}

fn no_repository_policy(scope: &Scope, name: &str) -> Error {
    Error::RepositoryPolicyNotFound(format!(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{}'",
        scope.account
    ))
}

fn no_registry_policy(scope: &Scope) -> Error {
    Error::RegistryPolicyNotFound(format!("Registry policy does not exist in the registry with id '{}'", scope.account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_a_repository_names_no_resource_and_one_of_a_registry_does() {
        let statement = r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*"}"#;
        let policy = |statement: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        let with = |from: &str, to: &str| {
            assert!(statement.contains(from));
            policy(&statement.replace(from, to))
        };
        assert!(is_policy(&policy(statement), false));
        assert!(!is_policy(&policy(statement), true));
        let with_resource = with("\"ecr:*\"", "\"ecr:*\",\"Resource\":\"*\"");
        assert!(is_policy(&with_resource, true));
        assert!(!is_policy(&with_resource, false));
        for wrong in [
            with("Allow", "Maybe"),
            with("\"ecr:*\"", "\"s3:*\""),
            with("\"ecr:*\"", "[]"),
            with("\"Principal\":\"*\",", ""),
            with("\"*\"", "\"x\""),
            "[]".to_owned(),
            "x".to_owned(),
            r#"{"Version":"2012-10-17"}"#.to_owned(),
            r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
            policy(statement).replace("2012", "2013"),
        ] {
            assert!(!is_policy(&wrong, false), "{wrong}");
        }
    }
}
