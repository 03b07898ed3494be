//! Turns the tar of one layer into a folder that overlayfs can stack.
//!
//! The folder holds this layer's changes alone: a deletion (`.wh.name`) becomes overlayfs's whiteout, a character device
//! 0:0, and an opaque folder (`.wh..wh..opq`) gets overlayfs's attribute. Owners, modes, times and extended attributes
//! are kept; device nodes are left out, because a container gets its devices from the runtime.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::EntryType;

use crate::beneath::{self, Root};
use crate::error::{Result, disk, invalid, unreadable};
use crate::limits::Limits;
use crate::metered::{HeaderTap, KeptHeader};
use crate::pax::PaxRecords;
use crate::room::Room;

const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// What begins so is a note of AUFS to itself; only the opaque marker among them means something.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";
/// The bytes of one name, Linux's `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
const COPY_BYTES: usize = 128 * 1024;
/// What a file takes besides its content, about.
const FILE_BYTES: u64 = 4096;
const MODE_BITS: u32 = 0o7777;

/// What a layer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// The bytes of its files.
    pub(crate) size_bytes: u64,
    /// The entries, those left out not counted.
    pub(crate) entries: u64,
    /// The device nodes that were left out.
    pub(crate) devices: u64,
}

/// Unpacks `tar` into the empty folder `into`.
pub(crate) fn unpack(tar: impl Read, into: &Path, limits: &Limits) -> Result<Unpacked> {
    let (tap, kept) = HeaderTap::new(tar);
    let mut archive = tar::Archive::new(tap);
    let mut writer = Writer::new(into, limits)?;
    let mut entries = archive.entries().map_err(|error| unreadable("the tar", &error))?;
    loop {
        kept.borrow_mut().resume(limits.header_bytes_max);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|error| unreadable("the tar", &error))?;
        kept.borrow_mut().pause();
        let described = Entry::read(&mut entry, &kept, limits)?;
        writer.write(&described, &mut entry)?;
        // What of the entry was not wanted must not be taken for headers.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| unreadable("the tar", &error))?;
    }
    writer.finish()
}

/// One entry of the tar, with its path made harmless.
struct Entry {
    /// Relative, without `.` and `..`; empty for the root.
    path: PathBuf,
    kind: EntryType,
    link: Option<Vec<u8>>,
    size_bytes: u64,
    attributes: Attributes,
}

struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: Timespec,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    fn read<R: Read>(entry: &mut tar::Entry<'_, R>, kept: &Rc<RefCell<KeptHeader>>, limits: &Limits) -> Result<Self> {
        let has_records = entry.pax_extensions().is_ok_and(|records| records.is_some());
        let records = if has_records {
            let kept = kept.borrow();
            PaxRecords::read(kept.start, &kept.bytes)
        } else {
            PaxRecords::default()
        };
        let name = entry.path_bytes();
        let path = relative(&name, limits)?;
        let header = entry.header();
        let broken = |error: io::Error| unreadable(&format!("entry `{}`", path.display()), &error);
        let id =
            |id: u64| u32::try_from(id).map_err(|_| invalid(format!("entry `{}` has no valid owner", path.display())));
        let fields = header.as_old();
        let mtime = records.mtime_or(number(&fields.mtime, header.mtime()).map_err(broken)?);
        let attributes = Attributes {
            uid: id(number(&fields.uid, header.uid()).map_err(broken)?)?,
            gid: id(number(&fields.gid, header.gid()).map_err(broken)?)?,
            mode: number(&fields.mode, header.mode()).map_err(broken)? & MODE_BITS,
            mtime,
            xattrs: records.xattrs,
        };
        // Before POSIX, a folder was a file with a slash at its end.
        let kind = match header.entry_type() {
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        let link = entry.link_name_bytes().map(|link| link.into_owned());
        Ok(Self { kind, link, size_bytes: entry.size(), attributes, path })
    }

    fn link(&self) -> Result<&[u8]> {
        match self.link.as_deref() {
            Some(link) if !link.is_empty() && !link.contains(&0) => Ok(link),
            _ => Err(invalid(format!("link `{}` leads nowhere", self.path.display()))),
        }
    }
}

