//! What is about an image: signatures, bills of materials, attestations.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use state::ecr::{Digest, Image, OCI_INDEX};

use crate::Cx;
use crate::answer::{OCI_FILTERS_APPLIED, json, set};
use crate::blob::parse;
use crate::error::Error;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl Cx<'_> {
    /// Lists what is about an image, which need not be there.
    pub(crate) fn referrers(&self, name: &str, digest: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let subject = parse(digest)?;
        let kind = self.parameter("artifactType").filter(|kind| !kind.is_empty());
        let (last, count) = self.page()?;
        let last = last.map(|last| parse(&last)).transpose()?;
        let walk = self.ecr().referrers(&self.scope, name, &subject, kind.as_deref());
        let mut walk = walk.filter(|image| last.is_none_or(|last| image.digest > last));
        let images = walk.by_ref().take(count).collect::<Vec<_>>();
        let next = images.last().filter(|_| walk.next().is_some()).map(|image| image.digest.to_string());
        let manifests = images.iter().map(|image| entry(image)).collect();
        let index = Index { schema_version: 2, media_type: OCI_INDEX, manifests };
        let body = serde_json::to_vec(&index).map_err(|error| {
            tracing::error!(%error, "a list of referrers cannot be written");
            Error::internal()
        })?;
        let mut response = json(Bytes::from(body), OCI_INDEX);
        if kind.is_some() {
            set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
        }
        if let Some(next) = next {
            self.link(&mut response, &next);
        }
        Ok(response)
    }
}

fn entry(image: &Image) -> Entry<'_> {
    Entry {
        media_type: &image.media_type,
        digest: image.digest,
        size: image.manifest_size,
        artifact_type: image.kind(),
        annotations: &image.annotations,
    }
}
