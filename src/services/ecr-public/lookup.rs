//! Finding the registry and the repository that a request names.

use std::sync::Arc;

use base::{AccountId, Region, Scope};
use state::Cx;
use state::ecr::Repository;

use crate::{Error, Result, invalid, required};

/// Returns the registry of an account: the caller's, or one that the request names. There is one for all regions.
pub(crate) fn registry(cx: &Cx, id: Option<&str>) -> Result<Scope> {
    let account = match id {
        Some(id) => AccountId::parse(id).ok_or_else(|| invalid("registryId", "must be the id of a registry"))?,
        None => cx.scope().account,
    };
    Ok(Scope::new(account, Region::default()))
}

/// Returns the registry and the name of the repository that a request is about.
pub(crate) fn named(cx: &Cx, registry_id: Option<&str>, name: Option<String>) -> Result<(Scope, String)> {
    Ok((registry(cx, registry_id)?, required(name, "repositoryName")?))
}

/// Finds a repository.
pub(crate) fn find(cx: &Cx, scope: &Scope, name: &str) -> Result<Arc<Repository>> {
    cx.state.ecr.public_repositories.get(scope, &name.to_owned()).ok_or_else(|| not_found(scope, name))
}

/// Changes a repository.
pub(crate) fn change(
    cx: &Cx,
    scope: &Scope,
    name: &str,
    change: impl FnOnce(&mut Repository) -> Result<()>,
) -> Result<Arc<Repository>> {
    let changed = cx.state.ecr.public_repositories.try_update(scope, &name.to_owned(), change);
    changed.ok_or_else(|| not_found(scope, name))?
}

/// Words a repository that is not there.
pub(crate) fn not_found(scope: &Scope, name: &str) -> Error {
    Error::RepositoryNotFound(format!(
        "The repository with name '{name}' does not exist in the registry with id '{}'",
        scope.account
    ))
}
