//! Finding the image that a request names by digest, by tag, or by both.

use std::sync::Arc;

use api::ecr as api;
use base::Scope;
use state::ecr::{Digest, Image, Reference};
use state::{Cx, State};

use crate::{Error, Result};

/// What is wrong with the name of an image, with the words of ECR.
pub(crate) struct Failure {
    /// The code of a failure in a batch.
    pub(crate) code: api::ImageFailureCode,
    /// The reason of a failure in a batch.
    pub(crate) reason: String,
}

/// Finds the image of a request that is about one image.
pub(crate) fn find(cx: &Cx, scope: &Scope, repository: &str, id: &api::ImageIdentifier) -> Result<Arc<Image>> {
    resolve(&cx.state, scope, repository, id).map_err(|failure| match failure.code {
        api::ImageFailureCode::ImageNotFound | api::ImageFailureCode::ImageTagDoesNotMatchDigest => {
            not_found(scope, repository, id)
        }
        _ => Error::InvalidParameter(failure.reason),
    })
}

/// Finds the image of a request that is about many.
pub(crate) fn resolve(
    state: &State,
    scope: &Scope,
    repository: &str,
    id: &api::ImageIdentifier,
) -> std::result::Result<Arc<Image>, Failure> {
    let (digest, tag) = read(id)?;
    let find = |reference: &Reference| {
        let not_found = || failure(api::ImageFailureCode::ImageNotFound, "Requested image not found");
        state.ecr.image(scope, repository, reference).ok_or_else(not_found)
    };
    match (digest, tag) {
        (Some(digest), None) => find(&Reference::Digest(digest)),
        (None, Some(tag)) => find(&Reference::Tag(tag)),
        (Some(digest), Some(tag)) => {
            let image = find(&Reference::Tag(tag))?;
            let code = api::ImageFailureCode::ImageTagDoesNotMatchDigest;
            // Text unverified.
            if image.digest == digest {
                Ok(image)
            } else {
                Err(failure(code, "Image tag does not match the image digest"))
            }
        }
        (None, None) => {
            let reason = "Invalid request parameters: both tag and digest cannot be null";
            Err(failure(api::ImageFailureCode::MissingDigestAndTag, reason))
        }
    }
}

/// Words an image that is not there.
pub(crate) fn not_found(scope: &Scope, repository: &str, id: &api::ImageIdentifier) -> Error {
    Error::ImageNotFound(format!(
        "The image with imageId {} does not exist within the repository with name '{repository}' in the registry with id \
         '{}'",
        describe(id),
        scope.account
    ))
}

/// Shows the name of an image as messages do.
pub(crate) fn describe(id: &api::ImageIdentifier) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    format!("{{imageDigest:'{}', imageTag:'{}'}}", text(&id.image_digest), text(&id.image_tag))
}

/// Makes a failure of a batch.
pub(crate) fn failure(code: api::ImageFailureCode, reason: impl Into<String>) -> Failure {
    Failure { code, reason: reason.into() }
}

fn read(id: &api::ImageIdentifier) -> std::result::Result<(Option<Digest>, Option<String>), Failure> {
    let invalid = || {
        let reason =
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
        failure(api::ImageFailureCode::InvalidImageDigest, reason)
    };
    let digest = id.image_digest.as_deref().map(|text| {
        let text = text.to_ascii_lowercase();
        Digest::parse(&text).map(Some).or_else(|| is_foreign(&text).then_some(None)).ok_or_else(invalid)
    });
    let digest = match digest.transpose()? {
        // A digest by another algorithm is one that no image has.
        Some(None) => return Err(failure(api::ImageFailureCode::ImageNotFound, "Requested image not found")),
        Some(Some(digest)) => Some(digest),
        None => None,
    };
    Ok((digest, id.image_tag.clone()))
}

fn is_foreign(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, digits)| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
        !algorithm.is_empty()
            && algorithm.bytes().all(is_name)
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
