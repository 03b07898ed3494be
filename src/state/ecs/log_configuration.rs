//! Where the output of containers goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Secret;

/// How far output may run ahead of its delivery before lines of it are dropped, unless the definition says otherwise, in
/// bytes. (LogConfiguration: `max-buffer-size`)
pub const BUFFER_BYTES_DEFAULT: u64 = 10 * 1024 * 1024;

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogConfiguration {
    /// To CloudWatch Logs.
    AwsLogs(AwsLogs),
    /// To Splunk.
    Splunk(Splunk),
    /// To the log router of the task.
    FireLens(FireLens),
    /// To a driver that Fargate does not have; output is read and dropped.
    Other {
        /// The driver's name.
        driver: String,
    },
}

/// The options of the `awslogs` driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsLogs {
    /// `awslogs-group`.
    pub group: String,
    /// `awslogs-region`.
    pub region: String,
    /// `awslogs-stream-prefix`.
    pub stream_prefix: Option<String>,
    /// `awslogs-create-group`.
    pub creates_group: bool,
    /// Which lines begin an event; none means that every line is one.
    #[serde(default)]
    pub event_start: Option<EventStart>,
    /// What happens to output that comes faster than it is delivered.
    #[serde(default)]
    pub delivery: Delivery,
}

/// Which lines begin an event of several lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventStart {
    /// Those with a date and time in this form of strftime(3): `awslogs-datetime-format`.
    DatetimeFormat(String),
    /// Those that match a regular expression: `awslogs-multiline-pattern`.
    Pattern(String),
}

/// What happens to output that comes faster than it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What happens; none leaves it to the account's setting. (`mode`)
    pub mode: Option<DeliveryMode>,
    /// How far output may be ahead before lines are dropped, where they are, in bytes. (`max-buffer-size`)
    pub buffer_bytes: u64,
}

/// What happens to output that comes faster than it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// The container waits in its write.
    Blocking,
    /// Lines that find the buffer full are dropped.
    NonBlocking,
}

/// The options of the `splunk` driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splunk {
    /// The options as they were given.
    pub options: BTreeMap<String, String>,
    /// The options whose values are fetched.
    pub secret_options: Vec<Secret>,
    /// What happens to output that comes faster than it is delivered.
    pub delivery: Delivery,
}

/// The options of the `awsfirelens` driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FireLens {
    /// What the router is told to do with the output.
    pub options: BTreeMap<String, String>,
    /// The options whose values are fetched.
    pub secret_options: Vec<Secret>,
    /// What happens to output that comes faster than the router takes it.
    pub delivery: Delivery,
}

/// What makes a container the log router of its task: `firelensConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRouter {
    /// Whose configuration it reads.
    pub kind: LogRouterKind,
    /// Whether it adds to each record whose task wrote it: `enable-ecs-log-metadata`.
    pub adds_metadata: bool,
    /// A further configuration that it reads.
    pub configuration: Option<RouterConfiguration>,
}

/// Whose configuration a log router reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogRouterKind {
    /// Fluent Bit's.
    FluentBit,
    /// Fluentd's.
    Fluentd,
}

/// A configuration of a log router's that its definition names: `config-file-type` and `config-file-value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterConfiguration {
    /// A file of its image.
    File {
        /// The path.
        path: String,
    },
    /// An object of S3.
    S3 {
        /// Its ARN.
        arn: String,
    },
}

impl Default for Delivery {
    fn default() -> Self {
        Self { mode: None, buffer_bytes: BUFFER_BYTES_DEFAULT }
    }
}

impl DeliveryMode {
    /// What holds where neither definition nor account says anything. (LogConfiguration: since June 2025)
    pub const DEFAULT: Self = Self::NonBlocking;

    /// Reads a mode as ECS writes it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "blocking" => Some(Self::Blocking),
            "non-blocking" => Some(Self::NonBlocking),
            _ => None,
        }
    }
}

impl LogConfiguration {
    /// Returns what happens to output that comes faster than it is delivered; none for a driver that drops all of it.
    pub fn delivery(&self) -> Option<Delivery> {
        match self {
            Self::AwsLogs(log) => Some(log.delivery),
            Self::Splunk(log) => Some(log.delivery),
            Self::FireLens(log) => Some(log.delivery),
            Self::Other { .. } => None,
        }
    }
}
