//! Layers: whether they are there, sending them up in parts, and where they are had from.

use api::ecr as api;
use aws_smithy_types::Blob;
use base::{EcrHost, Scope};
use state::Cx;
use state::ecr::{BeginError, CompleteError, Digest, ResumeError, TokenClaims, UploadSender, Writing};

use crate::{Error, Result, broken, keep, lookup, off_thread, required};

/// How large the parts of an upload should be.
const PART_BYTES: i64 = 20 * 1024 * 1024;
/// How long the address of a layer is good for.
const URL_LIFETIME: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Tells which layers are there.
pub(crate) async fn batch_check_layer_availability(
    cx: &Cx,
    input: api::BatchCheckLayerAvailabilityRequest,
) -> Result<api::BatchCheckLayerAvailabilityResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in required(input.layer_digests, "layerDigests")? {
        let failure = |code, reason: &str| api::LayerFailure {
            layer_digest: Some(text.clone()),
            failure_code: Some(code),
            failure_reason: Some(reason.to_owned()),
        };
        // Texts unverified.
        if text.is_empty() {
            failures.push(failure(api::LayerFailureCode::MissingLayerDigest, "Layer digest is missing"));
            continue;
        }
        let Some(digest) = Digest::parse(&text) else {
            let reason =
                "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
            failures.push(failure(api::LayerFailureCode::InvalidLayerDigest, reason));
            continue;
        };
        let layer = cx.state.ecr.want_layer(&scope, &name, &digest, cx.now());
        layers.push(api::Layer {
            layer_digest: Some(text),
            layer_availability: Some(match layer {
                Some(_) => api::LayerAvailability::Available,
                None => api::LayerAvailability::Unavailable,
            }),
            layer_size: layer.and_then(|layer| i64::try_from(layer.size).ok()),
            media_type: None,
        });
    }
    Ok(api::BatchCheckLayerAvailabilityResponse { layers: Some(layers), failures: Some(failures) })
}

/// Begins an upload.
pub(crate) async fn initiate_layer_upload(
    cx: &Cx,
    input: api::InitiateLayerUploadRequest,
) -> Result<api::InitiateLayerUploadResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let (of, repository, now, ids) = (scope.clone(), name.clone(), cx.now(), cx.ids.clone());
    let begun =
        off_thread(cx, move |state| state.ecr.begin_upload(&of, &repository, UploadSender::Api, now, &ids)).await?;
    let id = begun.map_err(|error| match error {
        BeginError::RepositoryNotFound => lookup::not_found(&scope, &name),
        BeginError::TooMany | BeginError::TooManyToRepository | BeginError::Io(_) => {
            broken("cannot begin an upload", &error)
        }
    })?;
    Ok(api::InitiateLayerUploadResponse { upload_id: Some(id), part_size: Some(PART_BYTES) })
}

/// Takes a part of an upload: the one that follows what is there.
pub(crate) async fn upload_layer_part(
    cx: &Cx,
    input: api::UploadLayerPartRequest,
) -> Result<api::UploadLayerPartResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let id = required(input.upload_id, "uploadId")?;
    let first = required(input.part_first_byte, "partFirstByte")?;
    let last = required(input.part_last_byte, "partLastByte")?;
    let part = required(input.layer_part_blob, "layerPartBlob")?;
    lookup::find(cx, &scope, &name)?;
    let writing = resume(cx, &scope, &name, &id).await?;
    let length = i64::try_from(writing.length()).unwrap_or(i64::MAX);
    if first != length || last.checked_sub(first).and_then(|it| it.checked_add(1)) != size(&part) {
        return Err(Error::InvalidLayerPart(api::InvalidLayerPartException {
            registry_id: Some(scope.account.to_string()),
            repository_name: Some(name),
            upload_id: Some(id),
            last_valid_byte_received: Some((length - 1).max(0)),
            // As the operation's documentation has it; text unverified.
            message: Some(
                "The layer part size is not valid, or the first byte specified is not consecutive to the last byte of a \
                 previous layer part upload."
                    .to_owned(),
            ),
        }));
    }
    let written = off_thread(cx, move |_| write(writing, &part)).await?;
    let length = written.map_err(|error| broken("cannot write a part of a layer", &error))?;
    let last = i64::try_from(length).unwrap_or(i64::MAX) - 1;
    Ok(api::UploadLayerPartResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        upload_id: Some(id),
        last_byte_received: Some(last.max(0)),
    })
}

