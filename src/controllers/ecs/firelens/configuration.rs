//! The configuration that a log router is given: pure functions.
//!
//! It has what every router of FireLens has (a socket, a port, whose task wrote a record), then the definition's own
//! configuration, then a destination for each container that names one in its options.

use std::fmt::Write;

use state::ecs::{FireLens, LogRouter, LogRouterKind, RouterConfiguration, Task, TaskDefinition};

use super::{SOCKET, routed};

/// The options that are not for the destination.
const OWN_OPTIONS: [&str; 5] =
    ["exclude-pattern", "include-pattern", "log-driver-buffer-limit", "max-buffer-size", "mode"];
/// The field of a record that holds the line.
const LINE: &str = "log";
/// Where Fluent Bit is asked whether it is well; its health check sends a record there, which goes nowhere.
const HEALTH_PORT: u16 = 8877;
const HEALTH_TAG: &str = "firelens-healthcheck";

/// What a router's configuration is made of.
pub(super) struct Configuration<'a> {
    pub(super) task: &'a Task,
    pub(super) definition: &'a TaskDefinition,
    pub(super) router: &'a LogRouter,
}

/// Returns where a router looks for its configuration.
pub(super) fn path(kind: LogRouterKind) -> &'static str {
    match kind {
        LogRouterKind::FluentBit => "/fluent-bit/etc/fluent-bit.conf",
        LogRouterKind::Fluentd => "/fluentd/etc/fluent.conf",
    }
}

/// Returns where a router finds the configuration that its definition has in S3.
pub(super) fn external_path(kind: LogRouterKind) -> &'static str {
    match kind {
        LogRouterKind::FluentBit => "/fluent-bit/etc/external.conf",
        LogRouterKind::Fluentd => "/fluentd/etc/external.conf",
    }
}

/// Returns the environment variable of the router that has the value of a container's secret option.
pub(super) fn variable(container: &str, option: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("FIRELENS_{container}_{option}").chars().map(letter).collect()
}

