//! Ids, and the two forms in which requests name resources.

use base::Arn;
use state::Cx;

/// How many entries a page has unless the client says so, as in EFS; also the most.
const PAGE_SIZE: usize = 100;

/// Takes the id out of an id or an ARN: `…:file-system/fs-1` is `fs-1`.
pub(crate) fn id_of(reference: Option<String>) -> String {
    let reference = reference.unwrap_or_default();
    match Arn::parse(&reference) {
        Some(arn) => arn.resource().rsplit('/').next().unwrap_or_default().to_owned(),
        None => reference,
    }
}

/// Makes the ARN of a resource.
pub(crate) fn arn(cx: &Cx, resource: &str) -> Arn {
    Arn::new("elasticfilesystem", cx.scope(), resource)
}

/// Reads the size of a page.
pub(crate) fn page_size(asked: Option<i32>) -> usize {
    asked.and_then(|size| usize::try_from(size).ok()).map_or(PAGE_SIZE, |size| size.min(PAGE_SIZE))
}