/// Returns what a field of a header says; a blank one says nothing, which is 0 to every other reader.
fn number<T: Default>(field: &[u8], read: io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, b' ' | 0)) { Ok(T::default()) } else { read }
}

/// Makes a path of the archive relative and refuses what could climb. A leading slash means the layer's own root.
fn relative(name: &[u8], limits: &Limits) -> Result<PathBuf> {
    let shown = || String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]).into_owned();
    if name.len() > limits.path_bytes_max {
        return Err(invalid(format!("path `{}…` is longer than {} bytes", shown(), limits.path_bytes_max)));
    }
    if name.contains(&0) {
        return Err(invalid(format!("path `{}` holds a zero byte", shown())));
    }
    let mut path = PathBuf::new();
    for component in name.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(invalid(format!("path `{}` climbs with `..`", shown()))),
            _ if component.len() > NAME_BYTES_MAX => {
                return Err(invalid(format!("path `{}…` holds a name longer than {NAME_BYTES_MAX} bytes", shown())));
            }
            _ => path.push(OsStr::from_bytes(component)),
        }
    }
    Ok(path)
}

/// Writes entries beneath one folder.
struct Writer<'a> {
    root: Root,
    path: &'a Path,
    limits: &'a Limits,
    /// The folder that the last entry was in: most entries follow one of the same folder.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Folders get their times last, because what is made in them changes those.
    folders: Vec<(PathBuf, Timespec)>,
    done: Unpacked,
    room: Room<'a>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(path: &'a Path, limits: &'a Limits) -> Result<Self> {
        let root = Root::open(path).map_err(disk("open", path))?;
        let room = Room::find(path, limits.free_bytes_min)?;
        let (done, buffer) = (Unpacked::default(), vec![0; COPY_BYTES]);
        Ok(Self { root, path, limits, parent: None, folders: Vec::new(), done, room, buffer })
    }

    fn write(&mut self, entry: &Entry, content: &mut impl Read) -> Result<()> {
        self.done.entries += 1;
        if self.done.entries > self.limits.layer_entries_max {
            return Err(invalid(format!("more than {} entries in one layer", self.limits.layer_entries_max)));
        }
        let (Some(name), Some(folder)) = (entry.path.file_name(), entry.path.parent()) else {
            return self.write_root(entry);
        };
        let parent = self.take_parent(folder, entry)?;
        let result = match name.as_bytes() {
            OPAQUE_MARKER => set_opaque(parent.as_fd()).map_err(|error| self.failed("mark opaque", entry, error)),
            note if note.starts_with(AUFS_PREFIX) => Ok(()),
            whiteout if whiteout.starts_with(WHITEOUT_PREFIX) => {
                self.write_whiteout(parent.as_fd(), OsStr::from_bytes(&whiteout[WHITEOUT_PREFIX.len()..]), entry)
            }
            _ => self.write_entry(parent.as_fd(), name, entry, content),
        };
        self.parent = Some((folder.to_owned(), parent));
        result
    }

    /// Takes the folder out of the one-place cache, or opens it. Whoever removes something empties the cache.
    fn take_parent(&mut self, folder: &Path, entry: &Entry) -> Result<OwnedFd> {
        match self.parent.take() {
            Some((known, open)) if known == folder => Ok(open),
            _ => self.root.make_folder(folder).map_err(|error| self.failed("make the folder of", entry, error)),
        }
    }

    fn write_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryType::Directory {
            return Err(invalid("the root of the layer is not a folder"));
        }
        let root = self.root.folder(Path::new("")).map_err(|error| self.failed("open", entry, error))?;
        self.describe_folder(root.as_fd(), entry)
    }

    fn write_entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<()> {
        match entry.kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.write_file(parent, name, entry, content)
            }
            EntryType::Directory => self.write_folder(parent, name, entry),
            EntryType::Symlink => {
                let target = OsString::from_vec(entry.link()?.to_vec());
                self.place(parent, name, entry, || rustix::fs::symlinkat(target.as_os_str(), parent, name))?;
                self.describe_in(parent, name, entry)
            }
            EntryType::Link => self.write_hard_link(parent, name, entry),
            EntryType::Fifo => {
                let mode = Mode::from_raw_mode(entry.attributes.mode);
                self.place(parent, name, entry, || rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0))?;
                self.describe_in(parent, name, entry)
            }
            EntryType::Char | EntryType::Block => {
                self.done.devices += 1;
                self.done.entries -= 1;
                Ok(())
            }
            // Global PAX records (git archive writes one) and kinds that nobody uses describe no file.
            _ => Ok(()),
        }
    }

    fn write_file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<()> {
        // Asked before the first byte, because a sparse file says with few bytes that it is big.
        self.done.size_bytes = self.done.size_bytes.saturating_add(entry.size_bytes);
        if self.done.size_bytes > self.limits.unpacked_bytes_max {
            return Err(invalid(format!(
                "the files of one layer are more than {} bytes",
                self.limits.unpacked_bytes_max
            )));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            self.place(parent, name, entry, || rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)))?;
        let mut file = File::from(file);
        let mut written = 0;
        self.room.take(FILE_BYTES)?;
        loop {
            let read = content.read(&mut self.buffer).map_err(|error| unreadable("the tar", &error))?;
            if read == 0 {
                break;
            }
            self.room.take(read as u64)?;
            file.write_all(&self.buffer[..read]).map_err(disk("write", &self.path.join(&entry.path)))?;
            written += read as u64;
        }
        if written != entry.size_bytes {
            return Err(invalid(format!("the tar ends in the middle of `{}`", entry.path.display())));
        }
        self.describe(file.as_fd(), entry)?;
        let times = times(entry.attributes.mtime);
        rustix::fs::futimens(&file, &times).map_err(|error| self.failed("set the time of", entry, error))
    }

    fn write_folder(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
        let failed = |writer: &Self, error| writer.failed("make folder", entry, error);
        let make = || rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700));
        let mut replaces_whiteout = false;
        match make() {
            Err(Errno::EXIST) => {
                let kind = beneath::kind(parent, name).map_err(|error| failed(self, error))?;
                if kind != Some(FileType::Directory) {
                    replaces_whiteout = kind == Some(FileType::CharacterDevice);
                    self.replace(parent, name, entry)?;
                    make().map_err(|error| failed(self, error))?;
                }
            }
            made => made.map_err(|error| failed(self, error))?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|error| failed(self, error))?;
        if replaces_whiteout {
            // Deleted below and made anew here: nothing of the lower folder may shine through.
            set_opaque(folder.as_fd()).map_err(|error| failed(self, error))?;
        }
        self.describe_folder(folder.as_fd(), entry)
    }

    /// Makes another name for a file of this layer. The last part of its path is not followed, so that a link to a
    /// symbolic link is one, as in the tar.
    fn write_hard_link(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
        let target = relative(entry.link()?, self.limits)?;
        let missing = || {
            invalid(format!(
                "hard link `{}` leads to `{}`, which is no file of the layer",
                entry.path.display(),
                target.display()
            ))
        };
        let (Some(target_name), Some(target_folder)) = (target.file_name(), target.parent()) else {
            return Err(missing());
        };
        if target == entry.path {
            return Err(missing());
        }
        let from = self.root.folder(target_folder).map_err(|_| missing())?;
        if !matches!(
            beneath::kind(from.as_fd(), target_name),
            Ok(Some(FileType::RegularFile | FileType::Symlink | FileType::Fifo))
        ) {
            return Err(missing());
        }
        self.place(parent, name, entry, || rustix::fs::linkat(&from, target_name, parent, name, AtFlags::empty()))
    }

    /// Notes that `name` is deleted from the layers below. What this layer itself has of that name stays: a file hides
    /// the lower one anyway, and a folder becomes opaque.
    fn write_whiteout(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
        if matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(invalid(format!("`{}` deletes no file", entry.path.display())));
        }
        let made =
            rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), rustix::fs::makedev(0, 0));
        let result = match made {
            Err(Errno::EXIST) => match beneath::kind(parent, name) {
                Ok(Some(FileType::Directory)) => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    rustix::fs::openat(parent, name, flags, Mode::empty()).and_then(|folder| set_opaque(folder.as_fd()))
                }
                kind => kind.map(|_| ()),
            },
            made => made,
        };
        result.map_err(|error| self.failed("note the deletion", entry, error))
    }

    /// Makes something that must be new; what stood there before in this layer gives way.
    fn place<T>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.replace(parent, name, entry)?;
                make().map_err(|error| self.failed("make", entry, error))
            }
            made => made.map_err(|error| self.failed("make", entry, error)),
        }
    }

    fn replace(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
        beneath::remove(parent, name).map_err(|error| self.failed("replace", entry, error))
    }

    fn describe_folder(&mut self, folder: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
        self.describe(folder, entry)?;
        self.folders.push((entry.path.clone(), entry.attributes.mtime));
        Ok(())
    }

    /// Sets owner, mode and attributes, in this order: a change of owner clears set-id bits and capabilities.
    fn describe(&self, file: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
        let attributes = &entry.attributes;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::fchown(file, Some(uid), Some(gid))
            .map_err(|error| self.failed("set the owner of", entry, error))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))
            .map_err(|error| self.failed("set the mode of", entry, error))?;
        for (name, value) in &attributes.xattrs {
            if !is_kept_attribute(name) {
                continue;
            }
            match rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
                // A file system or kernel without such attributes: the file is as good as it can be here.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(self.failed("set an attribute of", entry, error)),
            }
        }
        Ok(())
    }

    /// Does the same for what cannot be opened: symbolic links and pipes.
    fn describe_in(&self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<()> {
        let attributes = &entry.attributes;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| match entry.kind {
                EntryType::Fifo => {
                    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())
                }
                _ => Ok(()),
            })
            .and_then(|()| rustix::fs::utimensat(parent, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|error| self.failed("describe", entry, error))
    }

    fn finish(self) -> Result<Unpacked> {
        for (path, mtime) in self.folders.iter().rev() {
            match self.root.folder(path) {
                Ok(folder) => rustix::fs::futimens(&folder, &times(*mtime))
                    .map_err(|error| disk("set the time of", &self.path.join(path))(error.into()))?,
                // A later entry has put something else in its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(disk("open", &self.path.join(path))(error.into())),
            }
        }
        Ok(self.done)
    }

    /// Blames the archive for what only an archive can cause, and the disk for the rest.
    fn failed(&self, action: &'static str, entry: &Entry, error: Errno) -> node::ImageError {
        match error {
            Errno::EXIST
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::NOENT
            | Errno::XDEV
            | Errno::PERM
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::RANGE
            | Errno::TOOBIG => invalid(format!("cannot {action} `{}` in its layer: {error}", entry.path.display())),
            _ => disk(action, &self.path.join(&entry.path))(error.into()),
        }
    }
}

fn set_opaque(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(folder, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
}

/// Says whether a layer may bring the attribute. Overlayfs's own, under `trusted.` and `user.overlay.`, would let an
/// archive steer the mount.
fn is_kept_attribute(name: &[u8]) -> bool {
    let is_kept =
        name.starts_with(b"user.") || name.starts_with(b"security.") || name.starts_with(b"system.posix_acl_");
    is_kept && !name.starts_with(b"user.overlay.") && !name.contains(&0)
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: mtime, last_modification: mtime }
}
