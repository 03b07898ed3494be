//! Putting, getting and deleting images.

use std::sync::Arc;

use api::ecr as api;
use base::Scope;
use state::ecr::{Change, DeleteImageError, Digest, Image, Push, PutImageError, Reference};
use state::{Cx, State};
use wire::ApiError;

use crate::image_id::{self, Failure, failure};
use crate::{Error, Result, broken, invalid, keep, lookup, off_thread, required};

/// Puts an image in, or a tag on one that is there.
pub(crate) async fn put_image(cx: &Cx, input: api::PutImageRequest) -> Result<api::PutImageResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let manifest = required(input.image_manifest, "imageManifest")?;
    let tag = input.image_tag;
    if tag.as_deref().is_some_and(|tag| !state::ecr::is_tag(tag)) {
        // Text unverified.
        return Err(invalid("imageTag", "must satisfy regular expression '[a-zA-Z0-9-_.]+'"));
    }
    let digest = input.image_digest.map(|text| {
        let digest = Digest::parse(&text);
        digest.ok_or_else(|| invalid("imageDigest", "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"))
    });
    let digest = digest.transpose()?;
    let (of, repository, its_tag, now) = (scope.clone(), name.clone(), tag.clone(), cx.now());
    let put = move |state: &State| {
        let push = Push {
            repository: &repository,
            tag: its_tag.as_deref(),
            digest,
            media_type: input.image_manifest_media_type.as_deref(),
            manifest: manifest.as_bytes(),
        };
        (state.ecr.put_image(&of, &push, now), manifest)
    };
    let (pushed, manifest) = off_thread(cx, put).await?;
    let pushed = pushed.map_err(|error| word_put(&scope, &name, digest, error))?;
    keep(cx).await?;
    if pushed.change == Change::Nothing {
        return Err(Error::ImageAlreadyExists(format!(
            "Image with digest '{}' and tag '{}' already exists in the repository with name '{name}' in registry with id \
             '{}'",
            pushed.image.digest,
            tag.as_deref().unwrap_or("null"),
            scope.account
        )));
    }
    let id = api::ImageIdentifier { image_digest: Some(pushed.image.digest.to_string()), image_tag: tag };
    Ok(api::PutImageResponse { image: Some(view(&scope, &pushed.image, id, manifest)) })
}

/// Returns the manifests of images.
pub(crate) async fn batch_get_image(cx: &Cx, input: api::BatchGetImageRequest) -> Result<api::BatchGetImageResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in required(input.image_ids, "imageIds")? {
        let found = image_id::resolve(&cx.state, &scope, &name, &id).and_then(|image| {
            let accepted = input.accepted_media_types.as_deref();
            if accepted.is_none_or(|all| all.iter().any(|kind| *kind == image.media_type)) {
                return Ok(image);
            }
            // ECR converts what it can; what it cannot is not found. (Unverified.)
            Err(failure(api::ImageFailureCode::ImageNotFound, "Requested image not found"))
        });
        match found {
            Ok(image) => {
                let manifest = read(cx, &image).await?;
                cx.state.ecr.note_pull(&scope, &name, &image.digest, cx.now());
                let id = api::ImageIdentifier { image_digest: Some(image.digest.to_string()), ..id };
                images.push(view(&scope, &image, id, manifest));
            }
            Err(failure) => failures.push(view_failure(id, failure)),
        }
    }
    Ok(api::BatchGetImageResponse { images: Some(images), failures: Some(failures) })
}

/// Deletes images, or tags of them.
pub(crate) async fn batch_delete_image(
    cx: &Cx,
    input: api::BatchDeleteImageRequest,
) -> Result<api::BatchDeleteImageResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let ids = required(input.image_ids, "imageIds")?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    let now = cx.now();
    let delete_all = move |state: &State| {
        let found = ids.iter().map(|id| wanted(state, &scope, &name, id)).collect::<Vec<_>>();
        let references = found.iter().flatten().cloned().collect::<Vec<_>>();
        let mut deleted = state.ecr.delete_images(&scope, &name, &references, now).into_iter();
        let outcomes = found.into_iter().map(|found| match found {
            Ok(_) => deleted.next().expect("each reference has an outcome").map_err(word_delete),
            Err(failure) => Err(failure),
        });
        outcomes.zip(ids).collect::<Vec<_>>()
    };
    let outcomes = off_thread(cx, delete_all).await?;
    keep(cx).await?;
    for (outcome, id) in outcomes {
        match outcome {
            Ok(gone) => {
                let digest = Some(gone.digest.to_string());
                let untagged = gone.tags.is_empty().then_some(None);
                for image_tag in gone.tags.into_iter().map(Some).chain(untagged) {
                    deleted.push(api::ImageIdentifier { image_digest: digest.clone(), image_tag });
                }
            }
            Err(failure) => failures.push(view_failure(id, failure)),
        }
    }
    Ok(api::BatchDeleteImageResponse { image_ids: Some(deleted), failures: Some(failures) })
}

