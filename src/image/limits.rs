//! The bounds on what an archive may hold.

/// Bounds on archives and layers. Whatever exceeds one makes the archive invalid, and nothing of it is kept.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The bytes of one blob as it is stored in an archive. Registries refuse larger ones too (ECR: 52,000 MiB).
    pub blob_bytes_max: u64,
    /// The bytes that one compressed layer or one compressed archive may expand to, and that the files of one layer may
    /// add up to. Sized by Fargate's largest ephemeral storage, 200 GiB.
    pub unpacked_bytes_max: u64,
    /// The entries of one layer.
    pub layer_entries_max: u64,
    /// The bytes of one path inside a layer, Linux's `PATH_MAX`.
    pub path_bytes_max: usize,
    /// The bytes of one entry's headers in a tar, long names and extended attributes with them.
    pub header_bytes_max: u64,
    /// The bytes of one JSON document: manifest, index, configuration. Registries use the same figure.
    pub document_bytes_max: u64,
    /// The members of an archive that holds images. The entries of a root file system are not such members.
    pub members_max: usize,
    /// The images in one archive.
    pub images_max: usize,
    /// The layers of one image: as many as overlayfs can stack.
    pub image_layers_max: usize,
    /// The bytes of the disk that stay free: images are neither fetched nor unpacked when there are fewer.
    pub free_bytes_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            blob_bytes_max: 52_000 * MIB,
            unpacked_bytes_max: 200 * 1024 * MIB,
            layer_entries_max: 4_000_000,
            path_bytes_max: 4096,
            header_bytes_max: MIB,
            document_bytes_max: 4 * MIB,
            members_max: 16_384,
            images_max: 1024,
            image_layers_max: 500,
            free_bytes_min: 512 * MIB,
        }
    }
}
