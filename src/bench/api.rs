//! Start, idle memory, and requests under load, beside moto_server.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::report::Report;
use crate::server::{Server, load_image};
use crate::{load, process, requests, timing};

/// How often each server is started.
const STARTS: usize = 20;
/// How often moto's is, which takes a second each time.
const STARTS_OF_MOTO: usize = 3;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(1);
const NEARGATE: &str = "neargate";
const MOTO: &str = "moto";

/// Measures from the making of the process to its first answer, and the memory of a server that has nothing to do.
pub(crate) fn start(binary: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    let data_dir = folder.join("start");
    measure_start(NEARGATE, STARTS, || Server::neargate(binary, &data_dir, &[]), report)?;
    if has_moto(report) {
        measure_start(MOTO, STARTS_OF_MOTO, Server::moto, report)?;
    }
    Ok(())
}

fn measure_start(who: &str, count: usize, start: impl Fn() -> Result<Server>, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for turn in 0..count {
        let server = start()?;
        times.push(server.started_in);
        if turn + 1 == count {
            timing::pause(IDLE);
            add_memory(who, "idle memory", &server, report);
        }
    }
    report.add("start to first answer", who, timing::ms(timing::quantile(&mut times, 0.5)), "ms");
    Ok(())
}

fn add_memory(who: &str, what: &str, server: &Server, report: &mut Report) {
    let kib = u32::try_from(process::pss_kib(server.pid()).unwrap_or_default()).unwrap_or(u32::MAX);
    report.add(what, who, f64::from(kib) / 1024.0, "MiB");
}

/// Measures requests under load. The task that is described has ended, the same at each server.
pub(crate) fn load(binary: &Path, folder: &Path, rootfs: &Path, seconds: u64, report: &mut Report) -> Result<()> {
    let mut server = Server::neargate(binary, &folder.join("load"), &[])?;
    load_image(binary, &server, rootfs)?;
    measure_load(NEARGATE, &mut server, seconds, report)?;
    add_memory(NEARGATE, "memory after the load", &server, report);
    drop(server);
    if has_moto(report) {
        measure_load(MOTO, &mut Server::moto()?, seconds, report)?;
    }
    Ok(())
}

fn measure_load(who: &str, server: &mut Server, seconds: u64, report: &mut Report) -> Result<()> {
    server.prepare(requests::NAME, &["true"])?;
    let subnet = server.subnet()?;
    let (tasks, _) = server.run(requests::NAME, &subnet, 1)?;
    let definition = serde_json::json!({ "taskDefinition": requests::NAME });
    let loads = [
        ("DescribeTasks", requests::describe_tasks(&tasks)),
        ("DescribeTaskDefinition", requests::ecs("DescribeTaskDefinition", &definition)),
        (
            "RegisterTaskDefinition",
            requests::ecs("RegisterTaskDefinition", &requests::definition("registered", &["true"])),
        ),
    ];
    for (operation, request) in loads {
        let measured = load::run(server.address, server.pid(), &request, seconds)?;
        report.add(operation, who, measured.per_second, "requests/s");
        report.add(operation, who, measured.cpu.as_secs_f64() * 1e6, "µs of server CPU");
        report.add(operation, who, timing::ms(measured.median), "ms p50");
        report.add(operation, who, timing::ms(measured.p99), "ms p99");
    }
    Ok(())
}

/// Returns whether moto's server is installed, and notes it if not.
pub(crate) fn has_moto(report: &mut Report) -> bool {
    let is_here =
        std::process::Command::new("moto_server").arg("--help").output().is_ok_and(|done| done.status.success());
    if !is_here {
        report.note("moto_server is not installed: its column is missing".to_owned());
    }
    is_here
}
