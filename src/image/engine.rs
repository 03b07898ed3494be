//! The images of a container engine on this machine: what `docker build` has made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use node::{Image, ImageError, NetworkFault, Platform, PullStage, RegistryFault};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::catalogue::Source;
use crate::digest::Digest;
use crate::error::{Result, disk};
use crate::reference::Reference;
use crate::room::Room;
use crate::store::Inner;

/// Where Docker listens unless `DOCKER_HOST` says otherwise.
const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the engine may send nothing: it packs an image before its first byte.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How much is written at once, on a thread that may block.
const WRITE_BYTES: usize = 1024 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A container engine that speaks Docker's API on a Unix socket.
#[derive(Clone)]
pub struct Engine {
    client: Client,
}

/// What the engine tells of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Known {
    id: String,
}

impl Engine {
    /// Makes a client of the engine at `socket`; nothing is asked yet.
    pub fn at(socket: &Path) -> Self {
        let builder = Client::builder().unix_socket(socket.to_owned()).tls_certs_only(Vec::new());
        let builder = builder.connect_timeout(CONNECT_TIMEOUT).read_timeout(IDLE_TIMEOUT).http1_only();
        _ = rustls::crypto::ring::default_provider().install_default();
        Self { client: builder.build().expect("without certificates there is nothing that can fail") }
    }

    /// Makes a client of the engine that `DOCKER_HOST` names, or of the usual one.
    pub fn usual() -> Self {
        let host = std::env::var("DOCKER_HOST").ok();
        let socket = host.as_deref().and_then(|host| host.strip_prefix("unix://")).unwrap_or(SOCKET_DEFAULT);
        Self::at(&PathBuf::from(socket))
    }

    /// Asks for something of an image. What the engine does not have is not found, as is everything without an engine.
    async fn ask(&self, reference: &Reference, what: &str) -> Result<Response> {
        let not_found = || ImageError::NotFound { reference: reference.to_string() };
        let url = format!("http://docker/images/{reference}/{what}");
        let response = self.client.get(&url).send().await.map_err(|error| {
            tracing::warn!(image = %reference, %error, "the container engine does not answer");
            not_found()
        })?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(not_found()),
            status => Err(failed(reference, format!("the container engine answers {status}"))),
        }
    }

    /// Finds the digest of the image's configuration.
    async fn config(&self, reference: &Reference) -> Result<Option<Digest>> {
        let mut response = self.ask(reference, "json").await?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|_| broken_off(reference))? {
            answer.extend_from_slice(&piece);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(failed(reference, "the container engine's answer is too long".to_owned()));
            }
        }
        let known = serde_json::from_slice::<Known>(&answer);
        let known = known.map_err(|_| failed(reference, "the container engine's answer is none".to_owned()))?;
        Ok(Digest::parse(&known.id))
    }
}

impl Inner {
    /// Fetches an image from the engine unless it is here as it is there.
    pub(crate) async fn fetch_from_engine(
        self: Arc<Self>,
        engine: &Engine,
        reference: &Reference,
        platform: Platform,
    ) -> Result<Arc<Image>> {
        let config = engine.config(reference).await?;
        let same = |inner: &Self| {
            let catalogue = inner.read();
            let known = catalogue.find(reference, platform)?;
            // With containerd's store, the engine names an image by its manifest.
            let is_same = config.is_some_and(|config| known.stored.config == config || known.named.is(config));
            (known.named.source == Source::Engine && is_same).then(|| Arc::clone(&known.stored.image))
        };
        if let Some(image) = same(&self) {
            return Ok(image);
        }
        let place = Arc::clone(&self.near_pulls).acquire_owned().await.expect("it is never closed");
        tracing::info!(image = %reference, "taking it from the container engine");
        let mut response = engine.ask(reference, "get").await?;
        let archive = self.staging.reserve();
        let file = File::create(archive.path()).await.map_err(disk("make", archive.path()))?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
        let mut bytes = 0;
        let mut room = Room::find(self.staging.dir(), self.limits.free_bytes_min)?;
        while let Some(piece) = response.chunk().await.map_err(|_| broken_off(reference))? {
            bytes += piece.len() as u64;
            if bytes > self.limits.unpacked_bytes_max {
                return Err(failed(reference, format!("it has more than {} bytes", self.limits.unpacked_bytes_max)));
            }
            room.take(piece.len() as u64)?;
            file.write_all(&piece).await.map_err(disk("write", archive.path()))?;
        }
        file.flush().await.map_err(disk("write", archive.path()))?;
        drop(file);
        let (inner, name) = (Arc::clone(&self), reference.clone());
        let load = move || {
            let _place = place;
            inner.load(archive.path(), Some(name), Source::Engine)
        };
        Ok(crate::store::blocking(load, &self.index_path).await?.only())
    }
}

fn broken_off(reference: &Reference) -> ImageError {
    let (stage, why) = (PullStage::Layer, NetworkFault::Broken);
    let fault = RegistryFault::Unreachable { method: "Get", url: "http://docker/".to_owned(), why };
    ImageError::Registry { reference: reference.to_string(), stage, tries: 1, fault }
}

fn failed(reference: &Reference, why: String) -> ImageError {
    let (stage, fault) = (PullStage::Resolve, RegistryFault::Broken(why));
    ImageError::Registry { reference: reference.to_string(), stage, tries: 1, fault }
}
