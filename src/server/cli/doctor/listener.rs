//! The port: free, or whose.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use crate::Config;

/// How long a server may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// Listens on the usual port, or asks who does.
pub(super) fn check() -> Finding {
    let address = Config::LISTEN_DEFAULT;
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => taken(address, health(address).as_ref()),
        Err(error) => {
            Finding::warn("port", format!("cannot listen on {address}: {error}"), "neargate serve --listen ADDR")
        }
    }
}

fn taken(address: &str, health: Option<&Value>) -> Finding {
    match health.and_then(|health| Some((health["version"].as_str()?, health["node"].as_str()?))) {
        Some((version, node)) => Finding::ok("port", format!("neargate {version} answers at {address}, node {node}")),
        None => Finding::warn(
            "port",
            format!("another program listens on {address}"),
            "give the server another one: neargate serve --listen 127.0.0.1:0",
        ),
    }
}

fn health(address: &str) -> Option<Value> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_WAIT_MAX)).build().new_agent();
    let answer = agent.get(format!("http://{address}/_neargate/health")).call().ok()?;
    serde_json::from_str(&answer.into_body().read_to_string().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_the_port_is_told_from_another_program() {
        let health = serde_json::json!({ "version": "0.1.0", "node": "fargate" });
        let known = Finding::ok("port", "neargate 0.1.0 answers at 127.0.0.1:4566, node fargate");
        assert_eq!(taken("127.0.0.1:4566", Some(&health)), known);
        for other in [None, Some(&Value::Null)] {
            assert!(taken("127.0.0.1:4566", other).line(false).starts_with("warn     port: another program"));
        }
    }
}
