//! Container images on disk: archives in, layers and configurations out.
//!
//! [`ImageStore`] is the node's [`node::Images`]. It knows files and references, and nothing of tasks or of AWS. What
//! it unpacks is hostile until proven otherwise: every blob is checked against its digest, every path is resolved
//! beneath the layer's own folder, and every size has a bound ([`Limits`]).

mod archive;
mod beneath;
mod blobs;
mod catalogue;
mod compression;
mod config;
mod digest;
mod error;
mod layers;
mod limits;
mod metered;
mod pack;
mod pax;
mod reference;
mod store;
mod unpack;

pub use digest::Digest;
pub use layers::LayersInUse;
pub use limits::Limits;
pub use reference::{InvalidReference, Reference};
pub use store::ImageStore;

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod test_archives;
