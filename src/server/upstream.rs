//! The registries that pull-through caches cache: those elsewhere, and those of ECR in this server.

use std::error::Error;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use image::{Asked, Blob, Digest, KnownLogin, Origin, Reference, Waiting};
use node::{ImageError, Platform, PullStage, RegistryCredentials};
use registry::{Upstream, UpstreamError, Upstreams};
use state::ecr;

/// What the API calls docker's hub.
const HUB: &str = "registry-1.docker.io";

/// Registries as pulls ask them.
pub(crate) struct ImageOrigins {
    own: Arc<dyn Origin>,
    registries: Arc<dyn Origin>,
}

impl ImageOrigins {
    /// `own` has the images of this server, without caches: one that is cached from another registry of this server is
    /// not looked for further on.
    pub(crate) fn new(own: Arc<dyn Origin>, registries: Arc<dyn Origin>) -> Self {
        Self { own, registries }
    }

    fn asked(&self, of: &Upstream, reference: &ecr::Reference) -> Result<(Asked, &dyn Origin), UpstreamError> {
        let registry = if of.registry == HUB { "docker.io" } else { &of.registry };
        let text = match reference {
            ecr::Reference::Tag(tag) => format!("{registry}/{}:{tag}", of.repository),
            ecr::Reference::Digest(digest) => format!("{registry}/{}@{digest}", of.repository),
        };
        let reference = Reference::parse(&text).map_err(|error| UpstreamError::Failed(error.to_string()))?;
        let is_served = |origin: &&Arc<dyn Origin>| origin.serves(&reference);
        let Some(origin) = [&self.own, &self.registries].into_iter().find(is_served) else {
            let why = format!("this server was started with --offline, and does not ask {registry}");
            return Err(UpstreamError::Failed(why));
        };
        let user = of.user.clone();
        let credentials = user.map(|user| RegistryCredentials { username: user.name, password: user.password });
        let (login, waiting) = (KnownLogin::default(), Waiting::default());
        let asked = Asked { reference, platform: Platform::host(), credentials, login, waiting };
        Ok((asked, &**origin))
    }
}

#[async_trait]
impl Upstreams for ImageOrigins {
    async fn resolve(&self, of: &Upstream, tag: &str) -> Result<Option<ecr::Digest>, UpstreamError> {
        let (asked, origin) = self.asked(of, &ecr::Reference::Tag(tag.to_owned()))?;
        let found = origin.resolve(&asked).await.map_err(|error| told(&error))?;
        Ok(found.and_then(|digest| ecr::Digest::from_hex(&digest.hex())))
    }

    async fn manifest(&self, of: &Upstream, reference: &ecr::Reference) -> Result<Vec<u8>, UpstreamError> {
        let (asked, origin) = self.asked(of, reference)?;
        let digest = asked.reference.digest();
        Ok(origin.manifest(&asked, digest).await.map_err(|error| told(&error))?.content)
    }

    async fn layer(&self, of: &Upstream, layer: &ecr::Descriptor) -> Result<Box<dyn Read + Send>, UpstreamError> {
        let (asked, origin) = self.asked(of, &ecr::Reference::Digest(layer.digest))?;
        let digest = Digest::from_hex(&layer.digest.hex()).expect("a sha256 digest is one everywhere");
        let blob = Blob { digest, size_bytes: layer.size };
        origin.blob(&asked, blob, PullStage::Layer).await.map_err(|error| told(&error))
    }
}

fn told(error: &ImageError) -> UpstreamError {
    if matches!(error, ImageError::NotFound { .. }) {
        return UpstreamError::NotFound;
    }
    let causes = std::iter::successors(Some(error as &dyn Error), |error| Error::source(*error));
    UpstreamError::Failed(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
