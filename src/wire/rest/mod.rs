//! REST protocols: which operation a path is for, and where a request or response keeps the members that are not in its
//! body.

mod read;
mod route;
mod text;
mod write;

pub(crate) use read::{Unread, read};
pub use route::RestRoute;
pub(crate) use route::{bucket_of_host, find};
pub(crate) use write::output;
