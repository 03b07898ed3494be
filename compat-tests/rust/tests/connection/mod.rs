//! The server that is tested, as the tests are told of it.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{Credentials, Region};

/// Reads a variable that `test_rust.py` sets.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says what to test"))
}

/// Makes a client of the server that is tested; what fails is not tried again.
pub fn client() -> Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version_latest()
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(variable("NEARGATE_ENDPOINT"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}
