//! How a runtime gets its shims: from a process that has executed the program already, and forks.
//!
//! The runtime and its fork server speak over a `SOCK_SEQPACKET` socket, which is the fork server's standard input: a packet
//! for each order, a packet for its answer, one after the other. A shim answers itself, and is none if it cannot. The fork server ends with the socket; its shims do not.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The argument after [`crate::layout::SUBCOMMAND`] that makes a shim the fork server of others.
pub const SUBCOMMAND: &str = "fork-server";
/// The length of one more argument, which says nothing: a shim has its own arguments written over those that the fork server
/// was executed with, so that who lists processes can tell shims apart.
pub const ROOM_BYTES: usize = 1024;
/// What comes with an order: the shim's standard input and its standard error.
pub const ORDER_DESCRIPTORS: usize = 2;
/// What comes with an answer, if there is a shim: its pidfd.
pub const ANSWER_DESCRIPTORS: usize = 1;
/// The longest order: a folder's path, and what else there is to say.
pub const ORDER_BYTES_MAX: usize = 8 * 1024;
/// The length of an answer: an error's number, which is 0 if there is a shim.
pub const ANSWER_BYTES: usize = 4;

/// Writes an order: the arguments of the shim, those after [`crate::layout::SUBCOMMAND`].
pub fn encode_order(args: &[&OsStr]) -> Vec<u8> {
    args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>().join(&0)
}

/// Reads an order.
pub fn decode_order(packet: &[u8]) -> Vec<OsString> {
    packet.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect()
}

/// Writes an answer.
pub fn encode_answer(errno: i32) -> [u8; ANSWER_BYTES] {
    errno.to_le_bytes()
}

/// Reads an answer; none if it is not one.
pub fn decode_answer(packet: &[u8]) -> Option<i32> {
    packet.try_into().ok().map(i32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_back() {
        let args = ["exec", "", "/a b/\u{e9}"].map(OsStr::new);
        assert_eq!(decode_order(&encode_order(&args)), args);
    }

    #[test]
    fn an_answer_reads_back_and_half_of_one_is_none() {
        assert_eq!(decode_answer(&encode_answer(-11)), Some(-11));
        assert_eq!(decode_answer(&encode_answer(1)[1..]), None);
    }
}