/// Ends an upload: what came becomes a layer if its digest is right. (Texts unverified.)
pub(crate) async fn complete_layer_upload(
    cx: &Cx,
    input: api::CompleteLayerUploadRequest,
) -> Result<api::CompleteLayerUploadResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let id = required(input.upload_id, "uploadId")?;
    let digests = required(input.layer_digests, "layerDigests")?;
    lookup::find(cx, &scope, &name)?;
    let writing = resume(cx, &scope, &name, &id).await?;
    let account = scope.account;
    let place = format!("in the repository with name '{name}' in the registry with id '{account}'");
    if writing.length() == 0 {
        return Err(Error::EmptyUpload(format!("The upload with id '{id}' {place} does not contain any layer parts")));
    }
    let calculated = writing.digest();
    let digest = digests.iter().find_map(|text| Digest::parse(text)).filter(|digest| *digest == calculated);
    let Some(digest) = digest else {
        return Err(Error::InvalidLayer(format!(
            "The layer digests '[{}]' do not match the digest '{calculated}' of the upload with id '{id}' {place}",
            digests.join(", ")
        )));
    };
    let now = cx.now();
    let completed = off_thread(cx, move |state| state.ecr.complete_upload(writing, &digest, now)).await?;
    let completed = completed.map_err(|error| match error {
        CompleteError::NotFound => upload_not_found(&scope, &name, &id),
        CompleteError::DigestMismatch { .. } | CompleteError::Io(_) => broken("cannot keep a layer", &error),
    })?;
    keep(cx).await?;
    if !completed.is_new {
        return Err(Error::LayerAlreadyExists(format!("Layer with digest '{digest}' already exists {place}")));
    }
    Ok(api::CompleteLayerUploadResponse {
        registry_id: Some(account.to_string()),
        repository_name: Some(name),
        upload_id: Some(id),
        layer_digest: Some(digest.to_string()),
    })
}

/// Gives the address that a layer is had from, which needs no other credentials for a while.
pub(crate) async fn get_download_url_for_layer(
    cx: &Cx,
    input: api::GetDownloadUrlForLayerRequest,
) -> Result<api::GetDownloadUrlForLayerResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let text = required(input.layer_digest, "layerDigest")?;
    let digest = Digest::parse(&text).filter(|digest| cx.state.ecr.layer(&scope, &name, digest).is_some());
    let Some(digest) = digest else {
        // Text unverified.
        return Err(Error::LayersNotFound(format!(
            "The layer with digest '{text}' does not exist in the repository with name '{name}' in the registry with id \
             '{}'",
            scope.account
        )));
    };
    let claims = TokenClaims {
        scope: scope.clone(),
        principal: cx.principal().arn,
        is_public: false,
        expires_at: cx.now().plus(URL_LIFETIME),
    };
    let password = cx.state.ecr.tokens.issue(&cx.ids, &claims);
    let registry = EcrHost::for_client(&scope, cx.caller.host.as_deref());
    // A name that the client has reached is one that it can resolve; what it is about is in the password.
    let address = cx.caller.host.clone().unwrap_or_else(|| registry.to_string());
    let url = format!("http://{address}/v2/{name}/blobs/{digest}?X-Amz-Security-Token={}", escaped(&password));
    Ok(api::GetDownloadUrlForLayerResponse { download_url: Some(url), layer_digest: Some(text) })
}

/// Puts a part at the end of an upload. Blocks on the disk. Returns how many bytes there are then.
fn write(mut writing: Writing, part: &Blob) -> std::io::Result<u64> {
    writing.write(part.as_ref())?;
    Ok(writing.length())
}

async fn resume(cx: &Cx, scope: &Scope, name: &str, id: &str) -> Result<Writing> {
    let (of, repository, upload, now) = (scope.clone(), name.to_owned(), id.to_owned(), cx.now());
    // Of an upload from before a restart all bytes are read.
    let resumed = off_thread(cx, move |state| state.ecr.resume_upload(&of, &repository, &upload, now)).await?;
    resumed.map_err(|error| match error {
        ResumeError::NotFound => upload_not_found(scope, name, id),
        // Two parts at once cannot both be the next one.
        ResumeError::Busy => Error::InvalidLayerPart(api::InvalidLayerPartException {
            registry_id: Some(scope.account.to_string()),
            repository_name: Some(name.to_owned()),
            upload_id: Some(id.to_owned()),
            last_valid_byte_received: None,
            message: Some(error.to_string()),
        }),
        ResumeError::Io(_) => broken("cannot go on with an upload", &error),
    })
}

/// Words an upload that is not there. (Text unverified.)
fn upload_not_found(scope: &Scope, name: &str, id: &str) -> Error {
    Error::UploadNotFound(format!(
        "The upload with id '{id}' does not exist in the repository with name '{name}' in the registry with id '{}'",
        scope.account
    ))
}

fn size(part: &Blob) -> Option<i64> {
    i64::try_from(part.as_ref().len()).ok()
}

/// Writes what is base 64 into a query.
fn escaped(password: &str) -> String {
    password.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
