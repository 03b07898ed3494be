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
mod engine;
mod error;
mod flight;
mod keeping;
mod layers;
mod limits;
mod metered;
mod origin;
mod pack;
mod pax;
mod progress_log;
mod pull;
mod reference;
mod remote;
mod room;
mod store;
mod unpack;

pub use digest::Digest;
pub use engine::Engine;
pub use layers::LayersInUse;
pub use limits::Limits;
pub use origin::{Asked, Blob, Document, Origin, Waiting};
pub use reference::{InvalidReference, Reference};
pub use remote::{KnownLogin, Registries};
pub use store::{ImageStore, Options};

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod test_archives;
#[cfg(test)]
mod test_registry;
