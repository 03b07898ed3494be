//! AWS STS: its operations. Says who asks; gives no credentials and checks none.

mod caller_identity;

use state::Cx;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::sts,
    violation = wire::check::validation_error,
    routes: [GetCallerIdentity => caller_identity::get_caller_identity],
};
