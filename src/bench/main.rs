//! `neargate-bench`: measures the built server beside its peers, all in one run, and prints a table.
//!
//! It knows the server only as a client does: it starts the binary, speaks HTTP to it, and reads what the kernel counts
//! of its processes. `scripts/bench` builds both and runs it.

mod api;
mod growth;
mod held;
mod http;
mod image;
mod images;
mod interruption;
mod load;
mod peers;
mod process;
mod registry;
mod report;
mod requests;
mod rootfs;
mod server;
mod services;
mod stages;
mod tasks;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Report;
use stages::Scale;

/// Measures Neargate beside moto_server, runc, crun and libcontainer, and beside skopeo, umoci and podman, in one run.
///
/// Every figure is of this machine and this moment: compare columns, not runs. Needs root, because tasks are containers.
/// A task is timed from its RunTask until DescribeTasks says RUNNING or STOPPED and until its output is in its log; a
/// container of another runtime from the making of its process until its output is read and until the process ends.
#[derive(Debug, Parser)]
#[command(name = "neargate-bench")]
struct Options {
    /// The server to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/neargate")]
    binary: PathBuf,
    /// The program that runs a container by libcontainer and nothing else
    #[arg(long, value_name = "FILE", default_value = "target/release/examples/bare_libcontainer")]
    floor: PathBuf,
    /// Only these: start, api, growth, tasks, services, images
    #[arg(long, value_name = "PART", value_delimiter = ',', default_value = "start,api,growth,tasks,services,images")]
    only: Vec<String>,
    #[command(flatten)]
    scale: Scale,
    /// Rounds of cold pulls of an image
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    pulls: usize,
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
    interruption::note_signals()?;
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
        tasks::measure(&options.binary, folder.path(), &rootfs, &options.scale, &mut report)?;
        peers::measure(folder.path(), &rootfs, &options.floor, &options.scale, &mut report)?;
        held::measure(&options.binary, folder.path(), &rootfs, &options.scale, &mut report)?;
    }
    if wants("services") {
        services::measure(&options.binary, folder.path(), &rootfs, &options.scale, &mut report)?;
    }
    if wants("images") {
        images::measure(&options.binary, folder.path(), &rootfs, options.pulls, &mut report)?;
    }
    report.print(options.json);
    Ok(())
}
