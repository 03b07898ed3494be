//! Changing secrets.

use api::secretsmanager as api;
use state::Cx;
use state::secretsmanager::CURRENT;

use crate::{Result, create, lookup, required};

/// Changes what is said about a secret, and makes a new current version if a value is given.
pub(crate) async fn update_secret(cx: &Cx, input: api::UpdateSecretRequest) -> Result<api::UpdateSecretResponse> {
    let id = required(input.secret_id, "SecretId")?;
    let value = create::value(input.secret_string, input.secret_binary)?;
    let version = value.map(|value| create::version(cx, input.client_request_token, value, vec![CURRENT.to_owned()]));
    let version_id = version.as_ref().map(|version| version.id.clone());
    let secret = lookup::change_active(cx, &id, |secret| {
        if let Some(version) = version {
            // Even the same value again is an error here, unlike in PutSecretValue.
            if secret.version(&version.id).is_some() {
                return Err(create::token_in_use(secret, &version.id));
            }
            secret.add_version(version);
        }
        if let Some(description) = input.description {
            secret.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(key) = input.kms_key_id {
            // The empty text means AWS's own key.
            secret.kms_key_id = Some(key).filter(|key| !key.is_empty());
        }
        if let Some(kind) = input.r#type {
            secret.kind = Some(kind).filter(|kind| !kind.is_empty());
        }
        secret.changed_at = cx.now();
        Ok(())
    })?;
    Ok(api::UpdateSecretResponse { arn: Some(secret.arn.to_string()), name: Some(secret.name.clone()), version_id })
}
