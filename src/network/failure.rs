//! Errors: what was tried, and for whom.

use std::error::Error;
use std::fmt::Display;

use node::NetworkError;

/// Names what was being done when something failed.
pub(crate) trait During<T> {
    /// Turns the cause into "cannot `action` of `subject`".
    fn during(self, action: &'static str, subject: impl Display) -> Result<T, NetworkError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> During<T> for Result<T, E> {
    fn during(self, action: &'static str, subject: impl Display) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError { action, subject: subject.to_string(), source: source.into() })
    }
}
