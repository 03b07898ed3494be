//! What can go wrong in a shim.

use std::error::Error;
use std::path::{Path, PathBuf};

use shim_protocol::FailureKind;

/// A failure, with how far the container had come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    /// A system call on a path failed.
    #[error("cannot {action} {}", path.display())]
    Path {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    Call {
        action: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The request cannot be read.
    #[error("the request is not one that this version understands")]
    Request(#[from] serde_json::Error),
    /// libcontainer failed.
    #[error("libcontainer")]
    Container(#[from] libcontainer::error::LibcontainerError),
    /// Anything with a wording of its own, meant for whoever wrote the container's definition.
    #[error("{message}")]
    Failed { kind: FailureKind, message: String },
}

impl ShimError {
    /// Returns how far the start came.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Failed { kind, .. } => *kind,
            Self::Path { .. } | Self::Call { .. } | Self::Request(_) | Self::Container(_) => FailureKind::Create,
        }
    }

    /// Makes a failure to create the container.
    pub(crate) fn create(message: impl Into<String>) -> Self {
        Self::Failed { kind: FailureKind::Create, message: message.into() }
    }

    /// Attaches what was being done to which path.
    pub(crate) fn path<E: Into<std::io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::Path { action, path: path.to_owned(), source: source.into() }
    }

    /// Attaches what was being done.
    pub(crate) fn call<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call { action, source: source.into() }
    }
}

/// Writes an error and its causes as one line. A cause that its error already quotes is not repeated.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
