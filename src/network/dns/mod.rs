//! The DNS server of a VPC: names of what is in it, names of AWS's endpoints, and the host's own resolvers for the rest.
//!
//! It answers from snapshots that it is handed, and knows no records. A question that it cannot answer itself is passed
//! on as it came, from the host's network namespace, over the transport that it came by.

mod reply;
mod serve;
mod upstream;
mod zone;

pub use serve::{Directory, Resolver};
pub use zone::{Endpoints, Zone};
