//! Sockets inside a VPC or a sandbox, for the server to answer on without a route to them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::namespace;

/// Listens on an address inside the network namespace. The listener works from any thread.
///
/// # Errors
///
/// The namespace cannot be entered, or the address is in use there or not one of its own.
pub fn listen(namespace: &Path, address: SocketAddr) -> io::Result<TcpListener> {
    namespace::within(namespace, || TcpListener::bind(address))?
}