impl Configuration<'_> {
    /// Writes the configuration.
    pub(super) fn write(&self) -> String {
        let mut text = String::new();
        let written = match self.router.kind {
            LogRouterKind::FluentBit => self.fluent_bit(&mut text),
            LogRouterKind::Fluentd => self.fluentd(&mut text),
        };
        written.expect("text takes what is written");
        text
    }

    fn fluent_bit(&self, text: &mut String) -> std::fmt::Result {
        let port = HEALTH_PORT.to_string();
        section(text, "INPUT", &[("Name", "tcp"), ("Listen", "127.0.0.1"), ("Port", &port), ("Tag", HEALTH_TAG)])?;
        section(text, "INPUT", &[("Name", "forward"), ("unix_path", SOCKET)])?;
        section(text, "INPUT", &[("Name", "forward"), ("Listen", "127.0.0.1"), ("Port", "24224")])?;
        for (container, log) in routed(self.definition) {
            let tag = format!("{}-firelens*", container.name);
            for (option, how) in [("include-pattern", "Regex"), ("exclude-pattern", "Exclude")] {
                if let Some(pattern) = log.options.get(option) {
                    let rule = format!("{LINE} {pattern}");
                    section(text, "FILTER", &[("Name", "grep"), ("Match", &tag), (how, &rule)])?;
                }
            }
        }
        if self.router.adds_metadata {
            let records = self.metadata().map(|(name, value)| format!("{name} {value}"));
            let [a, b, c] = &records;
            section(
                text,
                "FILTER",
                &[("Name", "record_modifier"), ("Match", "*"), ("Record", a), ("Record", b), ("Record", c)],
            )?;
        }
        if let Some(path) = self.included() {
            writeln!(text, "@INCLUDE {path}\n")?;
        }
        section(text, "OUTPUT", &[("Name", "null"), ("Match", HEALTH_TAG)])?;
        for (container, log) in routed(self.definition) {
            let Some(name) = log.options.get("Name") else { continue };
            let tag = format!("{}-firelens*", container.name);
            let mut lines = vec![("Name", name.as_str()), ("Match", &tag)];
            lines.extend(destination(log).filter(|(option, _)| *option != "Name"));
            let secrets = secrets(&container.name, log, |variable| format!("${{{variable}}}"));
            lines.extend(secrets.iter().map(|(option, value)| (*option, value.as_str())));
            section(text, "OUTPUT", &lines)?;
        }
        Ok(())
    }

    fn fluentd(&self, text: &mut String) -> std::fmt::Result {
        block(text, "source", "", &[("@type", "unix"), ("path", SOCKET)])?;
        block(text, "source", "", &[("@type", "forward"), ("bind", "127.0.0.1"), ("port", "24224")])?;
        for (container, log) in routed(self.definition) {
            for (option, rule) in [("include-pattern", "regexp"), ("exclude-pattern", "exclude")] {
                let Some(pattern) = log.options.get(option) else { continue };
                writeln!(text, "<filter {}-firelens**>\n  @type grep\n  <{rule}>", container.name)?;
                writeln!(text, "    key {LINE}\n    pattern {pattern}\n  </{rule}>\n</filter>\n")?;
            }
        }
        if self.router.adds_metadata {
            writeln!(text, "<filter **>\n  @type record_transformer\n  <record>")?;
            for (name, value) in self.metadata() {
                writeln!(text, "    {name} {value}")?;
            }
            writeln!(text, "  </record>\n</filter>\n")?;
        }
        if let Some(path) = self.included() {
            writeln!(text, "@include {path}\n")?;
        }
        for (container, log) in routed(self.definition) {
            let Some(kind) = log.options.get("@type") else { continue };
            let mut lines = vec![("@type", kind.as_str())];
            lines.extend(destination(log).filter(|(option, _)| *option != "@type"));
            let secrets = secrets(&container.name, log, |variable| format!("\"#{{ENV['{variable}']}}\""));
            lines.extend(secrets.iter().map(|(option, value)| (*option, value.as_str())));
            block(text, "match", &format!(" {}-firelens**", container.name), &lines)?;
        }
        Ok(())
    }

    fn metadata(&self) -> [(&'static str, String); 3] {
        let Self { task, .. } = self;
        [
            ("ecs_cluster", task.key.cluster.to_string()),
            ("ecs_task_arn", task.arn.to_string()),
            ("ecs_task_definition", task.definition.to_string()),
        ]
    }

    fn included(&self) -> Option<&str> {
        Some(match self.router.configuration.as_ref()? {
            RouterConfiguration::File { path } => path,
            RouterConfiguration::S3 { .. } => external_path(self.router.kind),
        })
    }
}

/// Returns the options that are for the destination.
fn destination(log: &FireLens) -> impl Iterator<Item = (&str, &str)> {
    let options = log.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    options.filter(|(name, _)| !OWN_OPTIONS.contains(name))
}

/// Returns the options whose values are in the router's environment.
fn secrets<'a>(container: &str, log: &'a FireLens, name: impl Fn(String) -> String) -> Vec<(&'a str, String)> {
    let value = |option: &str| name(variable(container, option));
    log.secret_options.iter().map(|option| (option.name.as_str(), value(&option.name))).collect()
}

fn section(text: &mut String, kind: &str, lines: &[(&str, &str)]) -> std::fmt::Result {
    writeln!(text, "[{kind}]")?;
    for (name, value) in lines {
        writeln!(text, "    {name} {value}")?;
    }
    writeln!(text)
}

fn block(text: &mut String, kind: &str, pattern: &str, lines: &[(&str, &str)]) -> std::fmt::Result {
    writeln!(text, "<{kind}{pattern}>")?;
    for (name, value) in lines {
        writeln!(text, "  {name} {value}")?;
    }
    writeln!(text, "</{kind}>\n")
}

#[cfg(test)]
mod tests {
    use state::ecs::{ContainerDefinition, Delivery, LogConfiguration, Secret};

    use super::*;
    use crate::ecs::samples;

    fn app(options: &[(&str, &str)], secrets: &[&str]) -> ContainerDefinition {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secret = |name: &&str| Secret { name: (*name).to_owned(), value_from: "p".to_owned() };
        let secret_options = secrets.iter().map(secret).collect();
        let log = Some(LogConfiguration::FireLens(FireLens { options, secret_options, delivery: Delivery::default() }));
        ContainerDefinition { log, ..samples::container("app") }
    }

