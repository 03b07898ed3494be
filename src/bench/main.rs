//! `neargate-bench`: measures the built server beside its peers, all in one run, and prints a table.
//!
//! It knows the server only as a client does: it starts the binary, speaks HTTP to it, and reads what the kernel counts
//! of its processes. `scripts/bench` builds both and runs it.

mod api;
mod growth;
mod http;
mod load;
mod peers;
mod process;
mod report;
mod requests;
mod rootfs;
mod server;
mod tasks;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Report;

/// Measures Neargate beside moto_server and runc, in one run.
///
/// Every figure is of this machine and this moment: compare columns, not runs. Needs root, because tasks are containers.
#[derive(Debug, Parser)]
#[command(name = "neargate-bench")]
struct Options {
    /// The server to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/neargate")]
    binary: PathBuf,
    /// Only these: start, api, growth, tasks, memory, runtimes
    #[arg(long, value_name = "PART", value_delimiter = ',', default_value = "start,api,growth,tasks,memory,runtimes")]
    only: Vec<String>,
    /// Seconds of load for each request
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("neargate-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let rootfs = rootfs::make(folder.path())?;
    let wants = |part: &str| options.only.iter().any(|wanted| wanted == part);
    let mut report = Report::default();
    if wants("start") {
        api::start(&options.binary, folder.path(), &mut report)?;
    }
    if wants("api") {
        api::load(&options.binary, folder.path(), &rootfs, options.seconds, &mut report)?;
    }
    if wants("growth") {
        growth::measure(&options.binary, folder.path(), options.seconds, &mut report)?;
    }
    if wants("tasks") {
        tasks::measure(&options.binary, folder.path(), &rootfs, &mut report)?;
    }
    if wants("memory") {
        tasks::memory(&options.binary, folder.path(), &rootfs, &mut report)?;
    }
    if wants("runtimes") {
        peers::runtimes(folder.path(), &rootfs, &mut report)?;
    }
    report.print(options.json);
    Ok(())
}
