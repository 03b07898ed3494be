//! The registry that everybody pulls from: Debian's docker-registry, or a second Neargate where it is not installed.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::image::Image;
use crate::report::Report;
use crate::server::Server;
use crate::{requests, timing};

const PROGRAM: &str = "docker-registry";
/// How long it may take to start, and how often it is asked.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(20);

/// A registry that runs on loopback.
pub(crate) struct Registry {
    address: SocketAddr,
    /// The folder of a `config.json` with the registry's user, if it wants one.
    pub(crate) users: PathBuf,
    authorization: String,
    /// What runs: ended with the registry.
    _running: Running,
}

enum Running {
    Docker(Child),
    Neargate(#[expect(dead_code, reason = "it is ended when it is dropped")] Server),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Docker(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Registry {
    /// Starts a registry that keeps what it has in a folder.
    pub(crate) fn start(binary: &Path, folder: &Path, report: &mut Report) -> Result<Self> {
        let users = folder.join("users");
        fs::create_dir_all(&users)?;
        fs::write(users.join("config.json"), "{}")?;
        let is_here = Command::new(PROGRAM).arg("--version").output().is_ok_and(|done| done.status.success());
        if is_here {
            return Self::docker(folder, users);
        }
        report.note(format!("{PROGRAM} is not installed: the registry is a second Neargate"));
        Self::neargate(binary, folder, users)
    }

    fn docker(folder: &Path, users: PathBuf) -> Result<Self> {
        // The port is free a moment later; nothing else here takes ports.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (config, data) = (folder.join("registry.yml"), folder.join("registry"));
        // JSON is YAML.
        let settings = json!({
            "version": 0.1,
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": data } },
            "http": { "addr": address.to_string() },
        });
        fs::write(&config, settings.to_string())?;
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: Ctrl-C is for us, who then end it.
        let running = Running::Docker(command.process_group(0).spawn()?);
        let ask = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
        timing::until(START_TIMEOUT, START_PAUSE, "the registry's first answer", || {
            Ok(Connection::new(address).call(ask.as_bytes()).ok().filter(|(status, _)| *status == 200))
        })?;
        Ok(Self { address, users, authorization: String::new(), _running: running })
    }

    fn neargate(binary: &Path, folder: &Path, users: PathBuf) -> Result<Self> {
        let mut server = Server::neargate(binary, &folder.join("registry"), &["--node", "simulated"])?;
        let ecr = |operation: &str, body: &Value| {
            requests::json_request("ecr", &format!("AmazonEC2ContainerRegistry_V20150921.{operation}"), body)
        };
        server.call(&ecr("CreateRepository", &json!({ "repositoryName": requests::NAME })))?;
        let answer = server.ask(&ecr("GetAuthorizationToken", &json!({})))?.context("there is no token")?;
        let token = answer["authorizationData"][0]["authorizationToken"].as_str().context("there is no token")?;
        let address = server.address;
        let config = json!({ "auths": { address.to_string(): { "auth": token } } });
        fs::write(users.join("config.json"), config.to_string())?;
        let authorization = format!("Authorization: Basic {token}\r\n");
        Ok(Self { address, users, authorization, _running: Running::Neargate(server) })
    }

    /// Returns the name of the image in this registry.
    pub(crate) fn reference(&self) -> String {
        format!("{}/{}:1", self.address, requests::NAME)
    }

    /// Puts the image into the registry.
    pub(crate) fn push(&self, image: &Image) -> Result<()> {
        let mut connection = Connection::new(self.address);
        let mut send = |method: &str, path: &str, kind: &str, body: &[u8]| {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                self.address,
                self.authorization,
                body.len()
            );
            let (answer, said) = connection.exchange(&[head.as_bytes(), body].concat())?;
            ensure!(answer.status / 100 == 2, "{method} {path}: {}, {}", answer.status, String::from_utf8_lossy(&said));
            Ok(answer.location)
        };
        let repository = format!("/v2/{}", requests::NAME);
        for digest in &image.blobs {
            let begun = send("POST", &format!("{repository}/blobs/uploads/"), "", b"")?;
            let location = begun.context("the registry does not say where a layer goes")?;
            let path = location.strip_prefix(&format!("http://{}", self.address)).unwrap_or(&location);
            let mark = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{mark}digest={digest}");
            send("PUT", &path, "application/octet-stream", &image.blob(digest)?)?;
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        send("PUT", &format!("{repository}/manifests/1"), kind, &image.manifest)?;
        Ok(())
    }
}
