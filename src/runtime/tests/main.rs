//! Real containers. These tests need root, cgroups and `/bin/busybox` (Debian's `busybox-static`), and leave nothing
//! behind. The harness is not the standard one, because this binary is the shim too: it must become one before any
//! thread exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod again;
mod bed;
mod ending;
mod exec;
mod hostile;
mod limits;
mod mounts;
mod output;
mod process;
mod restart;
mod starting;
mod storage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test: its name and what it does.
type Test = (&'static str, fn());

/// Names functions as tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this file.
        pub(crate) const TESTS: &[$crate::Test] = &[$((stringify!($name), || $crate::bed::run($name()))),*];
    };
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == shim_protocol::layout::SUBCOMMAND) {
        return shim::main(args);
    }
    let all = [
        again::TESTS,
        ending::TESTS,
        exec::TESTS,
        hostile::TESTS,
        limits::TESTS,
        mounts::TESTS,
        output::TESTS,
        process::TESTS,
        restart::TESTS,
        starting::TESTS,
        storage::TESTS,
    ]
    .concat();
    let trials = all.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
