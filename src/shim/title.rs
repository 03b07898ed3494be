//! What a process is called by whoever lists processes.

use std::ffi::CStr;
use std::io;

/// Which field of /proc/self/stat says where the arguments begin; the next one says where they end.
const ARG_START_FIELD: usize = 48;

/// Where this process's arguments are in its memory, and so its title. A fork has them at the same place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Title {
    address: usize,
    room: usize,
}

impl Title {
    /// Finds the arguments that this process was executed with.
    pub(crate) fn find() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // Fields are counted from the state, the third, because the name before it may have blanks.
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ')).ok_or(io::ErrorKind::InvalidData)?;
        let mut addresses = fields.skip(ARG_START_FIELD - 3).map(|field| field.parse::<usize>().unwrap_or_default());
        let (address, end) = (addresses.next().unwrap_or_default(), addresses.next().unwrap_or_default());
        let room = end.checked_sub(address).filter(|_| address != 0).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { address, room })
    }

    /// Shows another command line, and this name where there is room for 15 bytes only.
    ///
    /// # Errors
    ///
    /// If there is no room for it: then the title stays.
    pub(crate) fn set(self, line: &[u8], name: &CStr) -> io::Result<()> {
        if self.room <= line.len() + 1 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let memory = std::ptr::with_exposed_provenance_mut::<u8>(self.address);
        // SAFETY: the kernel says that the arguments lie between these addresses, on the stack of this process, which has one
        // thread and does not read them any more. Without a zero at their end the kernel takes what is before the first one
        // for all of them.
        unsafe {
            memory.write_bytes(0, self.room);
            memory.copy_from_nonoverlapping(line.as_ptr(), line.len());
            memory.add(self.room - 1).write(b' ');
        }
        Ok(rustix::thread::set_name(name)?)
    }
}
