//! Speaks to a running server.

use std::io::{BufRead, BufReader, Read};
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
    Json(&'a Value),
    Stream(&'a mut dyn Read),
}

impl Endpoint {
    /// Calls an operation of AWS's JSON protocol, in a region and with the credentials of the environment.
    pub(super) fn call(&self, service: &str, region: &str, target: &str, request: &Value) -> anyhow::Result<Value> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned());
        // Which account and region it is about is in the signature, which nobody verifies.
        let scope = format!("{key}/20260101/{region}/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let mut call = agent()
            .post(&self.endpoint_url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .header("authorization", authorization);
        if let Some(token) = variable("AWS_SESSION_TOKEN") {
            call = call.header("x-amz-security-token", token);
        }
        self.read(call.send(request.to_string()))
    }

    /// Sends a request to a path under `/_neargate/`, and returns the answer's JSON.
    pub(super) fn send(&self, method: &str, path: &str, name: Option<&str>, body: Body<'_>) -> anyhow::Result<Value> {
        let url = format!("{}/_neargate/{path}", self.endpoint_url.trim_end_matches('/'));
        let agent = agent();
        let answer = match body {
            Body::None => {
                let mut request = if method == "DELETE" { agent.delete(&url) } else { agent.get(&url) };
                if let Some(name) = name {
                    request = request.query("name", name);
                }
                request.call()
            }
            Body::Json(body) => agent.post(&url).content_type("application/json").send(body.to_string()),
            Body::Stream(stream) => {
                let mut request = agent.post(&url);
                if let Some(name) = name {
                    request = request.query("name", name);
                }
                request.send(ureq::SendBody::from_reader(stream))
            }
        };
        self.read(answer)
    }

    /// Posts a request to a path under `/_neargate/`, and returns the JSON objects of the answer, a line each, as they come.
    pub(super) fn lines(
        &self,
        path: &str,
        request: &Value,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Value>>> {
        let url = format!("{}/_neargate/{path}", self.endpoint_url.trim_end_matches('/'));
        let answer = agent().post(&url).content_type("application/json").send(request.to_string());
        let answer = answer
            .with_context(|| format!("no neargate answers at {}; start one: sudo neargate serve", self.endpoint_url))?;
        let is_told = answer.status().is_success();
        let url = self.endpoint_url.clone();
        Ok(BufReader::new(answer.into_body().into_reader()).lines().map(move |line| {
            let line = line.context("the server's answer breaks off")?;
            let told = serde_json::from_str::<Value>(&line);
            let told = told.with_context(|| format!("{url} is not a neargate, or an older one"))?;
            if !is_told {
                bail!("{}", told["message"].as_str().unwrap_or("the server refused"));
            }
            Ok(told)
        }))
    }

    fn read(&self, answer: Result<http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
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

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT_TIMEOUT));
    config.build().new_agent()
}
