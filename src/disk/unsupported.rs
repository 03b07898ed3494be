//! What tells a host that cannot have disks from a disk that could not be made.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// Names what failed, and says that it is unsupported if it failed in one of these ways.
pub(crate) fn unsupported_if(errors: &'static [Errno], what: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let is_missing = Errno::from_io_error(&error).is_some_and(|errno| errors.contains(&errno));
        let kind = if is_missing { ErrorKind::Unsupported } else { error.kind() };
        io::Error::new(kind, format!("{what}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_unsupported() {
        let kind = |errno: Errno| unsupported_if(&[Errno::NOENT, Errno::PERM], "open")(errno.into()).kind();
        assert_eq!(kind(Errno::NOENT), ErrorKind::Unsupported);
        assert_eq!(kind(Errno::PERM), ErrorKind::Unsupported);
        assert_eq!(kind(Errno::NOSPC), ErrorKind::StorageFull);
        assert_eq!(kind(Errno::BUSY), ErrorKind::ResourceBusy);
        assert_eq!(unsupported_if(&[], "open")(io::Error::other("lost")).to_string(), "open: lost");
    }
}
