//! Manifests: put, sent, removed.

use std::sync::Arc;

use base::Scope;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{Method, Response, StatusCode};
use state::ecr::{DeleteImageError, Digest, Ecr, Image, Push, PutImageError, Reference};

use crate::Cx;
use crate::answer::{DOCKER_CONTENT_DIGEST, OCI_SUBJECT, empty, json, set};
use crate::error::Error;
use crate::receive::{Incoming, off_thread};

impl Cx<'_> {
    /// Tells of a manifest, or sends it.
    pub(crate) async fn manifest(&self, name: &str, reference: &str) -> Result<Response<Bytes>, Error> {
        let reference = Reference::parse(reference).ok_or_else(Error::manifest_unknown)?;
        if let Some(caches) = self.registry.caches.get()
            && crate::route::is_name(name)
        {
            let had = caches.refresh(&self.scope, name, &reference).await;
            had.map_err(|error| Error::upstream(&error))?;
        }
        self.existing(name)?;
        let image = self.ecr().image(&self.scope, name, &reference).ok_or_else(Error::manifest_unknown)?;
        if !self.accepts(&image.media_type) {
            return Err(Error::manifest_not_acceptable(&image.media_type));
        }
        let etag = format!("\"{}\"", image.digest);
        if self.header(IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|known| known.trim() == etag)) {
            let mut response = empty(StatusCode::NOT_MODIFIED);
            set(&mut response, ETAG, &etag);
            return Ok(response);
        }
        let bytes = if self.head.method == Method::HEAD { Bytes::new() } else { self.read(name, &image).await? };
        let mut response = json(bytes, &image.media_type);
        set(&mut response, CONTENT_LENGTH, &image.manifest_size.to_string());
        set(&mut response, DOCKER_CONTENT_DIGEST, &image.digest.to_string());
        set(&mut response, ETAG, &etag);
        Ok(response)
    }

    async fn read(&self, name: &str, image: &Arc<Image>) -> Result<Bytes, Error> {
        let (state, of) = (Arc::clone(&self.registry.state), Arc::clone(image));
        let bytes = match off_thread(move || state.ecr.manifest(&of)).await? {
            Ok(bytes) => Bytes::from(bytes),
            // It was removed just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::manifest_unknown()),
            Err(error) => return Err(Error::disk(&error)),
        };
        self.ecr().note_pull(&self.scope, name, &image.digest, self.now());
        Ok(bytes)
    }

    /// Tells whether the client takes manifests of a type. One that names no types of manifests takes all.
    fn accepts(&self, media_type: &str) -> bool {
        let headers = self.head.headers.get_all(ACCEPT).iter().filter_map(|header| header.to_str().ok());
        let types = headers.flat_map(|header| header.split(','));
        let types = types.map(|text| text.split(';').next().unwrap_or_default().trim()).collect::<Vec<_>>();
        let is_of_manifests = |text: &&str| text.contains("manifest") || text.contains("image.index");
        !types.iter().any(is_of_manifests)
            || types.iter().any(|text| [media_type, "*/*", "application/*"].contains(text))
    }

    /// Puts a manifest in.
    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        body: &mut Incoming<'_>,
    ) -> Result<Response<Bytes>, Error> {
        self.existing_for_push(name)?;
        let (tag, digest) = match Reference::parse(reference) {
            Some(Reference::Tag(tag)) => (Some(tag), None),
            Some(Reference::Digest(digest)) => (None, Some(digest)),
            None if reference.contains(':') => {
                return Err(Error::digest_invalid(format!("'{reference}' is not a SHA-256 digest")));
            }
            None => return Err(Error::manifest_invalid(&format!("'{reference}' is not a tag"))),
        };
        let media_type = self.header(CONTENT_TYPE).map(str::to_owned);
        // What programs send that know no better: the manifest says itself what it is.
        let media_type = media_type.filter(|text| text.contains("manifest") || text.contains("image.index"));
        let bytes = body.collect(Ecr::MANIFEST_BYTES_MAX).await?;
        let (state, scope, now) = (Arc::clone(&self.registry.state), self.scope.clone(), self.now());
        let repository = name.to_owned();
        let put = off_thread(move || {
            let (tag, media_type) = (tag.as_deref(), media_type.as_deref());
            let push = Push { repository: &repository, tag, digest, media_type, manifest: &bytes };
            state.ecr.put_image(&scope, &push, now)
        });
        let pushed = put.await?.map_err(|error| self.not_put(name, error))?;
        self.keep().await?;
        let mut response = empty(StatusCode::CREATED);
        set(&mut response, LOCATION, &format!("/v2/{name}/manifests/{}", pushed.image.digest));
        set(&mut response, DOCKER_CONTENT_DIGEST, &pushed.image.digest.to_string());
        if let Some(subject) = &pushed.image.subject {
            set(&mut response, OCI_SUBJECT, &subject.to_string());
        }
        Ok(response)
    }

    fn not_put(&self, name: &str, error: PutImageError) -> Error {
        let account = &self.scope.account;
        match error {
            PutImageError::RepositoryNotFound => self.name_unknown(name),
            PutImageError::TooLarge => Error::too_large(Ecr::MANIFEST_BYTES_MAX as u64),
            PutImageError::Manifest(error) => Error::manifest_invalid(&error.to_string()),
            PutImageError::DigestMismatch { calculated } => {
                Error::digest_invalid(format!("The manifest has the digest '{calculated}'"))
            }
            PutImageError::LayersNotFound(missing) => Error::manifest_blob_unknown(&missing, "Layers", name, account),
            PutImageError::ImagesNotFound(missing) => Error::manifest_blob_unknown(&missing, "Images", name, account),
            PutImageError::TagImmutable(tag) => Error::tag_immutable(&tag, name),
            PutImageError::TooManyTags(max) => Error::limit_exceeded(format!(
                "The maximum number of tags per image, {max}, is reached in the repository with name '{name}' in the \
                 registry with id '{account}'"
            )),
            PutImageError::Io(error) => Error::disk(&error),
        }
    }

    /// Removes an image, or a tag and with its last one the image, as BatchDeleteImage does.
    pub(crate) async fn delete_manifest(&self, name: &str, reference: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let reference = Reference::parse(reference).ok_or_else(Error::manifest_unknown)?;
        let (repository, now) = (name.to_owned(), self.now());
        let delete = move |ecr: &Ecr, scope: &Scope| ecr.delete_image(scope, &repository, &reference, now);
        let deleted = self.off_thread(delete).await?;
        deleted.map_err(|error| match error {
            DeleteImageError::RepositoryNotFound => self.name_unknown(name),
            DeleteImageError::NotFound => Error::manifest_unknown(),
            DeleteImageError::ReferencedBy(indexes) => {
                let indexes = indexes.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ");
                Error::denied(format!("Requested image referenced by manifest list: [{indexes}]"))
            }
        })?;
        self.keep().await?;
        Ok(empty(StatusCode::ACCEPTED))
    }
}
