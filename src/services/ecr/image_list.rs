//! Listing and describing images, and what refers to them.

use std::sync::Arc;

use api::ecr as api;
use base::{Page, PageToken, Scope};
use state::Cx;
use state::ecr::{Digest, Image};

use crate::{Result, image_id, invalid, invalid_token, lookup, page_size, required, scan};

/// How many images a page has unless the request says.
const PAGE_SIZE: usize = 100;
/// How many referrers a page has unless the request says.
const REFERRERS_PAGE_SIZE: usize = 50;
/// What stands between digest and tag in a page's token.
const SEPARATOR: char = ' ';

/// Lists the tags of a repository with the digests of their images, and the digests of images without tags.
pub(crate) async fn list_images(cx: &Cx, input: api::ListImagesRequest) -> Result<api::ListImagesResponse> {
    const LISTING: &str = "ListImages";
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let filter = input.filter.unwrap_or_default();
    let (wanted, is_active) = (filter.tag_status, is_active(filter.image_status.as_ref()));
    let after = decode(LISTING, input.next_token, &name)?;
    let (digest, tag) = match after.as_deref().map(|after| after.split_once(SEPARATOR).unwrap_or((after, ""))) {
        Some((digest, tag)) => (Some(Digest::parse(digest).ok_or_else(invalid_token)?), tag.to_owned()),
        None => (None, String::new()),
    };
    // The rest of the last page's last image comes first.
    let rest = digest.map(|digest| (digest, cx.state.ecr.tags_of_image(&scope, &name, &digest)));
    let rest = rest.into_iter().flat_map(|(digest, tags)| {
        tags.into_iter().filter(|known| *known > tag).map(move |tag| (digest, Some(tag))).collect::<Vec<_>>()
    });
    let others = cx.state.ecr.images_of(&scope, &name, digest).flat_map(|image| {
        let tags = cx.state.ecr.tags_of_image(&scope, &name, &image.digest);
        let untagged = tags.is_empty().then_some((image.digest, None));
        tags.into_iter().map(move |tag| (image.digest, Some(tag))).chain(untagged).collect::<Vec<_>>()
    });
    let all = rest.chain(others).filter(|(_, tag)| is_active && is_wanted(wanted.as_ref(), tag.is_some()));
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), all, |(digest, tag)| {
        format!("{name}\n{digest}{SEPARATOR}{}", tag.as_deref().unwrap_or_default())
    });
    let id = |(digest, tag): (Digest, Option<String>)| api::ImageIdentifier {
        image_digest: Some(digest.to_string()),
        image_tag: tag,
    };
    let image_ids = page.items.into_iter().map(id).collect();
    Ok(api::ListImagesResponse { image_ids: Some(image_ids), next_token: page.next })
}

/// Describes images, by name or page by page.
pub(crate) async fn describe_images(cx: &Cx, input: api::DescribeImagesRequest) -> Result<api::DescribeImagesResponse> {
    const LISTING: &str = "DescribeImages";
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    if let Some(ids) = input.image_ids {
        let mut details = Vec::with_capacity(ids.len());
        let mut seen = Vec::new();
        for id in &ids {
            let image = image_id::find(cx, &scope, &name, id)?;
            if !seen.contains(&image.digest) {
                seen.push(image.digest);
                details.push(detail(cx, &scope, &image));
            }
        }
        return Ok(api::DescribeImagesResponse { image_details: Some(details), next_token: None });
    }
    let filter = input.filter.unwrap_or_default();
    let is_active = is_active(filter.image_status.as_ref());
    let after = decode(LISTING, input.next_token, &name)?;
    let after = after.map(|after| Digest::parse(&after).ok_or_else(invalid_token)).transpose()?;
    let details = cx.state.ecr.images_of(&scope, &name, after).map(|image| detail(cx, &scope, &image));
    let details =
        details.filter(|detail| is_active && is_wanted(filter.tag_status.as_ref(), detail.image_tags.is_some()));
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), details, |detail| {
        format!("{name}\n{}", detail.image_digest.as_deref().unwrap_or_default())
    });
    Ok(api::DescribeImagesResponse { image_details: Some(page.items), next_token: page.next })
}

