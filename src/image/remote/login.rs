//! Who this machine is to a registry.

use std::fmt;
use std::sync::Arc;

use node::RegistryCredentials;
use tokio::sync::OnceCell;

/// Who asks a registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Login {
    Password(RegistryCredentials),
    /// What a registry gave at a login instead of keeping the password here: tokens are to be had for it.
    IdentityToken(String),
}

/// Who asks, found out once for all requests of a pull.
#[derive(Clone, Default)]
pub struct KnownLogin(Arc<OnceCell<Option<Login>>>);

impl KnownLogin {
    /// Returns what was found, or finds it.
    pub(super) async fn get(&self, find: impl Future<Output = Option<Login>>) -> Option<Login> {
        self.0.get_or_init(|| find).await.clone()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(user) => formatter.debug_tuple("Password").field(user).finish(),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken"),
        }
    }
}

impl fmt::Debug for KnownLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("KnownLogin").field(&self.0.initialized()).finish()
    }
}
