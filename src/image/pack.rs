//! Makes the tar of a folder, so that a root file system folder becomes a layer like any other.
//!
//! The tar is the same for the same folder: entries are sorted, times are whole seconds, and nothing else goes in.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

const MODE_BITS: u32 = 0o7777;
/// The longest link target that fits into a header.
const LINK_BYTES_MAX: usize = 100;
const XATTR_PREFIX: &str = "SCHILY.xattr.";
/// The bounds that Linux itself sets for the list of names and for one value.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// Writes the folder at `root` to `out` as a tar. Sockets are left out.
pub(crate) fn pack(root: &Path, out: impl Write) -> io::Result<()> {
    let mut packer = Packer { tar: Builder::new(out), links: HashMap::new() };
    // What is still to be packed, the next one last.
    let mut waiting = vec![(root.to_owned(), PathBuf::new())];
    while let Some((path, name)) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        packer.add(&path, &name, &metadata)?;
        if metadata.is_dir() {
            let mut inner = fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
            inner.sort_unstable_by(|a, b| b.cmp(a));
            waiting.extend(inner.into_iter().map(|entry| (path.join(&entry), name.join(&entry))));
        }
    }
    packer.tar.into_inner()?.flush()
}

struct Packer<W: Write> {
    tar: Builder<W>,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(metadata.mode() & MODE_BITS);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
        header.set_size(0);
        let kind = metadata.file_type();
        if kind.is_symlink() {
            return self.add_symlink(path, name, header);
        }
        if metadata.is_dir() {
            let folder = File::options().read(true).custom_flags(flags(OFlags::DIRECTORY)).open(path)?;
            self.add_xattrs(&folder)?;
            header.set_entry_type(EntryType::Directory);
            return self.add_folder(name, header);
        }
        if metadata.nlink() > 1 {
            let key = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&key) {
                header.set_entry_type(EntryType::Link);
                return self.tar.append_link(&mut header, name, first);
            }
            self.links.insert(key, name.to_owned());
        }
        if metadata.is_file() {
            let file = File::options().read(true).custom_flags(flags(OFlags::NOFOLLOW)).open(path)?;
            self.add_xattrs(&file)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            // A file that grows meanwhile is cut; one that shrinks breaks the tar, which the reader sees.
            return self.tar.append_data(&mut header, name, io::Read::take(file, metadata.len()));
        }
        if kind.is_fifo() {
            header.set_entry_type(EntryType::Fifo);
            return self.tar.append_data(&mut header, name, io::empty());
        }
        // Sockets and devices mean nothing in an image.
        Ok(())
    }

    fn add_folder(&mut self, name: &Path, mut header: Header) -> io::Result<()> {
        if !name.as_os_str().is_empty() {
            return self.tar.append_data(&mut header, name, io::empty());
        }
        header.as_old_mut().name[..2].copy_from_slice(b"./");
        header.set_cksum();
        self.tar.append(&header, io::empty())
    }

    /// Adds a link with its target to the letter: `append_link` would tidy it.
    fn add_symlink(&mut self, path: &Path, name: &Path, mut header: Header) -> io::Result<()> {
        let target = fs::read_link(path)?;
        let target = target.as_os_str().as_bytes();
        header.set_entry_type(EntryType::Symlink);
        if target.len() > LINK_BYTES_MAX {
            self.tar.append_pax_extensions([("linkpath", target)])?;
        }
        header.set_link_name_literal(&target[..target.len().min(LINK_BYTES_MAX)])?;
        self.tar.append_data(&mut header, name, io::empty())
    }

    fn add_xattrs(&mut self, file: &File) -> io::Result<()> {
        let mut names = vec![0; XATTR_BYTES_MAX];
        let length = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
            Err(rustix::io::Errno::OPNOTSUPP) => 0,
            length => length?,
        };
        let mut records = Vec::new();
        for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; XATTR_BYTES_MAX];
            let length = rustix::fs::fgetxattr(file, OsStr::from_bytes(name), value.as_mut_slice())?;
            value.truncate(length);
            records.push((format!("{XATTR_PREFIX}{}", String::from_utf8_lossy(name)), value));
        }
        records.sort_unstable();
        self.tar.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))
    }
}

fn flags(flags: OFlags) -> i32 {
    i32::from_ne_bytes((flags | OFlags::CLOEXEC).bits().to_ne_bytes())
}
