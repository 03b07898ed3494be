//! File systems in memory.

use std::os::fd::OwnedFd;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
};
use shim_protocol::Tmpfs;

use crate::error::ShimError;

/// The mode of one that covers no folder of the image, as Docker has it.
const MODE_DEFAULT: u32 = 0o1777;
/// What Docker sets unless an option says otherwise.
const ATTRIBUTES_DEFAULT: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes a mount that is in no namespace yet. Without an option for it, it has the mode of the folder that it covers.
pub(crate) fn make(tmpfs: &Tmpfs, mode: Option<u32>) -> Result<OwnedFd, ShimError> {
    let at = || ShimError::path::<rustix::io::Errno>("make the tmpfs", &tmpfs.destination);
    let options = Options::parse(&tmpfs.options)?;
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at())?;
    let set = |key: &str, value: &str| fsconfig_set_string(&context, key, value).map_err(at());
    set("source", "tmpfs")?;
    set("size", &format!("{}m", tmpfs.size_mib))?;
    if !options.values.iter().any(|(key, _)| *key == "mode") {
        set("mode", &format!("{:o}", mode.unwrap_or(MODE_DEFAULT)))?;
    }
    for (key, value) in &options.values {
        set(key, value)?;
    }
    for flag in &options.flags {
        fsconfig_set_flag(&context, *flag).map_err(at())?;
    }
    fsconfig_create(&context).map_err(at())?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, options.attributes).map_err(at())
}

/// Options of mount(8), sorted by whom they are for.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    attributes: MountAttrFlags,
    values: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(texts: &'a [String]) -> Result<Self, ShimError> {
        use MountAttrFlags as Attribute;
        let mut options = Self { attributes: ATTRIBUTES_DEFAULT, values: Vec::new(), flags: Vec::new() };
        for text in texts.iter().flat_map(|text| text.split(',')) {
            if let Some((key @ ("mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol" | "size"), value)) =
                text.split_once('=')
            {
                options.values.push((key, value));
                continue;
            }
            let (attribute, is_set) = match text {
                "ro" => (Attribute::MOUNT_ATTR_RDONLY, true),
                "rw" => (Attribute::MOUNT_ATTR_RDONLY, false),
                "nosuid" => (Attribute::MOUNT_ATTR_NOSUID, true),
                "suid" => (Attribute::MOUNT_ATTR_NOSUID, false),
                "nodev" => (Attribute::MOUNT_ATTR_NODEV, true),
                "dev" => (Attribute::MOUNT_ATTR_NODEV, false),
                "noexec" => (Attribute::MOUNT_ATTR_NOEXEC, true),
                "exec" => (Attribute::MOUNT_ATTR_NOEXEC, false),
                "noatime" => (Attribute::MOUNT_ATTR_NOATIME, true),
                "strictatime" => (Attribute::MOUNT_ATTR_STRICTATIME, true),
                "nodiratime" => (Attribute::MOUNT_ATTR_NODIRATIME, true),
                "diratime" => (Attribute::MOUNT_ATTR_NODIRATIME, false),
                "sync" | "dirsync" => {
                    options.flags.push(text);
                    continue;
                }
                // What is so anyhow, and what means nothing for a file system of one's own.
                "" | "defaults" | "async" | "atime" | "relatime" | "norelatime" | "nostrictatime" | "mand"
                | "nomand" | "remount" | "bind" | "rbind" | "unbindable" | "runbindable" | "private" | "rprivate"
                | "shared" | "rshared" | "slave" | "rslave" => continue,
                unknown => return Err(ShimError::create(format!("invalid tmpfs option [{unknown:?}]"))),
            };
            options.attributes.set(attribute, is_set);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MountAttrFlags, String> {
        Options::parse(&[text.to_owned()]).map(|options| options.attributes).map_err(|error| error.to_string())
    }

    #[test]
    fn the_last_option_of_a_kind_wins() {
        use MountAttrFlags as Attribute;
        assert_eq!(parse("defaults"), Ok(ATTRIBUTES_DEFAULT));
        assert_eq!(parse("exec,suid,dev"), Ok(Attribute::empty()));
        assert_eq!(parse("exec,noexec"), Ok(ATTRIBUTES_DEFAULT));
        assert_eq!(
            parse("ro,noatime").unwrap() - ATTRIBUTES_DEFAULT,
            parse("noatime,ro").unwrap() - ATTRIBUTES_DEFAULT
        );
        let texts = ["mode=750".to_owned(), "uid=3,sync".to_owned()];
        let options = Options::parse(&texts).unwrap();
        assert_eq!((options.values, options.flags), (vec![("mode", "750"), ("uid", "3")], vec!["sync"]));
    }

    #[test]
    fn an_unknown_option_is_named() {
        for text in ["mode", "huge=always", "context=x"] {
            assert_eq!(parse(text), Err(format!("invalid tmpfs option [{text:?}]")));
        }
    }
}
