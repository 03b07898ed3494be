//! Deployments whose traffic is shifted, over the API, on the simulated node and the manual clock: what happens when, line
//! by line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hook;
mod rig;
mod way;
mod way_back;
