//! Disks of a fixed size: a sparse image file with an ext4 file system, on a loop device.
//!
//! Nothing here is left behind by a process that is killed. A device detaches itself from its image when the last who
//! has it open, or has its file system mounted, is gone; and a mount is made detached, in no namespace's table, and goes
//! with its descriptor. It must not know who writes to a disk.
//!
//! An error of the kind [`Unsupported`](std::io::ErrorKind::Unsupported) says that the host cannot have disks at all; any
//! other one, that this disk was not to be had now.

mod device;
mod image;
mod mount;
mod unsupported;

pub use device::Device;
pub use image::{SIZE_BYTES_MIN, copy, make};
pub use mount::mount;

#[cfg(test)]
mod tests;
