//! Log drivers and log routers: their checks, and what of them acts.

use std::collections::BTreeMap;

use api::ecs as api;
use state::ecs::{
    AwsLogs, BUFFER_BYTES_DEFAULT, Delivery, DeliveryMode, EventStart, FireLens, LogConfiguration, LogRouter,
    LogRouterKind, RouterConfiguration, Splunk,
};

use super::parse;
use crate::{Result, client};

/// The options of the `awslogs` driver, in ECS.
const AWSLOGS_OPTIONS: [&str; 8] = [
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
];
/// The options of the `splunk` driver: Docker's, and those of every driver.
const SPLUNK_OPTIONS: [&str; 18] = [
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "mode",
    "splunk-caname",
    "splunk-capath",
    "splunk-format",
    "splunk-gzip",
    "splunk-gzip-level",
    "splunk-index",
    "splunk-insecureskipverify",
    "splunk-source",
    "splunk-sourcetype",
    "splunk-token",
    "splunk-url",
    "splunk-verify-connection",
];
/// The option of `splunk` whose name is not its own.
const TAG: &str = "tag";
/// The options of a log router.
const ROUTER_OPTIONS: [&str; 3] = ["config-file-type", "config-file-value", "enable-ecs-log-metadata"];
/// The drivers that Fargate has.
const FARGATE_DRIVERS: [api::LogDriver; 3] =
    [api::LogDriver::Awslogs, api::LogDriver::Splunk, api::LogDriver::Awsfirelens];

/// Checks the log configuration of one container.
pub(super) fn check(input: &api::RegisterTaskDefinitionRequest, container: &api::ContainerDefinition) -> Result<()> {
    check_router(container)?;
    let Some(log) = &container.log_configuration else { return Ok(()) };
    let none = BTreeMap::new();
    let options = log.options.as_ref().unwrap_or(&none);
    match &log.log_driver {
        Some(api::LogDriver::Awslogs) => check_awslogs(input, options)?,
        Some(api::LogDriver::Splunk) => check_splunk(log, options)?,
        _ => {}
    }
    // The texts of these two are unverified: the rules are LogConfiguration's documentation.
    if options.get("mode").is_some_and(|mode| DeliveryMode::parse(mode).is_none()) {
        return Err(client("Log driver option 'mode' should be one of [blocking, non-blocking]."));
    }
    if options.get("max-buffer-size").is_some_and(|size| buffer_bytes(size).is_none()) {
        return Err(client("Log driver option 'max-buffer-size' is not a valid size."));
    }
    Ok(())
}

fn check_awslogs(input: &api::RegisterTaskDefinitionRequest, options: &BTreeMap<String, String>) -> Result<()> {
    for needed in ["awslogs-group", "awslogs-region"] {
        if options.get(needed).is_none_or(String::is_empty) {
            return Err(client(format!("Log driver awslogs requires options: {needed}")));
        }
    }
    if let Some(unknown) = options.keys().find(|name| !AWSLOGS_OPTIONS.contains(&name.as_str())) {
        return Err(client(format!("Log driver awslogs disallows options: {unknown}")));
    }
    if options.get("awslogs-create-group").is_some_and(|value| value != "true") {
        return Err(client(
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
        ));
    }
    let is_fargate = input.requires_compatibilities.iter().flatten().any(|c| *c == api::Compatibility::Fargate);
    if is_fargate && options.get("awslogs-stream-prefix").is_none_or(String::is_empty) {
        return Err(client(
            "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs.",
        ));
    }
    Ok(())
}

/// Checks the options of Splunk. (The texts are those of awslogs with another name; unverified.)
fn check_splunk(log: &api::LogConfiguration, options: &BTreeMap<String, String>) -> Result<()> {
    let is_secret = |name: &str| log.secret_options.iter().flatten().any(|secret| secret.name.as_deref() == Some(name));
    for needed in ["splunk-token", "splunk-url"] {
        if options.get(needed).is_none_or(String::is_empty) && !is_secret(needed) {
            return Err(client(format!("Log driver splunk requires options: {needed}")));
        }
    }
    match options.keys().find(|name| *name != TAG && !SPLUNK_OPTIONS.contains(&name.as_str())) {
        Some(unknown) => Err(client(format!("Log driver splunk disallows options: {unknown}"))),
        None => Ok(()),
    }
}

/// Checks the options of a log router. (The rules are FirelensConfiguration's documentation; the texts are unverified.)
fn check_router(container: &api::ContainerDefinition) -> Result<()> {
    let Some(options) = container.firelens_configuration.as_ref().and_then(|router| router.options.as_ref()) else {
        return Ok(());
    };
    if let Some(unknown) = options.keys().find(|name| !ROUTER_OPTIONS.contains(&name.as_str())) {
        return Err(client(format!("FireLens configuration disallows options: {unknown}")));
    }
    let is_valid = match (options.get("config-file-type").map(String::as_str), options.get("config-file-value")) {
        (None, None) => true,
        (Some("file" | "s3"), Some(value)) => !value.is_empty(),
        _ => false,
    };
    if !is_valid {
        return Err(client(
            "FireLens configuration options config-file-type (s3 or file) and config-file-value must be given together.",
        ));
    }
    match options.get("enable-ecs-log-metadata").map(String::as_str) {
        None | Some("true" | "false") => Ok(()),
        Some(_) => Err(client("FireLens configuration option enable-ecs-log-metadata must be true or false.")),
    }
}

