//! The servers that are measured: started, spoken to, ended.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::{report, requests, timing};

/// How long a server may take to start; moto's needs seconds on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a starting server is asked.
const START_PAUSE: Duration = Duration::from_micros(200);
/// How long a server may take to end, its tasks with it, before it is killed; and how often it is looked at.
const END_TIMEOUT: Duration = Duration::from_secs(120);
const END_PAUSE: Duration = Duration::from_millis(5);

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    connection: Connection,
    /// From just before its process was made to its first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts Neargate. Its state is kept in `data_dir`.
    pub(crate) fn neargate(binary: &Path, data_dir: &Path, more: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "--log", "warn", "--data-dir"]).arg(data_dir).args(more).arg("--listen");
        Self::start(command, |address| vec![address.to_string()])
    }

    /// Starts Neargate with Docker's config.json in a folder, where the users of registries are.
    pub(crate) fn neargate_with_users(binary: &Path, data_dir: &Path, docker_config: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.env("DOCKER_CONFIG", docker_config);
        command.args(["serve", "--log", "warn", "--data-dir"]).arg(data_dir).arg("--listen");
        Self::start(command, |address| vec![address.to_string()])
    }

    /// Starts Neargate with its state in memory alone.
    pub(crate) fn neargate_in_memory(binary: &Path, more: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "--log", "warn"]).args(more).arg("--listen");
        Self::start(command, |address| vec![address.to_string()])
    }

    /// Starts moto's server.
    pub(crate) fn moto() -> Result<Self> {
        Self::start(Command::new("moto_server"), |address| vec!["-p".to_owned(), address.port().to_string()])
    }

    fn start(mut command: Command, arguments: impl Fn(SocketAddr) -> Vec<String>) -> Result<Self> {
        // The port is free a moment later; nothing else here takes ports.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // A group of its own: Ctrl-C is for us, who then end it.
        command.process_group(0);
        command.args(arguments(address)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ask = requests::ecs("ListClusters", &json!({}));
        let mut connection = Connection::new(address);
        let begin = timing::now();
        let mut child = command.spawn().context("cannot start it")?;
        let (_, end) = timing::until(START_TIMEOUT, START_PAUSE, "its first answer", || {
            ensure!(child.try_wait()?.is_none(), "it ended at once");
            Ok(connection.call(&ask).ok().filter(|(status, _)| *status == 200))
        })?;
        Ok(Self { child, address, connection, started_in: end.duration_since(begin) })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Leaves the connection, which the server closes after it has been idle for a while.
    pub(crate) fn reconnect(&mut self) {
        self.connection = Connection::new(self.address);
    }

    /// Sends a request that must succeed, and returns the answer.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let (status, body) = self.connection.call(request)?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Sends a request, and returns the answer as JSON; none if it was refused.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Option<Value>> {
        let (status, body) = self.connection.call(request)?;
        Ok(if status == 200 { Some(serde_json::from_slice(&body)?) } else { None })
    }

    /// Returns a subnet of the default VPC.
    pub(crate) fn subnet(&mut self) -> Result<String> {
        Ok(self.subnets()?.swap_remove(0))
    }

    /// Returns the subnets of the default VPC, at least one.
    pub(crate) fn subnets(&mut self) -> Result<Vec<String>> {
        let answer = String::from_utf8(self.call(&requests::describe_subnets())?)?;
        let ids = answer.split("<subnetId>").skip(1).filter_map(|after| after.split('<').next());
        let ids = ids.map(str::to_owned).collect::<Vec<_>>();
        ensure!(!ids.is_empty(), "there is no subnet");
        Ok(ids)
    }

    /// Makes the cluster, and registers a definition that runs a command.
    pub(crate) fn prepare(&mut self, family: &str, command: &[&str]) -> Result<()> {
        self.call(&requests::ecs("CreateCluster", &json!({ "clusterName": requests::NAME })))?;
        self.call(&requests::ecs("RegisterTaskDefinition", &requests::definition(family, command)))?;
        Ok(())
    }

    /// Runs tasks, and returns their ARNs and the moment before the request.
    pub(crate) fn run(&mut self, family: &str, subnet: &str, count: usize) -> Result<(Vec<String>, Instant)> {
        let request = requests::run_task(family, subnet, count);
        let begin = timing::now();
        let answer: Value = serde_json::from_slice(&self.call(&request)?)?;
        let tasks = answer["tasks"].as_array().context("no tasks")?;
        Ok((tasks.iter().filter_map(|task| task["taskArn"].as_str()).map(str::to_owned).collect(), begin))
    }
}

/// Loads a folder, a root file system or a layout, as the image of all tasks.
pub(crate) fn load_image(binary: &Path, server: &Server, folder: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(["image", "load"]).arg(folder).args(["--name", "busybox:latest", "--endpoint-url"]);
    let done = command.arg(format!("http://{}", server.address)).output()?;
    ensure!(done.status.success(), "cannot load the image: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

impl Drop for Server {
    /// Ends the server, which then ends its tasks: nothing is left even if a measurement failed.
    fn drop(&mut self) {
        let reset = "POST /_neargate/reset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
        let _ = self.connection.call(reset.as_bytes());
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = timing::now() + END_TIMEOUT;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if timing::now() >= deadline {
                report::complain("the server does not end, and is killed");
                let _ = self.child.kill();
            }
            timing::pause(END_PAUSE);
        }
    }
}
