//! Making `node::RuntimeError`s.

use std::fmt::Display;

use node::{RuntimeError, RuntimeErrorKind};

/// Attaches what was being done to whom.
pub(crate) fn failed<E: Display>(
    kind: RuntimeErrorKind,
    action: &'static str,
    subject: &dyn Display,
) -> impl FnOnce(E) -> RuntimeError {
    let subject = subject.to_string();
    move |error| RuntimeError { kind, action, subject, message: error.to_string() }
}
