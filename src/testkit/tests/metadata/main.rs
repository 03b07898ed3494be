//! What tasks are answered at 169.254.170.2: every path, with fixed time and identifiers, on the simulated node.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod credentials;
mod faults;
mod views;
