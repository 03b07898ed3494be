//! Layers on their way in: at once, or bit by bit.

use std::sync::Arc;

use base::Scope;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{Response, StatusCode};
use state::ecr::{BeginError, CompleteError, Digest, Ecr, MountError, ResumeError, Writing};

use crate::answer::{DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID, empty, set};
use crate::blob::parse;
use crate::error::Error;
use crate::receive::{Incoming, off_thread};
use crate::{Cx, range};

impl Cx<'_> {
    /// Begins an upload; or mounts a layer of another repository; or takes a whole layer, if its digest is given.
    pub(crate) async fn begin_upload(&self, name: &str, body: &mut Incoming<'_>) -> Result<Response<Bytes>, Error> {
        self.existing_for_push(name)?;
        if let Some(digest) = self.parameter("mount") {
            let id = parse(&digest)?;
            let from = self.parameter("from");
            let (into, now) = (name.to_owned(), self.now());
            let mount = move |ecr: &Ecr, scope: &Scope| ecr.mount_layer(scope, from.as_deref(), &into, &id, now);
            match self.off_thread(mount).await? {
                Ok(_) => {
                    self.keep().await?;
                    return Ok(created(name, &id));
                }
                Err(MountError::RepositoryNotFound) => return Err(self.name_unknown(name)),
                // The client is to upload it.
                Err(MountError::NotFound) => {}
            }
        }
        let digest = self.parameter("digest").map(|digest| parse(&digest)).transpose()?;
        let (state, scope, repository) = (Arc::clone(&self.registry.state), self.scope.clone(), name.to_owned());
        let (ids, sender, now) = (self.registry.ids.clone(), self.sender, self.now());
        let begun = off_thread(move || state.ecr.begin_upload(&scope, &repository, sender, now, &ids)).await?;
        let id = begun.map_err(|error| match error {
            BeginError::RepositoryNotFound => self.name_unknown(name),
            BeginError::TooMany | BeginError::TooManyToRepository => Error::too_many_requests(),
            BeginError::Io(error) => Error::disk(&error),
        })?;
        let Some(digest) = digest else { return Ok(under_way(StatusCode::ACCEPTED, name, &id, 0)) };
        let taken = self.take(name, &id, &digest, body).await;
        if taken.is_err() {
            // Nobody but this request knew of it.
            self.give_up(name, &id).await?;
        }
        taken
    }

    /// Tells how far an upload is.
    pub(crate) async fn upload_status(&self, name: &str, id: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let (repository, upload) = (name.to_owned(), id.to_owned());
        let length = self.off_thread(move |ecr, scope| ecr.upload_length(scope, &repository, &upload)).await?;
        let length = length.map_err(|error| Error::disk(&error))?;
        let length = length.ok_or_else(|| self.upload_unknown(name, id))?;
        Ok(under_way(StatusCode::NO_CONTENT, name, id, length))
    }

    /// Gives an upload up.
    pub(crate) async fn cancel_upload(&self, name: &str, id: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        if !self.give_up(name, id).await? {
            return Err(self.upload_unknown(name, id));
        }
        self.keep().await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Removes an upload. Tells whether there was one.
    async fn give_up(&self, name: &str, id: &str) -> Result<bool, Error> {
        let (repository, upload) = (name.to_owned(), id.to_owned());
        self.off_thread(move |ecr, scope| ecr.cancel_upload(scope, &repository, &upload)).await
    }

    /// Takes a part of a layer.
    pub(crate) async fn append(&self, name: &str, id: &str, body: &mut Incoming<'_>) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let writing = self.receive_part(name, id, body).await?;
        Ok(under_way(StatusCode::ACCEPTED, name, id, writing.length()))
    }

    /// Takes the last part of a layer, if there is one, and makes a layer of all.
    pub(crate) async fn complete(
        &self,
        name: &str,
        id: &str,
        body: &mut Incoming<'_>,
    ) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let digest = self.parameter("digest").ok_or_else(|| Error::digest_invalid("Missing parameter 'digest'"))?;
        let digest = parse(&digest)?;
        self.take(name, id, &digest, body).await
    }

    async fn take(
        &self,
        name: &str,
        id: &str,
        digest: &Digest,
        body: &mut Incoming<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let writing = self.receive_part(name, id, body).await?;
        let (state, expected, now) = (Arc::clone(&self.registry.state), *digest, self.now());
        let completed = off_thread(move || state.ecr.complete_upload(writing, &expected, now)).await?;
        match completed {
            Ok(_) => {}
            Err(CompleteError::NotFound) => return Err(self.upload_unknown(name, id)),
            Err(CompleteError::DigestMismatch { calculated }) => {
                // More bytes would not make it right.
                self.give_up(name, id).await?;
                let message = format!("The layer has the digest '{calculated}', not '{digest}'");
                return Err(Error::digest_invalid(message));
            }
            Err(CompleteError::Io(error)) => return Err(Error::disk(&error)),
        }
        self.keep().await?;
        Ok(created(name, digest))
    }

    /// Puts the body at the end of an upload, if it says that it belongs there or does not say where.
    async fn receive_part(&self, name: &str, id: &str, body: &mut Incoming<'_>) -> Result<Writing, Error> {
        let (state, scope) = (Arc::clone(&self.registry.state), self.scope.clone());
        let (repository, upload, now) = (name.to_owned(), id.to_owned(), self.now());
        let resumed = off_thread(move || state.ecr.resume_upload(&scope, &repository, &upload, now)).await?;
        let writing = resumed.map_err(|error| match error {
            ResumeError::NotFound => self.upload_unknown(name, id),
            ResumeError::Busy => Error::busy(),
            ResumeError::Io(error) => Error::disk(&error),
        })?;
        let Some(range) = self.header(CONTENT_RANGE) else { return body.append(writing, None).await };
        let length = self.header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        // A last request without bytes may still say a range, of nothing.
        let (first, last) = match range::of_part(range) {
            Some(range) => range,
            None if length == Some(0) => return Ok(writing),
            None => return Err(Error::upload_invalid(format!("Invalid Content-Range: '{range}'"))),
        };
        let expected = (last - first).saturating_add(1);
        if length.is_some_and(|length| length != expected) {
            return Err(Error::size_invalid("The body's length is not that of its range"));
        }
        if first != writing.length() {
            return Err(Error::out_of_order(location(name, id), range_of(writing.length())));
        }
        body.append(writing, Some(expected)).await
    }

    fn upload_unknown(&self, name: &str, id: &str) -> Error {
        Error::upload_unknown(id, name, &self.scope.account)
    }
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Tells which bytes there are; of none, Docker's registry says the same as of one.
fn range_of(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn under_way(status: StatusCode, name: &str, id: &str, length: u64) -> Response<Bytes> {
    let mut response = empty(status);
    set(&mut response, LOCATION, &location(name, id));
    set(&mut response, RANGE, &range_of(length));
    set(&mut response, DOCKER_UPLOAD_UUID, id);
    response
}

fn created(name: &str, digest: &Digest) -> Response<Bytes> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
    response
}
