//! Loop devices.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use crate::unsupported::unsupported_if;

const CONTROL: &str = "/dev/loop-control";
/// The major number of loop devices.
const MAJOR: u32 = 7;
/// How often another free device is asked for when somebody else took the last one first.
const ATTEMPTS: u32 = 64;
/// How a host refuses that has no loop devices, or keeps them from this process.
const NO_DEVICES: &[Errno] = &[Errno::NOENT, Errno::NXIO, Errno::NODEV, Errno::PERM, Errno::ACCESS];
/// How a device is kept from this process.
const KEPT_AWAY: &[Errno] = &[Errno::PERM, Errno::ACCESS];
/// How a kernel refuses that is older than `LOOP_CONFIGURE`, or a file system whose files cannot be disks.
const NO_CONFIGURE: &[Errno] = &[Errno::INVAL, Errno::NOTTY];
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4c05;
/// Detaches the device when nobody has it any more.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The kernel's `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// The kernel's `struct loop_config`.
#[repr(C)]
struct Configuration {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// An image's device; attached for as long as this exists, or its file system is mounted anywhere.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
}

impl Device {
    /// Attaches an image to a device, or finds the one that it is attached to. No two callers may do so at the same time
    /// for the same image.
    ///
    /// # Errors
    ///
    /// If there are no loop devices (`Unsupported`), or none is free.
    pub fn attach(image: &Path) -> io::Result<Self> {
        match Self::find(image)? {
            Some(found) => Ok(found),
            None => Self::attach_new(image),
        }
    }

    /// Attaches an image that has just been made, and so is attached nowhere: to look for it among all devices takes
    /// longer the more of them there are, and one that was made stays.
    ///
    /// # Errors
    ///
    /// As [`Self::attach`].
    pub fn attach_new(image: &Path) -> io::Result<Self> {
        let control = File::options().read(true).write(true).open(CONTROL);
        let control = control.map_err(unsupported_if(NO_DEVICES, CONTROL))?;
        let file = File::options().read(true).write(true).open(image)?;
        for _ in 0..ATTEMPTS {
            let number = call(control.as_raw_fd(), LOOP_CTL_GET_FREE, std::ptr::null_mut::<Info>())?;
            let device = Self::open(number.unsigned_abs())?;
            match device.configure(&file) {
                Ok(()) => return Ok(device),
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                Err(error) => return Err(unsupported_if(NO_CONFIGURE, "LOOP_CONFIGURE")(error)),
            }
        }
        Err(io::Error::new(ErrorKind::ResourceBusy, "others take every free loop device first"))
    }

    /// Finds the device that an image is attached to.
    ///
    /// # Errors
    ///
    /// If the image cannot be read.
    pub fn find(image: &Path) -> io::Result<Option<Self>> {
        let wanted_file = fs::metadata(image)?;
        let wanted = fs::canonicalize(image)?;
        let Ok(devices) = fs::read_dir("/sys/block") else { return Ok(None) };
        for device in devices.flatten() {
            let backing = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            if Path::new(backing.trim_end_matches('\n')) != wanted {
                continue;
            }
            let name = device.file_name();
            let Some(number) = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok()) else { continue };
            let found = Self::open(number)?;
            // It may have been detached, and attached to another image, before it was opened.
            let info = found.info();
            if info.is_ok_and(|info| (info.device, info.inode) == (wanted_file.dev(), wanted_file.ino())) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the path of the device file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a device; makes its file where nobody does, as in a container's own /dev.
    fn open(number: u32) -> io::Result<Self> {
        let path = PathBuf::from(format!("/dev/loop{number}"));
        if !fs::metadata(&path).is_ok_and(|file| file.file_type().is_block_device()) {
            let device = rustix::fs::makedev(MAJOR, number);
            match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::from(0o600), device) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(unsupported_if(KEPT_AWAY, "mknod")(error.into())),
            }
        }
        let file = File::options().read(true).write(true).open(&path);
        Ok(Self { file: file.map_err(unsupported_if(KEPT_AWAY, "loop device"))?, path })
    }

    fn configure(&self, image: &File) -> io::Result<()> {
        // SAFETY: both are plain numbers, for which all zeroes are valid.
        let mut configuration: Configuration = unsafe { std::mem::zeroed() };
        configuration.fd = image.as_raw_fd().unsigned_abs();
        configuration.info.flags = LO_FLAGS_AUTOCLEAR;
        call(self.file.as_raw_fd(), LOOP_CONFIGURE, &raw mut configuration).map(|_| ())
    }

    fn info(&self) -> io::Result<Info> {
        // SAFETY: plain numbers, for which all zeroes are valid.
        let mut info: Info = unsafe { std::mem::zeroed() };
        call(self.file.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info)?;
        Ok(info)
    }
}

fn call<T>(fd: RawFd, request: libc::c_ulong, argument: *mut T) -> io::Result<i32> {
    // SAFETY: each request comes with the structure that the kernel reads or writes for it, which outlives the call.
    let result = unsafe { libc::ioctl(fd, request as _, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
