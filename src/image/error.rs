//! How this crate's failures become [`ImageError`].
//!
//! What is wrong with the archive is the archive's fault and is told in words; what is wrong with the disk keeps its
//! cause.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use node::ImageError;

pub(crate) type Result<T, E = ImageError> = std::result::Result<T, E>;

/// Makes the error for an archive that is wrong in itself.
pub(crate) fn invalid(why: impl Into<String>) -> ImageError {
    ImageError::InvalidArchive { why: why.into() }
}

/// Makes the error for an archive of which `what` cannot be read.
pub(crate) fn unreadable(what: &str, source: &dyn Error) -> ImageError {
    let mut why = format!("{what}: {source}");
    let mut cause = source.source();
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    invalid(why)
}

/// Makes the error for a disk that failed at `action` on `path`.
pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    move |source| ImageError::Io { action, path: path.to_owned(), source: Arc::new(source) }
}

/// Says where in the archive it was that something was wrong.
pub(crate) fn within(place: &str, error: ImageError) -> ImageError {
    match error {
        ImageError::InvalidArchive { why } => invalid(format!("{place}: {why}")),
        ImageError::NotFound { .. }
        | ImageError::InvalidReference { .. }
        | ImageError::NoPlatform { .. }
        | ImageError::Registry { .. }
        | ImageError::Cancelled { .. }
        | ImageError::Io { .. } => error,
    }
}
