//! `neargate doctor`.

use std::process::ExitCode;

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> ExitCode {
        let _ = self.json;
        ExitCode::SUCCESS
    }
}
