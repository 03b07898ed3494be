//! Finding the secret that a request names, and changing it.

use std::sync::Arc;

use state::Cx;
use state::secretsmanager::Secret;

use crate::{Error, Result, refused};

/// Finds a secret by name, ARN or partial ARN, even if it is marked for deletion.
pub(crate) fn find(cx: &Cx, id: &str) -> Result<Arc<Secret>> {
    cx.state.secretsmanager.find(cx.scope(), id, cx.now()).ok_or_else(not_found)
}

/// Finds a secret that is not marked for deletion.
pub(crate) fn find_active(cx: &Cx, id: &str) -> Result<Arc<Secret>> {
    find(cx, id).and_then(|secret| if secret.is_deleted() { Err(deleted()) } else { Ok(secret) })
}

/// Changes a secret that is not marked for deletion.
pub(crate) fn change_active(cx: &Cx, id: &str, change: impl FnOnce(&mut Secret) -> Result<()>) -> Result<Arc<Secret>> {
    change_any(cx, id, |secret| if secret.is_deleted() { Err(deleted()) } else { change(secret) })
}

/// Changes a secret, even if it is marked for deletion.
pub(crate) fn change_any(cx: &Cx, id: &str, change: impl FnOnce(&mut Secret) -> Result<()>) -> Result<Arc<Secret>> {
    let found = find(cx, id)?;
    cx.state.secretsmanager.secrets.try_update(cx.scope(), &found.name, change).ok_or_else(not_found)?
}

pub(crate) fn not_found() -> Error {
    Error::ResourceNotFound("Secrets Manager can't find the specified secret.".to_owned())
}

fn deleted() -> Error {
    refused("You can't perform this operation on the secret because it was marked for deletion.")
}