    fn written(router: &LogRouter, app: ContainerDefinition) -> String {
        let definition = samples::definition(vec![app]);
        let task = samples::task(definition.containers.clone());
        let id = task.key.id.to_string();
        Configuration { task: &task, definition: &definition, router }.write().replace(&id, "TASK")
    }

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn fluent_bit_is_told_where_to_listen_and_where_to_write() {
        let router = LogRouter { kind: LogRouterKind::FluentBit, adds_metadata: true, configuration: None };
        let options = [
            ("Name", "http"),
            ("Host", "logs.example"),
            ("exclude-pattern", "^debug"),
            ("log-driver-buffer-limit", "1"),
            ("mode", "blocking"),
        ];
        let text = written(&router, app(&options, &["http_Passwd"]));
        let expected = [
            "[INPUT]",
            "    Name tcp",
            "    Listen 127.0.0.1",
            "    Port 8877",
            "    Tag firelens-healthcheck",
            "[INPUT]",
            "    Name forward",
            "    unix_path /var/run/fluent.sock",
            "[INPUT]",
            "    Name forward",
            "    Listen 127.0.0.1",
            "    Port 24224",
            "[FILTER]",
            "    Name grep",
            "    Match app-firelens*",
            "    Exclude log ^debug",
            "[FILTER]",
            "    Name record_modifier",
            "    Match *",
            "    Record ecs_cluster default",
            "    Record ecs_task_arn arn:aws:ecs:us-east-1:000000000000:task/default/TASK",
            "    Record ecs_task_definition f:1",
            "[OUTPUT]",
            "    Name null",
            "    Match firelens-healthcheck",
            "[OUTPUT]",
            "    Name http",
            "    Match app-firelens*",
            "    Host logs.example",
            "    http_Passwd ${FIRELENS_APP_HTTP_PASSWD}",
        ];
        assert_eq!(lines(&text), expected);
    }

    #[test]
    fn fluentd_is_told_where_to_listen_and_where_to_write() {
        let router = LogRouter {
            kind: LogRouterKind::Fluentd,
            adds_metadata: true,
            configuration: Some(RouterConfiguration::File { path: "/own.conf".to_owned() }),
        };
        let text = written(&router, app(&[("@type", "stdout"), ("include-pattern", "a")], &["token"]));
        let expected = [
            "<source>",
            "  @type unix",
            "  path /var/run/fluent.sock",
            "</source>",
            "<source>",
            "  @type forward",
            "  bind 127.0.0.1",
            "  port 24224",
            "</source>",
            "<filter app-firelens**>",
            "  @type grep",
            "  <regexp>",
            "    key log",
            "    pattern a",
            "  </regexp>",
            "</filter>",
            "<filter **>",
            "  @type record_transformer",
            "  <record>",
            "    ecs_cluster default",
            "    ecs_task_arn arn:aws:ecs:us-east-1:000000000000:task/default/TASK",
            "    ecs_task_definition f:1",
            "  </record>",
            "</filter>",
            "@include /own.conf",
            "<match app-firelens**>",
            "  @type stdout",
            "  token \"#{ENV['FIRELENS_APP_TOKEN']}\"",
            "</match>",
        ];
        assert_eq!(lines(&text), expected);
    }

    #[test]
    fn metadata_and_destinations_are_there_only_if_they_are_wanted() {
        let configuration = Some(RouterConfiguration::S3 { arn: "arn:aws:s3:::b/k".to_owned() });
        for (kind, include) in [
            (LogRouterKind::FluentBit, "@INCLUDE /fluent-bit/etc/external.conf"),
            (LogRouterKind::Fluentd, "@include /fluentd/etc/external.conf"),
        ] {
            let router = LogRouter { kind, adds_metadata: false, configuration: configuration.clone() };
            let text = written(&router, app(&[("mode", "blocking")], &[]));
            assert!(!text.contains("ecs_") && !text.contains("app-firelens") && text.contains(include), "{text}");
        }
    }

    #[test]
    fn a_variables_name_is_one_in_every_shell() {
        assert_eq!(variable("my-app", "http.pass@1"), "FIRELENS_MY_APP_HTTP_PASS_1");
    }
}
