//! Room on the disk: what is fetched or unpacked leaves some to the records and the containers of this machine.

use std::path::Path;

use rustix::io::Errno;

use crate::error::{Result, disk};

/// After how many bytes it is looked again how many are left.
const LOOK_AGAIN_AFTER_BYTES: u64 = 16 * 1024 * 1024;

/// Fails as a full disk does when the file system of a folder has fewer bytes than must stay free.
pub(crate) struct Room<'a> {
    folder: &'a Path,
    free_bytes_min: u64,
    taken_bytes: u64,
}

impl<'a> Room<'a> {
    /// Looks whether there is room in `folder`.
    pub(crate) fn find(folder: &'a Path, free_bytes_min: u64) -> Result<Self> {
        let room = Self { folder, free_bytes_min, taken_bytes: 0 };
        room.look()?;
        Ok(room)
    }

    /// Notes that `bytes` are about to be written, and looks again now and then.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<()> {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.taken_bytes < LOOK_AGAIN_AFTER_BYTES {
            return Ok(());
        }
        self.taken_bytes = 0;
        self.look()
    }

    fn look(&self) -> Result<()> {
        let found = rustix::fs::statvfs(self.folder).map_err(|error| disk("examine", self.folder)(error.into()))?;
        match found.f_bavail.saturating_mul(found.f_frsize) < self.free_bytes_min {
            true => Err(disk("write to", self.folder)(Errno::NOSPC.into())),
            false => Ok(()),
        }
    }
}
