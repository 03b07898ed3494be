//! Making secrets.

use std::sync::Arc;

use api::secretsmanager as api;
use aws_smithy_types::{Blob, base64};
use state::secretsmanager::{CURRENT, SUFFIX_LENGTH, Secret, Value, Version};
use state::{Cx, iam};
use wire::ApiError;

use crate::{Error, Result, invalid, refused, required, tag};

/// What names may hold besides letters and digits.
const NAME_SIGNS: &str = "-/_+=.@!";
const SUFFIX_ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Makes a secret, with its first version if a value is given. A request that comes again finds what it made.
pub(crate) async fn create_secret(cx: &Cx, input: api::CreateSecretRequest) -> Result<api::CreateSecretResponse> {
    let name = required(input.name, "Name")?;
    check_name(&name)?;
    if input.add_replica_regions.is_some() {
        return Err(ApiError::not_implemented("secretsmanager", "CreateSecret with AddReplicaRegions").into());
    }
    let value = value(input.secret_string, input.secret_binary)?;
    let version = value.map(|value| version(cx, input.client_request_token, value, vec![CURRENT.to_owned()]));
    let tags = tag::read(input.tags.unwrap_or_default());
    tag::check(&tags)?;
    let make = || Secret {
        arn: Secret::arn_of(cx.scope(), &name, &suffix(cx)),
        name: name.clone(),
        description: input.description,
        kms_key_id: input.kms_key_id.filter(|key| !key.is_empty()),
        kind: input.r#type,
        versions: version.clone().into_iter().collect(),
        tags,
        policy: None,
        created_at: cx.now(),
        changed_at: cx.now(),
        accessed_on: None,
        deleted_at: None,
    };
    cx.state.secretsmanager.sweep(cx.scope(), &name, cx.now());
    let (secret, is_new) = cx.state.secretsmanager.secrets.get_or_insert_with(cx.scope(), &name, make);
    if !is_new {
        check_repeated(&secret, version.as_ref())?;
    }
    Ok(api::CreateSecretResponse {
        arn: Some(secret.arn.to_string()),
        name: Some(secret.name.clone()),
        version_id: version.map(|version| version.id),
        ..api::CreateSecretResponse::default()
    })
}

/// Reads the value of a new version; none if the request has none.
pub(crate) fn value(text: Option<String>, binary: Option<Blob>) -> Result<Option<Value>> {
    match (text, binary) {
        // Text unverified.
        (Some(_), Some(_)) => {
            Err(invalid("You can't specify both a binary secret value and a string secret value in the same secret."))
        }
        (Some(text), None) => Ok(Some(Value::Text(iam::Secret::new(text)))),
        (None, Some(bytes)) => Ok(Some(Value::Binary(iam::Secret::new(base64::encode(bytes))))),
        (None, None) => Ok(None),
    }
}

/// Makes a version. SDKs send a token, which becomes its id; AWS refuses others' requests without one, here they get one.
pub(crate) fn version(cx: &Cx, token: Option<String>, value: Value, stages: Vec<String>) -> Version {
    let id = token.unwrap_or_else(|| cx.ids.uuid());
    Version { id, value: Arc::new(value), stages, created_at: cx.now(), accessed_on: None }
}

/// Words a token that another value has been stored with.
pub(crate) fn token_in_use(secret: &Secret, token: &str) -> Error {
    Error::ResourceExists(format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {}.",
        secret.arn
    ))
}

fn check_name(name: &str) -> Result<()> {
    if name.chars().all(|letter| letter.is_ascii_alphanumeric() || NAME_SIGNS.contains(letter)) {
        return Ok(());
    }
    let message =
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!";
    Err(ApiError::client("ValidationException", message).into())
}

/// Lets a request pass that made the secret before.
fn check_repeated(secret: &Secret, version: Option<&Version>) -> Result<()> {
    if secret.is_deleted() {
        return Err(refused(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    match version.and_then(|version| Some((version, secret.version(&version.id)?))) {
        Some((version, known)) if known.value == version.value => Ok(()),
        Some((version, _)) => Err(token_in_use(secret, &version.id)),
        None => {
            let message = format!("The operation failed because the secret {} already exists.", secret.name);
            Err(Error::ResourceExists(message))
        }
    }
}

/// Makes the random characters at the end of an ARN.
fn suffix(cx: &Cx) -> String {
    let mut bits = cx.ids.bits();
    let letters = (0..SUFFIX_LENGTH).map(|_| {
        let letter = SUFFIX_ALPHABET[usize::try_from(bits % 62).unwrap_or_default()];
        bits /= 62;
        char::from(letter)
    });
    letters.collect()
}
