//! The life of a task, over the API, on both nodes: each scenario runs on the simulated node and on the real one, so that
//! the one cannot drift from the other. A container says what it does twice: as a command for busybox, and as the script
//! of a simulated container.
//!
//! The real node needs root, cgroups and `/bin/busybox` (Debian's `busybox-static`). The harness is not the standard one,
//! because this binary is the shim too: it must become one before any thread exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod ending;
mod environment;
mod failing;
mod health;
mod instances;
mod interface;
mod lifetime;
mod logging;
mod metadata;
mod order;
mod output;
mod spot;
mod stopping;
mod volume;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::bench::Place;

/// A scenario: its name, where it can run, and what happens.
type Scenario = (&'static str, &'static [Place], fn(Place));

/// Names functions as scenarios.
#[macro_export]
macro_rules! scenarios {
    ($($places:expr => [$($name:ident),* $(,)?]),* $(,)?) => {
        /// The scenarios of this file.
        pub(crate) const SCENARIOS: &[$crate::Scenario] = &[
            $($((stringify!($name), $places, |place| $crate::bench::run(place, $name)),)*)*
        ];
    };
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == shim_protocol::layout::SUBCOMMAND => return shim::main(args),
        Some(first) if first == logging::ROUTER => return logging::route(),
        _ => {}
    }
    let all = [
        ending::SCENARIOS,
        environment::SCENARIOS,
        failing::SCENARIOS,
        health::SCENARIOS,
        instances::SCENARIOS,
        interface::SCENARIOS,
        lifetime::SCENARIOS,
        logging::SCENARIOS,
        metadata::SCENARIOS,
        order::SCENARIOS,
        output::SCENARIOS,
        spot::SCENARIOS,
        stopping::SCENARIOS,
        volume::SCENARIOS,
    ];
    let trials = all.concat().into_iter().flat_map(|(name, places, scenario)| {
        places.iter().map(move |&place| {
            let trial = Trial::test(format!("{place}::{name}"), move || {
                scenario(place);
                Ok(())
            });
            trial.with_ignored_flag(place == Place::Fargate && !nix::unistd::geteuid().is_root())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
