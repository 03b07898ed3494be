//! An emulator in process, for tests: the whole server without a socket.
//!
//! [`Testkit::simulated`] has a simulated node, a clock that stands still until a test advances it, and identifiers that
//! count from one, so every answer is known beforehand. [`Testkit::fargate`] has the real node and the machine's clock.
//! A test that is written against [`Testkit`] alone runs on both.

mod kit;
mod message;
mod traffic;

pub use kit::{START, SimulatedMachine, Testkit};
pub use message::{Reply, form_request, json_request, rest_request};
pub use traffic::ScriptedTraffic;
