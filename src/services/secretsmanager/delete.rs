//! Deleting secrets, and taking that back.

use std::time::Duration;

use api::secretsmanager as api;
use base::Timestamp;
use state::Cx;

use crate::{Result, invalid, lookup, refused, required};

/// How long a deleted secret can be restored, unless the request says.
const RECOVERY_DAYS: i64 = 30;
/// How long it may be.
const RECOVERY_DAYS_ALLOWED: std::ops::RangeInclusive<i64> = 7..=30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Marks a secret for deletion, or removes it at once.
pub(crate) async fn delete_secret(cx: &Cx, input: api::DeleteSecretRequest) -> Result<api::DeleteSecretResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let is_forced = input.force_delete_without_recovery.unwrap_or(false);
    if is_forced && input.recovery_window_in_days.is_some() {
        return Err(invalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."));
    }
    let days = input.recovery_window_in_days.unwrap_or(RECOVERY_DAYS);
    if !RECOVERY_DAYS_ALLOWED.contains(&days) {
        return Err(invalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."));
    }
    if is_forced { force(cx, &id) } else { mark(cx, &id, cx.now().plus(DAY * u32::try_from(days).unwrap_or_default())) }
}

/// Takes the mark for deletion off a secret. One that has none stays as it is.
pub(crate) async fn restore_secret(cx: &Cx, input: api::RestoreSecretRequest) -> Result<api::RestoreSecretResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let secret = lookup::change_any(cx, &id, |secret| {
        secret.deleted_at = None;
        Ok(())
    })?;
    Ok(api::RestoreSecretResponse { arn: Some(secret.arn.to_string()), name: Some(secret.name.clone()) })
}

fn mark(cx: &Cx, id: &str, at: Timestamp) -> Result<api::DeleteSecretResponse> {
    let secret = lookup::change_any(cx, id, |secret| {
        if secret.is_deleted() {
            return Err(refused(
                "You can't perform this operation on the secret because it was already scheduled for deletion.",
            ));
        }
        secret.deleted_at = Some(at);
        secret.changed_at = cx.now();
        Ok(())
    })?;
    Ok(api::DeleteSecretResponse {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        deletion_date: Some(at.into()),
    })
}

/// A secret that is not there, or marked already, is no error here: AWS documents so.
fn force(cx: &Cx, id: &str) -> Result<api::DeleteSecretResponse> {
    let found = cx.state.secretsmanager.find(cx.scope(), id, cx.now());
    let removed = found.and_then(|secret| cx.state.secretsmanager.secrets.remove(cx.scope(), &secret.name));
    Ok(api::DeleteSecretResponse {
        arn: removed.as_ref().map(|secret| secret.arn.to_string()),
        name: Some(removed.map_or_else(|| id.to_owned(), |secret| secret.name.clone())),
        deletion_date: Some(cx.now().into()),
    })
}
