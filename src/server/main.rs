//! The `neargate` program: the server, its command line, and, under another name, the shim of each container.

use std::process::ExitCode;

/// The first argument of a shim.
const SHIM: &str = "shim";

fn main() -> ExitCode {
    // A shim must be single-threaded, so this is decided before anything else exists.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|command| command == SHIM) {
        return shim::main(args);
    }
    server::cli::main()
}