/// Tells what is to be deleted.
fn wanted(
    state: &State,
    scope: &Scope,
    name: &str,
    id: &api::ImageIdentifier,
) -> std::result::Result<Reference, Failure> {
    let image = image_id::resolve(state, scope, name, id)?;
    Ok(match &id.image_tag {
        Some(tag) => Reference::Tag(tag.clone()),
        None => Reference::Digest(image.digest),
    })
}

fn word_delete(error: DeleteImageError) -> Failure {
    match error {
        DeleteImageError::RepositoryNotFound | DeleteImageError::NotFound => {
            failure(api::ImageFailureCode::ImageNotFound, "Requested image not found")
        }
        DeleteImageError::ReferencedBy(indexes) => failure(
            api::ImageFailureCode::ImageReferencedByManifestList,
            format!("Requested image referenced by manifest list: [{}]", list(&indexes)),
        ),
    }
}

/// Reads a manifest. Manifests are JSON, so they are text.
async fn read(cx: &Cx, image: &Arc<Image>) -> Result<String> {
    let its = Arc::clone(image);
    let bytes = off_thread(cx, move |state| state.ecr.manifest(&its))
        .await?
        .map_err(|error| wire_error(&error, &image.digest))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn view(scope: &Scope, image: &Image, id: api::ImageIdentifier, manifest: String) -> api::Image {
    api::Image {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(image.repository.clone()),
        image_id: Some(id),
        image_manifest: Some(manifest),
        image_manifest_media_type: Some(image.media_type.clone()),
    }
}

fn view_failure(id: api::ImageIdentifier, failure: Failure) -> api::ImageFailure {
    api::ImageFailure { image_id: Some(id), failure_code: Some(failure.code), failure_reason: Some(failure.reason) }
}

/// Words why an image is not put. (Those of manifests and digests unverified.)
fn word_put(scope: &Scope, name: &str, digest: Option<Digest>, error: PutImageError) -> Error {
    let required = |what: &str, digests: &[Digest]| {
        format!(
            "{what} with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with \
             id '{}' do not exist",
            list(digests),
            scope.account
        )
    };
    match error {
        PutImageError::RepositoryNotFound => lookup::not_found(scope, name),
        PutImageError::TooLarge | PutImageError::Manifest(_) => {
            invalid("ImageManifest", &format!("Invalid image manifest provided: {error}"))
        }
        PutImageError::DigestMismatch { calculated } => {
            let given = digest.map(|digest| digest.to_string()).unwrap_or_default();
            Error::ImageDigestDoesNotMatch(format!(
                "The specified image digest '{given}' does not match the digest '{calculated}' of the manifest"
            ))
        }
        PutImageError::LayersNotFound(digests) => Error::LayersNotFound(required("Layers", &digests)),
        PutImageError::ImagesNotFound(digests) => Error::ReferencedImagesNotFound(required("Images", &digests)),
        PutImageError::TagImmutable(tag) => Error::ImageTagAlreadyExists(format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the \
             repository is immutable."
        )),
        PutImageError::TooManyTags(max) => Error::LimitExceeded(format!(
            "The maximum number of tags per image ({max}) has been exceeded in the repository with name '{name}' in the \
             registry with id '{}'",
            scope.account
        )),
        PutImageError::Io(error) => broken("cannot keep a manifest", &error),
    }
}

fn wire_error(error: &std::io::Error, digest: &Digest) -> Error {
    tracing::error!(%error, %digest, "cannot read a manifest");
    ApiError::internal().into()
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}
