//! The registries of ECR in this server, as the image store asks them: layers are read from their files, and nothing goes
//! over HTTP.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Clock, EcrHost, Scope};
use image::{Asked, Blob, Digest, Document, Origin, Reference};
use node::{ImageError, PullStage, RegistryFault};
use registry::PullThrough;
use state::State;
use state::ecr;

/// The registries of ECR in this server.
pub(crate) struct OwnRegistry {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    /// Whose registry it is that has no name of its own.
    scope: Scope,
    /// The gateway's port.
    port: u16,
    /// The caches of other registries; without them only what is here is given.
    caches: Option<Arc<PullThrough>>,
}

impl OwnRegistry {
    pub(crate) fn new(state: Arc<State>, clock: Arc<dyn Clock>, scope: Scope, port: u16) -> Self {
        Self { state, clock, scope, port, caches: None }
    }

    /// Has images of other registries fetched that there are rules for.
    pub(crate) fn with_caches(self, caches: Arc<PullThrough>) -> Self {
        Self { caches: Some(caches), ..self }
    }

    /// Returns whose registry the name tells; none if it is no registry of this server.
    fn scope_of(&self, reference: &Reference) -> Option<Scope> {
        scope_of(reference.registry(), &self.scope, self.port)
    }

    async fn find(
        &self,
        reference: &Reference,
        digest: Option<Digest>,
        stage: PullStage,
    ) -> Result<(Scope, Arc<ecr::Image>), ImageError> {
        let not_found = || ImageError::NotFound { reference: reference.to_string() };
        let scope = self.scope_of(reference).ok_or_else(not_found)?;
        let wanted = match digest {
            Some(digest) => ecr::Reference::Digest(theirs(digest)),
            None => ecr::Reference::Tag(reference.tag().unwrap_or_default().to_owned()),
        };
        if let Some(caches) = &self.caches {
            let had = caches.refresh(&scope, reference.repository(), &wanted).await;
            had.map_err(|error| {
                let (reference, fault) = (reference.to_string(), RegistryFault::Broken(error.to_string()));
                ImageError::Registry { reference, stage, tries: 1, fault }
            })?;
        }
        let image = self.state.ecr.image(&scope, reference.repository(), &wanted).ok_or_else(not_found)?;
        self.state.ecr.note_pull(&scope, reference.repository(), &image.digest, self.clock.now());
        Ok((scope, image))
    }
}

#[async_trait]
impl Origin for OwnRegistry {
    fn serves(&self, reference: &Reference) -> bool {
        self.scope_of(reference).is_some()
    }

    async fn resolve(&self, asked: &Asked) -> Result<Option<Digest>, ImageError> {
        let (_, image) = self.find(&asked.reference, None, PullStage::Resolve).await?;
        Ok(Digest::from_hex(&image.digest.hex()))
    }

    async fn manifest(&self, asked: &Asked, digest: Option<Digest>) -> Result<Document, ImageError> {
        let (_, image) = self.find(&asked.reference, digest, PullStage::Manifest).await?;
        let state = Arc::clone(&self.state);
        let read = tokio::task::spawn_blocking(move || state.ecr.manifest(&image)).await;
        let content = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        content.map(|content| Document { content }).map_err(|error| broken(asked, PullStage::Manifest, &error))
    }

    async fn blob(&self, asked: &Asked, blob: Blob, stage: PullStage) -> Result<Box<dyn Read + Send>, ImageError> {
        let reference = &asked.reference;
        let scope = self.scope_of(reference);
        let scope = scope.ok_or_else(|| ImageError::NotFound { reference: reference.to_string() })?;
        let opened = self.state.ecr.open_layer(&scope, reference.repository(), &theirs(blob.digest));
        match opened.map_err(|error| broken(asked, stage, &error))? {
            Some((file, _)) => Ok(Box::new(file)),
            // It went while the image was being pulled.
            None => Err(ImageError::NotFound { reference: reference.to_string() }),
        }
    }
}

fn theirs(digest: Digest) -> ecr::Digest {
    ecr::Digest::from_hex(&digest.hex()).expect("a sha256 digest is one everywhere")
}

fn broken(asked: &Asked, stage: PullStage, error: &std::io::Error) -> ImageError {
    tracing::error!(image = %asked.reference, %error, "a file of a registry cannot be read");
    let fault = RegistryFault::Broken(error.to_string());
    ImageError::Registry { reference: asked.reference.to_string(), stage, tries: 1, fault }
}

/// Returns whose registry `host` is: one of ECR by its name, or at the gateway's own address that of `default`.
fn scope_of(host: &str, default: &Scope, port: u16) -> Option<Scope> {
    if let Some(named) = EcrHost::parse(host) {
        return Some(named.scope);
    }
    let (name, found) = host.rsplit_once(':')?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (is_here && found.parse() == Ok(port)).then(|| default.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{AccountId, Region};

    #[test]
    fn registries_of_this_server_are_told_by_name_or_by_its_own_port() {
        let default = Scope::new(AccountId::DEFAULT, Region::default());
        let rows = [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(("123456789012", "eu-west-1"))),
            ("123456789012.dkr.ecr.eu-west-1.localhost:4566", Some(("123456789012", "eu-west-1"))),
            ("127.0.0.1:4566", Some((default.account.as_str(), default.region.as_str()))),
            ("localhost:4566", Some((default.account.as_str(), default.region.as_str()))),
            ("[::1]:4566", Some((default.account.as_str(), default.region.as_str()))),
            ("localhost:5000", None),
            ("localhost", None),
            ("docker.io", None),
            ("public.ecr.aws", None),
            ("10.0.0.1:4566", None),
        ];
        for (host, expected) in rows {
            let found = scope_of(host, &default, 4566);
            let found = found.as_ref().map(|scope| (scope.account.as_str(), scope.region.as_str()));
            assert_eq!(found, expected, "{host}");
        }
    }
}
