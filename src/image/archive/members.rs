//! The files inside an archive or a folder, to be opened by name and in any order.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tar::EntryType;

use crate::beneath::Root;
use crate::compression::Decoder;
use crate::error::{Result, disk, invalid, unreadable};
use crate::layers::Staging;
use crate::limits::Limits;
use crate::metered::{HeaderTap, Metered};

/// How many links may lead from one member to the next. Docker of old linked equal layers, once.
const LINKS_MAX: usize = 8;

/// The members of an archive.
pub(crate) enum Members {
    /// Of a tar, where its content lies.
    Tar { file: Arc<File>, found: HashMap<String, Place> },
    /// Of a folder.
    Folder { root: Root, path: PathBuf },
}

/// Where a member of a tar is.
pub(crate) enum Place {
    At { offset: u64, bytes: u64 },
    LinkTo(String),
}

/// A file that was opened: its members, and all of it.
pub(crate) struct Opened {
    pub(crate) members: Members,
    pub(crate) whole: Member,
}

/// A stretch of a file. Reading it disturbs nobody else who reads the file.
#[derive(Clone)]
pub(crate) struct Member {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Member {
    fn whole(file: &Arc<File>) -> io::Result<Self> {
        Ok(Self { file: Arc::clone(file), offset: 0, left: file.metadata()?.len() })
    }

    /// Returns the length in bytes.
    pub(crate) fn length_bytes(&self) -> u64 {
        self.left
    }
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Members {
    /// Opens a folder.
    pub(crate) fn of_folder(path: &Path) -> Result<Self> {
        Ok(Self::Folder { root: Root::open(path).map_err(disk("open", path))?, path: path.to_owned() })
    }

    /// Opens a tar, decompressed into the staging folder if it is compressed.
    pub(crate) fn of_file(path: &Path, staging: &Staging, limits: &Limits) -> Result<Opened> {
        let file = Arc::new(File::open(path).map_err(disk("open", path))?);
        let mut whole = Member::whole(&file).map_err(disk("read", path))?;
        let decoder = Decoder::new(whole.clone()).map_err(|error| unreadable("the file", &error))?;
        if decoder.is_compressed() {
            let staged = staging.reserve();
            let mut plain = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(staged.path())
                .map_err(disk("make", staged.path()))?;
            copy(&mut Metered::new(decoder, limits.unpacked_bytes_max), &mut plain, staged.path())?;
            // The name goes with `staged`; the open file keeps the content.
            whole = Member::whole(&Arc::new(plain)).map_err(disk("read", staged.path()))?;
        }
        let found = index(whole.clone(), limits)?;
        Ok(Opened { members: Self::Tar { file: Arc::clone(&whole.file), found }, whole })
    }

    /// Returns the member `name`, if there is one.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Member>> {
        match self {
            Self::Tar { file, found } => {
                let mut name = normal(name).ok_or_else(|| invalid(format!("`{name}` leads outside of the archive")))?;
                for _ in 0..LINKS_MAX {
                    match found.get(&name) {
                        Some(Place::At { offset, bytes }) => {
                            return Ok(Some(Member { file: Arc::clone(file), offset: *offset, left: *bytes }));
                        }
                        Some(Place::LinkTo(target)) => name.clone_from(target),
                        None => return Ok(None),
                    }
                }
                Err(invalid(format!("`{name}` is a circle of links")))
            }
            Self::Folder { root, path } => match root.file(Path::new(name)) {
                Ok(file) => Ok(Some(Member::whole(&Arc::new(file)).map_err(disk("read", &path.join(name)))?)),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    Ok(None)
                }
                Err(error) => Err(disk("open", &path.join(name))(error)),
            },
        }
    }

    /// Returns the member `name`, or says that it is missing.
    pub(crate) fn require(&self, name: &str) -> Result<Member> {
        self.get(name)?.ok_or_else(|| invalid(format!("`{name}` is missing")))
    }
}

/// Reads a document whole.
pub(crate) fn document(mut member: Member, name: &str, limits: &Limits) -> Result<Vec<u8>> {
    if member.length_bytes() > limits.document_bytes_max {
        return Err(invalid(format!("`{name}` is longer than {} bytes", limits.document_bytes_max)));
    }
    let mut content = Vec::new();
    member.read_to_end(&mut content).map_err(|error| unreadable(&format!("`{name}`"), &error))?;
    Ok(content)
}

/// Reads JSON.
pub(crate) fn json<T: DeserializeOwned>(content: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(content).map_err(|error| unreadable(&format!("`{name}`"), &error))
}

/// Notes where each member of the tar lies. Of a root file system only the first members are noted: nobody asks.
fn index(whole: Member, limits: &Limits) -> Result<HashMap<String, Place>> {
    let (tap, kept) = HeaderTap::new(SeekableMember { all: whole.left, member: whole });
    let mut archive = tar::Archive::new(tap);
    let not_tar = |error: io::Error| unreadable("it is no tar, and no gzip or zstd of one", &error);
    let mut entries = archive.entries_with_seek().map_err(not_tar)?;
    let mut found = HashMap::new();
    let mut entries_seen = 0;
    loop {
        kept.borrow_mut().resume(limits.header_bytes_max);
        let Some(entry) = entries.next() else { break };
        let entry = entry.map_err(not_tar)?;
        entries_seen += 1;
        let name = str::from_utf8(&entry.path_bytes()).ok().and_then(normal);
        let place = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                Some(Place::At { offset: entry.raw_file_position(), bytes: entry.size() })
            }
            EntryType::Symlink | EntryType::Link => link(&entry, name.as_deref()).map(Place::LinkTo),
            _ => None,
        };
        if let (Some(name), Some(place)) = (name, place)
            && found.len() < limits.members_max
        {
            found.insert(name, place);
        }
    }
    match entries_seen {
        0 => Err(invalid("the file holds nothing")),
        _ => Ok(found),
    }
}

/// Returns the member that a link in the archive leads to: a hard link from the top, a symbolic one from its folder.
fn link<R: Read>(entry: &tar::Entry<'_, R>, name: Option<&str>) -> Option<String> {
    let target = entry.link_name_bytes()?;
    let target = str::from_utf8(&target).ok()?;
    if entry.header().entry_type() == EntryType::Link {
        return normal(target);
    }
    let folder = name?.rsplit_once('/').map_or("", |(folder, _)| folder);
    normal(&format!("{folder}/{target}"))
}

/// Removes `.` and `..` from a name. A name that climbs out of the archive is nothing.
fn normal(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn copy(from: &mut impl Read, to: &mut File, path: &Path) -> Result<()> {
    const BUFFER_BYTES: usize = 128 * 1024;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).map_err(|error| unreadable("the file", &error))?;
        if read == 0 {
            return Ok(());
        }
        io::Write::write_all(to, &buffer[..read]).map_err(disk("write", path))?;
    }
}

struct SeekableMember {
    member: Member,
    all: u64,
}

impl Read for SeekableMember {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.member.read(buffer)
    }
}

impl io::Seek for SeekableMember {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let to = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::Current(by) => self.member.offset.checked_add_signed(by),
            io::SeekFrom::End(by) => self.all.checked_add_signed(by),
        };
        let to = to.filter(|to| *to <= self.all).ok_or(io::ErrorKind::UnexpectedEof)?;
        (self.member.offset, self.member.left) = (to, self.all - to);
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_out_are_nothing() {
        for (name, expected) in [
            ("a", Some("a")),
            ("./a//b/", Some("a/b")),
            ("/a", Some("a")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
        ] {
            assert_eq!(normal(name).as_deref(), expected, "{name}");
        }
    }
}
