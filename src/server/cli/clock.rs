//! `neargate clock`: a client of the running server.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Body, Endpoint};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Clock {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let time pass on a manual clock: everything that is due meanwhile happens, in its order
    ///
    /// The server must have been started with --clock manual. It is done when whatever was due has been done.
    Advance {
        /// How long: 90s, 30m, 1h30m, 2d
        #[arg(value_name = "DURATION", required_unless_present = "to")]
        by: Option<String>,
        /// Until when, as in 2026-01-01T12:00:00Z
        #[arg(long, value_name = "TIME", conflicts_with = "by")]
        to: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct Output {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Clock {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (answer, json) = match self.command {
            None => (self.output.endpoint.send("GET", "clock", None, Body::None)?, self.output.json),
            Some(Command::Advance { by, to, output }) => {
                let wanted = match (by, to) {
                    (_, Some(to)) => json!({ "to": to }),
                    (by, None) => json!({ "duration": by }),
                };
                (output.endpoint.send("POST", "clock/advance", None, Body::Json(&wanted))?, output.json)
            }
        };
        print(&answer, json);
        Ok(())
    }
}

/// Prints how late it is and who waits, or the server's own JSON.
#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn print(answer: &Value, json: bool) {
    if json {
        println!("{answer:#}");
        return;
    }
    let text = |member: &str| answer[member].as_str();
    println!("{}  ({} clock)", text("now").unwrap_or("?"), text("clock").unwrap_or("?"));
    if let Some(next) = text("next") {
        println!("{next}  is the next time that something is due");
    }
    for (reconciler, keys) in answer["waiting"].as_object().into_iter().flatten() {
        println!("  {reconciler}: {keys} waiting");
    }
}