/// Lists what is about an image: signatures, attestations and other artifacts.
pub(crate) async fn list_image_referrers(
    cx: &Cx,
    input: api::ListImageReferrersRequest,
) -> Result<api::ListImageReferrersResponse> {
    const LISTING: &str = "ListImageReferrers";
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let subject = required(input.subject_id, "subjectId")?;
    let subject = required(subject.image_digest, "subjectId.imageDigest")?;
    // Text unverified.
    let subject = Digest::parse(&subject).ok_or_else(|| {
        invalid("subjectId.imageDigest", "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
    })?;
    let filter = input.filter.unwrap_or_default();
    let kinds = filter.artifact_types.unwrap_or_default();
    let is_active = !matches!(
        filter.artifact_status,
        Some(api::ArtifactStatusFilter::Archived | api::ArtifactStatusFilter::Activating)
    );
    let after = decode(LISTING, input.next_token, &name)?;
    let after = after.map(|after| Digest::parse(&after).ok_or_else(invalid_token)).transpose()?;
    let all = cx.state.ecr.referrers(&scope, &name, &subject, None).filter(|image| {
        is_active
            && after.is_none_or(|after| image.digest > after)
            && (kinds.is_empty() || image.kind().is_some_and(|kind| kinds.iter().any(|wanted| wanted == kind)))
    });
    let size = page_size(input.max_results, REFERRERS_PAGE_SIZE);
    let page = Page::cut(LISTING, size, all, |image| format!("{name}\n{}", image.digest));
    let referrer = |image: &Arc<Image>| api::ImageReferrer {
        digest: Some(image.digest.to_string()),
        media_type: Some(image.media_type.clone()),
        artifact_type: image.kind().map(str::to_owned),
        size: i64::try_from(image.manifest_size).ok(),
        annotations: (!image.annotations.is_empty()).then(|| image.annotations.clone()),
        artifact_status: Some(api::ArtifactStatus::Active),
    };
    let referrers = page.items.iter().map(referrer).collect();
    Ok(api::ListImageReferrersResponse { referrers: Some(referrers), next_token: page.next })
}

fn detail(cx: &Cx, scope: &Scope, image: &Image) -> api::ImageDetail {
    let tags = cx.state.ecr.tags_of_image(scope, &image.repository, &image.digest);
    api::ImageDetail {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(image.repository.clone()),
        image_digest: Some(image.digest.to_string()),
        image_tags: (!tags.is_empty()).then_some(tags),
        image_size_in_bytes: i64::try_from(image.size_bytes).ok(),
        image_pushed_at: Some(image.pushed_at.into()),
        image_scan_status: scan::status(image),
        image_scan_findings_summary: scan::summary(image),
        image_manifest_media_type: Some(image.media_type.clone()),
        artifact_media_type: image.kind().map(str::to_owned),
        last_recorded_pull_time: image.last_pulled_at.map(Into::into),
        subject_manifest_digest: image.subject.map(|subject| subject.to_string()),
        image_status: Some(api::ImageStatus::Active),
        last_archived_at: None,
        last_activated_at: None,
    }
}

/// Reads a page's token, which is one of a repository.
fn decode(listing: &'static str, token: Option<String>, repository: &str) -> Result<Option<String>> {
    let Some(token) = token else { return Ok(None) };
    let text = PageToken::decode(listing, &token).map_err(|_| invalid_token())?;
    let after = text.strip_prefix(repository).and_then(|rest| rest.strip_prefix('\n'));
    after.map(|after| Some(after.to_owned())).ok_or_else(invalid_token)
}

fn is_wanted(status: Option<&api::TagStatus>, is_tagged: bool) -> bool {
    match status {
        Some(api::TagStatus::Tagged) => is_tagged,
        Some(api::TagStatus::Untagged) => !is_tagged,
        Some(api::TagStatus::Any | api::TagStatus::Other(_)) | None => true,
    }
}

/// Nothing is ever archived here: whoever asks for such images finds none.
fn is_active(status: Option<&api::ImageStatusFilter>) -> bool {
    !matches!(status, Some(api::ImageStatusFilter::Archived | api::ImageStatusFilter::Activating))
}
