//! Images of public repositories: there are none, as nothing can be pushed there.

use api::ecr_public as api;
use state::Cx;

use crate::{Error, Result, lookup, required};

/// Describes images: those that are named are not there.
pub(crate) async fn describe_images(cx: &Cx, input: api::DescribeImagesRequest) -> Result<api::DescribeImagesResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    match input.image_ids.unwrap_or_default().first() {
        None => Ok(api::DescribeImagesResponse { image_details: Some(Vec::new()), next_token: None }),
        Some(id) => Err(Error::ImageNotFound(format!(
            "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name \
             '{name}' in the registry with id '{}'",
            text(&id.image_digest),
            text(&id.image_tag),
            scope.account
        ))),
    }
}

/// Describes the tags of images: there are none.
pub(crate) async fn describe_image_tags(
    cx: &Cx,
    input: api::DescribeImageTagsRequest,
) -> Result<api::DescribeImageTagsResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    Ok(api::DescribeImageTagsResponse { image_tag_details: Some(Vec::new()), next_token: None })
}

/// Deletes images: those that are named are not there.
pub(crate) async fn batch_delete_image(
    cx: &Cx,
    input: api::BatchDeleteImageRequest,
) -> Result<api::BatchDeleteImageResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let failure = |id: api::ImageIdentifier| {
        let (code, reason) = match (&id.image_digest, &id.image_tag) {
            (None, None) => (
                api::ImageFailureCode::MissingDigestAndTag,
                "Invalid request parameters: both tag and digest cannot be null",
            ),
            _ => (api::ImageFailureCode::ImageNotFound, "Requested image not found"),
        };
        api::ImageFailure { image_id: Some(id), failure_code: Some(code), failure_reason: Some(reason.to_owned()) }
    };
    let failures = required(input.image_ids, "imageIds")?.into_iter().map(failure).collect();
    Ok(api::BatchDeleteImageResponse { image_ids: Some(Vec::new()), failures: Some(failures) })
}
