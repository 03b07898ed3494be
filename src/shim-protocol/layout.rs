//! The names of the files in a container's folder.

/// The first argument that makes the binary a shim; the second one is the container's folder.
pub const SUBCOMMAND: &str = "shim";
/// What the shim is to run; written by the runtime before the shim starts.
pub const REQUEST: &str = "request.json";
/// What the container has written, in frames.
pub const OUTPUT: &str = "output";
/// How the container ended; appears whole or not at all.
pub const EXIT: &str = "exit.json";
/// Where the exit status is written before it gets its name.
pub const EXIT_UNFINISHED: &str = "exit.json.new";
/// The shim's socket; has this name only once the container's program runs.
pub const SOCKET: &str = "shim.sock";
/// The shim's socket until then.
pub const SOCKET_UNFINISHED: &str = "shim.sock.new";
/// What the shim has to say to whoever debugs it. The shim is born with a lock on it, which ends with the shim.
pub const LOG: &str = "shim.log";
/// The writable layer.
pub const UPPER: &str = "upper";
/// The folder that overlayfs needs beside the writable layer.
pub const WORK: &str = "work";
/// Where the root file system is mounted, in the launcher's own mount namespace.
pub const ROOT: &str = "root";
/// What libcontainer is told and writes, in memory; empty for everybody but the launcher.
pub const SCRATCH: &str = "scratch";
