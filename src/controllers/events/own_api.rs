//! AWS's APIs as this server answers them: for what AWS's own services would call, such as RunTask for a schedule. So it is
//! checked, placed and answered as if the user had called.

use async_trait::async_trait;
use base::Scope;
use serde_json::Value;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiFault {
    /// The code of the error.
    pub code: String,
    /// What it says.
    pub message: String,
    /// Whether the caller is to blame: then the same call fails again.
    pub is_final: bool,
}

/// Calls operations of AWS's APIs. It asks nobody beyond this process.
#[async_trait]
pub trait OwnApi: Send + Sync {
    /// Calls an operation of a JSON service, such as `("ecs", "RunTask")`, in an account and region.
    ///
    /// # Errors
    ///
    /// If the operation fails.
    async fn call(&self, scope: &Scope, service: &str, operation: &str, input: &Value) -> Result<Value, ApiFault>;
}

/// No API at all, where nobody has given one.
pub(crate) struct NoApi;

#[async_trait]
impl OwnApi for NoApi {
    async fn call(&self, _scope: &Scope, service: &str, operation: &str, _input: &Value) -> Result<Value, ApiFault> {
        let message = format!("nobody answers {service}.{operation} here");
        Err(ApiFault { code: "NotImplemented".to_owned(), message, is_final: true })
    }
}
