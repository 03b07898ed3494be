//! No operation without a case.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// The services whose every operation needs a case of success.
const COVERED: [&str; 15] = [
    "cloudwatch",
    "codedeploy",
    "ec2",
    "ecr",
    "ecr-public",
    "ecs",
    "efs",
    "events",
    "iam",
    "logs",
    "s3",
    "scheduler",
    "secretsmanager",
    "ssm",
    "sts",
];

/// Fails if an operation that is implemented has no case in which it succeeds.
pub(crate) fn check(cases: &[PathBuf]) -> Result<(), String> {
    let texts = cases.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let shown = texts.flat_map(|text| crate::case::successes(&text)).collect::<BTreeSet<_>>();
    let covered = services::ALL.iter().filter(|service| COVERED.contains(&service.model.id));
    let wanted =
        covered.flat_map(|service| service.routes.iter().map(|route| format!("{} {}", service.model.id, route.name)));
    let missing = wanted.filter(|name| !shown.contains(name)).collect::<Vec<_>>();
    if missing.is_empty() { Ok(()) } else { Err(format!("no case of success for: {}", missing.join(", "))) }
}
