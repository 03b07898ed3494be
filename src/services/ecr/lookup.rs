//! Finding what a request names: the registry, the repository.

use std::sync::Arc;

use base::{AccountId, Scope};
use state::Cx;
use state::ecr::Repository;

use crate::{Error, Result, invalid, required};

/// Returns the registry that a request is about: the caller's own, or one that it names. Policies are not evaluated, so
/// any account's registry is open.
pub(crate) fn registry(cx: &Cx, id: Option<&str>) -> Result<Scope> {
    let Some(id) = id else { return Ok(cx.scope().clone()) };
    let account =
        AccountId::parse(id).ok_or_else(|| invalid("registryId", "must satisfy regular expression '[0-9]{12}'"))?;
    Ok(Scope::new(account, cx.scope().region.clone()))
}

/// Returns the registry and the name of the repository that a request is about.
pub(crate) fn named(cx: &Cx, registry_id: Option<&str>, name: Option<String>) -> Result<(Scope, String)> {
    Ok((registry(cx, registry_id)?, required(name, "repositoryName")?))
}

/// Finds a repository.
pub(crate) fn find(cx: &Cx, scope: &Scope, name: &str) -> Result<Arc<Repository>> {
    cx.state.ecr.repositories.get(scope, &name.to_owned()).ok_or_else(|| not_found(scope, name))
}

/// Changes a repository.
pub(crate) fn change(
    cx: &Cx,
    scope: &Scope,
    name: &str,
    change: impl FnOnce(&mut Repository) -> Result<()>,
) -> Result<Arc<Repository>> {
    let changed = cx.state.ecr.repositories.try_update(scope, &name.to_owned(), change);
    changed.ok_or_else(|| not_found(scope, name))?
}

/// Words a repository that is not there.
pub(crate) fn not_found(scope: &Scope, name: &str) -> Error {
    Error::RepositoryNotFound(format!(
        "The repository with name '{name}' does not exist in the registry with id '{}'",
        scope.account
    ))
}