/// Checks that a log router and those who write to it come together.
pub(super) fn check_together(containers: &[api::ContainerDefinition]) -> Result<()> {
    let is_routed = |container: &api::ContainerDefinition| {
        container.log_configuration.as_ref().is_some_and(|log| log.log_driver == Some(api::LogDriver::Awsfirelens))
    };
    let has_routed = containers.iter().any(is_routed);
    let routers = containers.iter().filter(|container| container.firelens_configuration.is_some()).count();
    match (has_routed, routers) {
        (true, 0) => Err(client(
            "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be \
             configured in one of the containers.",
        )),
        (false, 1..) => Err(client(
            "When a firelensConfiguration object is specified, at least one container has to be configured with the \
             awsfirelens log driver",
        )),
        // Text unverified.
        (true, 2..) => Err(client("A firelens configuration object can be configured in one container only.")),
        (true, 1) | (false, 0) => Ok(()),
    }
}

/// Checks that Fargate has the driver, and that there is a role to write the log with.
pub(super) fn check_fargate(
    input: &api::RegisterTaskDefinitionRequest,
    container: &api::ContainerDefinition,
) -> Result<()> {
    let router = container.firelens_configuration.as_ref().and_then(|router| router.options.as_ref());
    if router.and_then(|options| options.get("config-file-type")).is_some_and(|kind| kind == "s3") {
        // Text unverified; the rule is FirelensConfiguration's documentation.
        return Err(client("Fargate only supports the FireLens configuration option config-file-type 'file'."));
    }
    let Some(driver) = container.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref()) else {
        return Ok(());
    };
    if !FARGATE_DRIVERS.contains(driver) {
        return Err(client(format!(
            "{driver} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]"
        )));
    }
    if *driver == api::LogDriver::Awslogs && input.execution_role_arn.is_none() {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    Ok(())
}

/// Reads what of a log configuration acts.
pub(super) fn log(configuration: &api::LogConfiguration) -> LogConfiguration {
    let options = configuration.options.clone().unwrap_or_default();
    let delivery = delivery(&options);
    let secret_options = configuration.secret_options.iter().flatten().map(parse::secret).collect();
    let option = |name: &str| options.get(name).cloned().filter(|value| !value.is_empty());
    match configuration.log_driver.as_ref() {
        Some(api::LogDriver::Awslogs) => LogConfiguration::AwsLogs(AwsLogs {
            group: option("awslogs-group").unwrap_or_default(),
            region: option("awslogs-region").unwrap_or_default(),
            stream_prefix: option("awslogs-stream-prefix"),
            creates_group: option("awslogs-create-group").as_deref() == Some("true"),
            // The pattern is ignored where there is a format. (LogConfiguration)
            event_start: option("awslogs-datetime-format")
                .map(EventStart::DatetimeFormat)
                .or_else(|| option("awslogs-multiline-pattern").map(EventStart::Pattern)),
            delivery,
        }),
        Some(api::LogDriver::Splunk) => LogConfiguration::Splunk(Splunk { options, secret_options, delivery }),
        Some(api::LogDriver::Awsfirelens) => LogConfiguration::FireLens(FireLens { options, secret_options, delivery }),
        driver => LogConfiguration::Other { driver: driver.map(ToString::to_string).unwrap_or_default() },
    }
}

/// Reads what makes a container a log router.
pub(super) fn log_router(configuration: &api::FirelensConfiguration) -> Option<LogRouter> {
    let kind = match configuration.r#type.as_ref()? {
        api::FirelensConfigurationType::Fluentbit => LogRouterKind::FluentBit,
        api::FirelensConfigurationType::Fluentd => LogRouterKind::Fluentd,
        api::FirelensConfigurationType::Other(_) => return None,
    };
    let option = |name: &str| configuration.options.as_ref().and_then(|options| options.get(name)).map(String::as_str);
    let value = option("config-file-value").map(ToOwned::to_owned);
    let configuration = match option("config-file-type") {
        Some("file") => value.map(|path| RouterConfiguration::File { path }),
        Some("s3") => value.map(|arn| RouterConfiguration::S3 { arn }),
        _ => None,
    };
    Some(LogRouter { kind, adds_metadata: option("enable-ecs-log-metadata") != Some("false"), configuration })
}

fn delivery(options: &BTreeMap<String, String>) -> Delivery {
    Delivery {
        mode: options.get("mode").and_then(|mode| DeliveryMode::parse(mode)),
        buffer_bytes: options
            .get("max-buffer-size")
            .and_then(|size| buffer_bytes(size))
            .unwrap_or(BUFFER_BYTES_DEFAULT),
    }
}

/// Reads a size as Docker does: `1m`, `512KiB`, `4096`. Units are powers of 1024.
fn buffer_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_buffers_are_read_as_docker_reads_them() {
        let cases = [
            ("1m", Some(1 << 20)),
            ("25m", Some(25 << 20)),
            ("512 KiB", Some(512 << 10)),
            ("1GB", Some(1 << 30)),
            ("4096", Some(4096)),
            ("10b", Some(10)),
            ("0", None),
            ("-1m", None),
            ("1.5m", None),
            ("m", None),
            ("", None),
            ("1x", None),
            ("99999999999999999999", None),
            ("99999999999999999g", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(buffer_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_format_of_date_and_time_stands_before_a_pattern() {
        let options = |names: &[&str]| {
            let pairs = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
            let configuration = api::LogConfiguration {
                log_driver: Some(api::LogDriver::Awslogs),
                options: Some(pairs),
                ..Default::default()
            };
            let LogConfiguration::AwsLogs(log) = log(&configuration) else { panic!("awslogs") };
            log.event_start
        };
        let format = Some(EventStart::DatetimeFormat("x".to_owned()));
        assert_eq!(options(&["awslogs-datetime-format", "awslogs-multiline-pattern"]), format);
        assert_eq!(options(&["awslogs-multiline-pattern"]), Some(EventStart::Pattern("x".to_owned())));
        assert_eq!(options(&["awslogs-group"]), None);
    }
}
