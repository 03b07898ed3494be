//! Image configurations and manifests: read from archives, or made for what comes without.

use node::{ImageConfig, Platform};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfiguration, ImageConfigurationBuilder,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder,
};
use serde::Serialize;

use crate::digest::Digest;
use crate::error::{Result, invalid, unreadable};

const PATH_VARIABLE: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELL: &str = "/bin/sh";
const MANIFEST_SCHEMA_VERSION: u32 = 2;

/// Says whether an image that declares `os` and `arch` is made for `platform`. Some tools leave both empty.
pub(crate) fn is_for(platform: Platform, os: &Os, arch: &Arch) -> bool {
    let is = |text: String, wanted: &str| text.is_empty() || text == wanted;
    is(os.to_string(), "linux") && is(arch.to_string(), platform.architecture())
}

/// Reads a configuration.
pub(crate) fn parse(document: &[u8]) -> Result<ImageConfiguration> {
    serde_json::from_slice(document).map_err(|error| unreadable("the image configuration", &error))
}

/// Returns the digests of the uncompressed layers, the lowest first.
pub(crate) fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>> {
    let parse = |text: &String| {
        Digest::parse(text)
            .ok_or_else(|| invalid(format!("the image configuration names layer `{text}`, which is no sha256 digest")))
    };
    config.rootfs().diff_ids().iter().map(parse).collect()
}

/// Returns the part that a runtime needs.
pub(crate) fn process(config: &ImageConfiguration) -> ImageConfig {
    let Some(config) = config.config() else { return ImageConfig::default() };
    ImageConfig {
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        user: config.user().clone().unwrap_or_default(),
        stop_signal: config.stop_signal().clone().filter(|signal| !signal.is_empty()),
    }
}

/// Makes the configuration of an image that is a bare root file system.
pub(crate) fn for_root_file_system(diff_id: Digest, platform: Platform) -> Vec<u8> {
    let config = ConfigBuilder::default().cmd([SHELL.to_owned()]).env([PATH_VARIABLE.to_owned()]).build();
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids([diff_id.to_string()]).build();
    let config = ImageConfigurationBuilder::default()
        .architecture(Arch::from(platform.architecture()))
        .os(Os::Linux)
        .config(config.expect("every member has a default"))
        .rootfs(rootfs.expect("every member has a default"))
        .build();
    json(&config.expect("every member has a default"))
}

/// Makes the manifest of an image that came without one, of its configuration and the digest and size of each
/// uncompressed layer. The same image always gets the same manifest, and so the same digest.
pub(crate) fn manifest(config: &[u8], layers: &[(Digest, u64)]) -> Vec<u8> {
    let layers = layers.iter().map(|(digest, bytes)| descriptor(MediaType::ImageLayer, *digest, *bytes));
    let manifest = ImageManifestBuilder::default()
        .schema_version(MANIFEST_SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, Digest::of(config), config.len() as u64))
        .layers(layers.collect::<Vec<_>>())
        .build();
    json(&manifest.expect("all required members are set"))
}

fn descriptor(media_type: MediaType, digest: Digest, bytes: u64) -> Descriptor {
    let digest = digest.to_string().parse::<oci_spec::image::Digest>().expect("a sha256 digest is one of OCI");
    DescriptorBuilder::default()
        .media_type(media_type)
        .digest(digest)
        .size(bytes)
        .build()
        .expect("all required members are set")
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document of strings, numbers and lists is always JSON")
}
