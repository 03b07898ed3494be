//! Speaks to a running server.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which server.
#[derive(Debug, Args)]
pub(super) struct Endpoint {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4566", env = "AWS_ENDPOINT_URL")]
    endpoint_url: String,
}

/// What a request brings along.
pub(super) enum Body<'a> {
    None,
    Stream(&'a mut dyn Read),
}

impl Endpoint {
    /// Sends a request to a path under `/_neargate/`, and returns the answer's JSON.
    pub(super) fn send(&self, method: &str, path: &str, name: Option<&str>, body: Body<'_>) -> anyhow::Result<Value> {
        let url = format!("{}/_neargate/{path}", self.endpoint_url.trim_end_matches('/'));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build()
            .new_agent();
        let answer = match body {
            Body::None => {
                let mut request = if method == "DELETE" { agent.delete(&url) } else { agent.get(&url) };
                if let Some(name) = name {
                    request = request.query("name", name);
                }
                request.call()
            }
            Body::Stream(stream) => {
                let mut request = agent.post(&url);
                if let Some(name) = name {
                    request = request.query("name", name);
                }
                request.send(ureq::SendBody::from_reader(stream))
            }
        };
        let answer = answer
            .with_context(|| format!("no neargate answers at {}; start one: sudo neargate serve", self.endpoint_url))?;
        let status = answer.status();
        let text = answer.into_body().read_to_string().context("cannot read the answer")?;
        let json = serde_json::from_str::<Value>(&text)
            .with_context(|| format!("{} is not a neargate: it answers {status}", self.endpoint_url))?;
        if !status.is_success() {
            bail!("{}", json["message"].as_str().unwrap_or("the server refused"));
        }
        Ok(json)
    }
}
