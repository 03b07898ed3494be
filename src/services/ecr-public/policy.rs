//! Policies of public repositories: kept and shown, not evaluated.

use api::ecr_public as api;
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
    if !is_policy(&text) {
        return Err(invalid("PolicyText", "Invalid repository policy provided"));
    }
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
    let policy = lookup::find(cx, &scope, &name)?.policy.clone().ok_or_else(|| not_found(&scope, &name))?;
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
        if policy.is_some() { Ok(()) } else { Err(not_found(&scope, &name)) }
    })?;
    let registry_id = Some(scope.account.to_string());
    Ok(api::DeleteRepositoryPolicyResponse { registry_id, repository_name: Some(name), policy_text: policy })
}

/// Tells whether a text is a policy that names no resource.
fn is_policy(text: &str) -> bool {
    let Ok(Value::Object(document)) = serde_json::from_str::<Value>(text) else { return false };
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    let is_statement = |statement: &Value| {
        let has = |name: &str| statement.get(name).is_some();
        (statement["Effect"] == "Allow" || statement["Effect"] == "Deny")
            && has("Principal")
            && (has("Action") || has("NotAction"))
            && !has("Resource")
    };
    !statements.is_empty() && statements.into_iter().all(is_statement)
}

fn not_found(scope: &Scope, name: &str) -> Error {
    Error::RepositoryPolicyNotFound(format!(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{}'",
        scope.account
    ))
}
