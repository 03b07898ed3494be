//! The messages on a shim's socket: one JSON object a line.

use base::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest line, its end included. Error texts are cut so that they fit.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// What a shim tells every connected server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromShim {
    /// The program runs. Also the first thing that a later connection is told.
    Started {
        /// The container's main process, as the host numbers it.
        pid: u32,
        /// The shim itself.
        shim: u32,
        /// When the program was executed.
        at: Timestamp,
        /// What it was asked for and could not have on this host. Said to the server that started it only.
        #[serde(default)]
        warnings: Vec<String>,
    },
    /// The container could not be started; the shim ends.
    Failed {
        /// How far it came.
        kind: FailureKind,
        /// What went wrong.
        message: String,
    },
    /// There is output up to this offset.
    Output {
        /// The length of the output file.
        end: u64,
    },
    /// The main process has ended and its output is complete; the shim ends.
    Exited(Exit),
}

/// How far a start came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The container was not made.
    Create,
    /// The container was made; its program could not be executed.
    Start,
}

/// How a container ended; also the content of the exit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + n after the signal n.
    pub code: i32,
    /// Whether the kernel killed a process of the container for want of memory.
    pub is_oom_killed: bool,
    /// When the program was executed.
    pub started_at: Timestamp,
    /// When the main process ended.
    pub finished_at: Timestamp,
    /// The length of the output file, which grows no more.
    pub output_end: u64,
}

/// What a server asks of a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToShim {
    /// Sends a signal to the main process.
    Signal {
        /// The signal's number.
        number: i32,
    },
    /// Says that output before this offset has been delivered.
    Release {
        /// An offset in the output file.
        up_to: u64,
    },
}

/// Writes a message as its line.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages have only strings and numbers");
    line.push(b'\n');
    line
}

/// Reads a message from its line, with or without the line end. None if it is not one, or one of a later version.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_reads_back() {
        let message = FromShim::Failed { kind: FailureKind::Start, message: "a\nb".to_owned() };
        let line = encode(&message);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(decode::<FromShim>(&line), Some(message));
    }

    #[test]
    fn an_unknown_message_is_none() {
        assert_eq!(decode::<ToShim>(b"{\"dance\":{}}\n"), None);
    }
}
