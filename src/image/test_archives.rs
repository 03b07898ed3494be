//! Builds the archives that tests load: tars entry by entry, and images of every kind.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::digest::Digest;

/// A tar that is being written.
pub(crate) struct TarBuilder(Builder<Vec<u8>>);

impl TarBuilder {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Adds an entry whose name is written as it is, however hostile.
    pub(crate) fn entry(mut self, kind: EntryType, name: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_link_name_literal(link).unwrap();
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, content.as_bytes())
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, 0o777, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, 0o644, b"")
    }

    pub(crate) fn records(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(crate) fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        self.0.append(header, content).unwrap();
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Packs files given by name and content.
pub(crate) fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(crate) fn write_folder(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// Makes the configuration of an image with the given layers (uncompressed tars).
pub(crate) fn config(layers: &[Vec<u8>], arch: &str) -> Vec<u8> {
    let diff_ids = layers.iter().map(|layer| Digest::of(layer).to_string()).collect::<Vec<_>>();
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": {
            "Entrypoint": ["/entry"], "Cmd": ["a", "b"], "Env": ["A=1"], "WorkingDir": "/w", "User": "1:2",
            "StopSignal": "SIGINT", "Volumes": null, "Healthcheck": {"Test": ["NONE"]},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

pub(crate) fn host_arch() -> String {
    node::Platform::host().architecture().to_owned()
}

/// The files of a docker-archive in docker's old layout: `<id>/layer.tar`.
pub(crate) fn docker_files(tags: &[&str], layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let config = config(layers, &host_arch());
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let layer_name = |at: usize| format!("{at}/layer.tar");
    let names = (0..layers.len()).map(layer_name).collect::<Vec<_>>();
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let mut files = vec![(config_name, config)];
    files.extend(names.iter().cloned().zip(layers.iter().cloned()));
    files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
    files
}

/// An OCI layout that is being put together.
#[derive(Default)]
pub(crate) struct OciBuilder {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) manifests: Vec<Value>,
}

impl OciBuilder {
    pub(crate) fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = Digest::of(&content);
        let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()});
        self.files.push((format!("blobs/sha256/{}", digest.hex()), content));
        descriptor
    }

    /// Adds an image with gzipped layers and returns the descriptor of its manifest.
    pub(crate) fn image(&mut self, layers: &[Vec<u8>], arch: &str) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config(layers, arch));
        let layers = layers.iter().map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip(layer)));
        let layers = layers.collect::<Vec<_>>();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes())
    }

    pub(crate) fn index(&mut self, manifests: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.blob("application/vnd.oci.image.index.v1+json", index.to_string().into_bytes())
    }

    pub(crate) fn top(mut self, descriptor: Value) -> Self {
        self.manifests.push(descriptor);
        self
    }

    pub(crate) fn finish(mut self) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        self.files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        self.files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        self.files
    }
}

/// Adds members to a descriptor.
pub(crate) fn with(mut descriptor: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    descriptor.as_object_mut().unwrap().extend(more);
    descriptor
}

pub(crate) fn platform(arch: &str) -> Value {
    json!({"platform": {"architecture": arch, "os": "linux"}})
}

pub(crate) fn named(name: &str) -> Value {
    json!({"annotations": {"org.opencontainers.image.ref.name": name}})
}
