//! Layers: asked for, sent, removed.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{Method, Response, StatusCode};
use state::ecr::{DeleteLayerError, Digest};
use std::sync::Arc;
use wire::{ByteRange, Content, Source, Stretch};

use crate::answer::{DOCKER_CONTENT_DIGEST, empty, set};
use crate::error::Error;
use crate::{Cx, receive};

impl Cx<'_> {
    /// Tells of a layer, or sends it or a part of it.
    pub(crate) async fn blob(&self, name: &str, digest: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let id = parse(digest)?;
        let unknown = || Error::blob_unknown(digest, name, &self.scope.account);
        // Whoever asks without reading may be about to push an image with it.
        if self.head.method == Method::HEAD {
            let layer = self.ecr().want_layer(&self.scope, name, &id, self.now()).ok_or_else(unknown)?;
            return Ok(about(&id, layer.size));
        }
        let (state, scope, repository) = (Arc::clone(&self.registry.state), self.scope.clone(), name.to_owned());
        let opened = receive::off_thread(move || state.ecr.open_layer(&scope, &repository, &id)).await?;
        let (file, size) = opened.map_err(|error| Error::disk(&error))?.ok_or_else(unknown)?;
        let range = self.header(RANGE).map_or(ByteRange::Everything, |text| ByteRange::parse(text, size));
        let (start, end) = match range {
            ByteRange::Everything => (0, size),
            ByteRange::Part(start, end) => (start, end),
            ByteRange::Unsatisfiable => return Err(Error::range_not_satisfiable(size)),
        };
        let mut response = about(&id, end - start);
        if matches!(range, ByteRange::Part(..)) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
        }
        let stretch = Stretch { source: Source::Open(Arc::new(file)), offset: start, length: end - start };
        response.extensions_mut().insert(Content::Stretches(vec![stretch]));
        Ok(response)
    }

    /// Removes a layer that is part of no image.
    pub(crate) async fn delete_blob(&self, name: &str, digest: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let (id, repository) = (parse(digest)?, name.to_owned());
        let deleted = self.off_thread(move |ecr, scope| ecr.delete_layer(scope, &repository, &id)).await?;
        deleted.map_err(|error| match error {
            DeleteLayerError::RepositoryNotFound => self.name_unknown(name),
            DeleteLayerError::NotFound => Error::blob_unknown(digest, name, &self.scope.account),
            DeleteLayerError::InUse => Error::blob_in_use(digest),
        })?;
        self.keep().await?;
        Ok(empty(StatusCode::ACCEPTED))
    }
}

/// Reads a digest that a client sent.
pub(crate) fn parse(digest: &str) -> Result<Digest, Error> {
    let invalid =
        || Error::digest_invalid(format!("Invalid parameter at 'digest': '{digest}' is not a SHA-256 digest"));
    Digest::parse(digest).ok_or_else(invalid)
}

/// Tells of a layer, of which so many bytes are sent.
fn about(digest: &Digest, length: u64) -> Response<Bytes> {
    let mut response = empty(StatusCode::OK);
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, ETAG, &format!("\"{digest}\""));
    set(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
    response
}
