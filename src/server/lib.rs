//! The `neargate` server: configuration, listeners, wiring, the command line.
//!
//! The one crate that knows all others. It puts them together in [`Emulator`] and lets HTTP in through [`Gateway`];
//! nothing here decides what AWS would do.

mod admin;
mod assemble;
mod body;
pub mod cli;
mod clock;
mod clock_quality;
mod config;
mod data_channel;
mod download;
mod emulator;
mod gateway;
mod guard;
mod image_admin;
mod instance;
mod manual_time;
mod node_kind;
mod own_api;
mod own_registry;
mod spot;
mod tls;
mod upload;
mod upstream;
mod vpc_names;
mod vpc_server;
mod web_client;

pub use assemble::assemble;
pub use config::{ClockKind, Config, ImageConfig, Limits};
pub use emulator::{Emulator, Parts, StartError};
pub use gateway::{Gateway, GatewayError};
pub use manual_time::ManualTime;
pub use node_kind::NodeKind;
pub use tls::{Tls, TlsError};
