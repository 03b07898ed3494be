//! Scans of images. Nothing is looked for here: a scan is complete at once and finds nothing, and says so.

use std::collections::BTreeMap;

use api::ecr as api;
use state::Cx;
use state::ecr::Image;

use crate::{Error, Result, image_id, lookup, required};

/// What stands in AWS's place of how a scan went.
const DESCRIPTION: &str = "Neargate does not scan images: that there are no findings says nothing about this one.";

/// Asks for a scan of an image.
pub(crate) async fn start_image_scan(
    cx: &Cx,
    input: api::StartImageScanRequest,
) -> Result<api::StartImageScanResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let id = required(input.image_id, "imageId")?;
    let image = image_id::find(cx, &scope, &name, &id)?;
    if image.is_index() {
        // Text unverified.
        let message = format!(
            "The image type '{}' of the image with imageId {} is not supported for scanning in the repository with name \
             '{name}' in the registry with id '{}'",
            image.media_type,
            image_id::describe(&id),
            scope.account
        );
        return Err(Error::UnsupportedImageType(message));
    }
    cx.state.ecr.update_image(&scope, &name, &image.digest, |image| image.scanned_at = Some(cx.now()));
    let status = api::ImageScanStatus { status: Some(api::ScanStatus::InProgress), description: None };
    Ok(api::StartImageScanResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        image_id: Some(api::ImageIdentifier { image_digest: Some(image.digest.to_string()), ..id }),
        image_scan_status: Some(status),
    })
}

/// Shows what a scan found: nothing.
pub(crate) async fn describe_image_scan_findings(
    cx: &Cx,
    input: api::DescribeImageScanFindingsRequest,
) -> Result<api::DescribeImageScanFindingsResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let id = required(input.image_id, "imageId")?;
    let image = image_id::find(cx, &scope, &name, &id)?;
    let Some(scanned_at) = image.scanned_at else {
        return Err(Error::ScanNotFound(format!(
            "Image scan does not exist for the image with '{}' in the repository with name '{name}' in the registry with \
             id '{}'",
            image_id::describe(&id),
            scope.account
        )));
    };
    let findings = api::ImageScanFindings {
        image_scan_completed_at: Some(scanned_at.into()),
        vulnerability_source_updated_at: None,
        finding_severity_counts: Some(BTreeMap::new()),
        findings: Some(Vec::new()),
        enhanced_findings: None,
    };
    Ok(api::DescribeImageScanFindingsResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        image_id: Some(api::ImageIdentifier { image_digest: Some(image.digest.to_string()), ..id }),
        image_scan_status: status(&image),
        image_scan_findings: Some(findings),
        next_token: None,
    })
}

/// Tells how the scan of an image went, if one was asked for.
pub(crate) fn status(image: &Image) -> Option<api::ImageScanStatus> {
    image.scanned_at?;
    Some(api::ImageScanStatus { status: Some(api::ScanStatus::Complete), description: Some(DESCRIPTION.to_owned()) })
}

/// Counts what the scan of an image found.
pub(crate) fn summary(image: &Image) -> Option<api::ImageScanFindingsSummary> {
    Some(api::ImageScanFindingsSummary {
        image_scan_completed_at: Some(image.scanned_at?.into()),
        vulnerability_source_updated_at: None,
        finding_severity_counts: Some(BTreeMap::new()),
    })
}
