//! The image that is pulled: made anew in each run, of nothing but numbers and the machine's own busybox.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How many layers the image has, how many files each, and how long they are: 200 MiB in all.
pub(crate) const LAYERS: usize = 10;
const FILES: usize = 160;
const FILE_BYTES: usize = 128 * 1024;
/// Each piece of a file is numbers in its first half, which cannot be compressed, and zeros in the other.
const PIECE_BYTES: usize = 64;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image as a layout folder.
pub(crate) struct Image {
    pub(crate) folder: PathBuf,
    /// The digests of its configuration and of its layers.
    pub(crate) blobs: Vec<String>,
    pub(crate) manifest: Vec<u8>,
    /// How much is sent.
    pub(crate) packed_bytes: usize,
    /// How much there is when it is unpacked.
    pub(crate) bytes: usize,
}

impl Image {
    /// Makes the image. Its first layer has the root file system as well.
    pub(crate) fn make(folder: PathBuf, rootfs: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        let mut image = Self { folder, blobs: Vec::new(), manifest: Vec::new(), packed_bytes: 0, bytes: 0 };
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for number in 0..LAYERS {
            let archive = archive(number, (number == 0).then_some(rootfs))?;
            image.bytes += archive.len();
            diff_ids.push(digest(&archive));
            let mut packer = GzEncoder::new(Vec::new(), Compression::default());
            packer.write_all(&archive)?;
            layers.push(image.add(LAYER_TYPE, &packer.finish()?)?);
        }
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = image.add(CONFIG_TYPE, config.to_string().as_bytes())?;
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers });
        image.manifest = manifest.to_string().into_bytes();
        let described = image.write(MANIFEST_TYPE, &image.manifest)?;
        let index = json!({ "schemaVersion": 2, "manifests": [described] });
        fs::write(image.folder.join("index.json"), index.to_string())?;
        fs::write(image.folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
        Ok(image)
    }

    /// Returns a blob.
    pub(crate) fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.path(digest))?)
    }

    fn add(&mut self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let described = self.write(media_type, bytes)?;
        self.packed_bytes += bytes.len();
        self.blobs.push(digest(bytes));
        Ok(described)
    }

    fn write(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        fs::write(self.path(&digest), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs").join(digest.replace(':', "/"))
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Makes a layer, not compressed yet.
fn archive(number: usize, rootfs: Option<&Path>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(FILES * (FILE_BYTES + 1024)));
    if let Some(rootfs) = rootfs {
        archive.follow_symlinks(false);
        archive.append_dir_all(".", rootfs)?;
    }
    let mut numbers = Numbers(u64::try_from(number)? + 1);
    let mut bytes = vec![0; FILE_BYTES];
    for file in 0..FILES {
        for piece in bytes.chunks_mut(PIECE_BYTES) {
            let half = piece.len() / 2;
            piece[..half].chunks_mut(8).for_each(|part| part.copy_from_slice(&numbers.next()[..part.len()]));
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, format!("data/{number}/{file}"), &bytes[..])?;
    }
    Ok(archive.into_inner()?)
}

/// Numbers without a pattern, the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> [u8; 8] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_can_be_compressed_to_about_half() {
        let archive = archive(0, None).unwrap();
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&archive).unwrap();
        let packed = packer.finish().unwrap().len();
        assert!((archive.len() * 4 / 10..archive.len() * 6 / 10).contains(&packed), "{packed} of {}", archive.len());
    }

    #[test]
    fn no_two_layers_are_the_same() {
        assert_ne!(digest(&archive(0, None).unwrap()), digest(&archive(1, None).unwrap()));
    }
}
